"""A batch file of any of the formats -> plain values, and where in the file each one stands."""

from __future__ import annotations

import re
import tomllib
from pathlib import PurePath
from typing import Any

import yaml

from rumpel.devcontainer import jsonc
from rumpel.devcontainer.positions import Parsed, Path, dotted, line_and_column, positioned
from rumpel.errors import ConfigError, UsageError

MAX_BYTES = 4 << 20
MAX_VALUES = 200_000
"""An alias of YAML can stand for thousands."""
FORMATS = {
    ".yaml": "yaml",
    ".yml": "yaml",
    ".json": "json",
    ".jsonc": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".toml": "toml",
}
SETTINGS = ("name", "defaults", "concurrency")
"""What a line of JSONL may say besides a task; it must not have a prompt or command then."""
WORK = ("prompt", "prompt_file", "command")
_TOML_AT = re.compile(r"\(at line (\d+), column (\d+)\)")
_TOML_HEADER = re.compile(r"^[ \t]*(\[\[?)[ \t]*([\w.\"' \t-]+?)[ \t]*\]\]?", re.MULTILINE)


def read(data: bytes, filename: str) -> Parsed:
    """`filename` decides the format; `-` is JSON or YAML, whichever it looks like.

    Raises UsageError for an unknown format, ConfigError `file:line:column: ...`.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{filename}: the file is larger than {MAX_BYTES >> 20} MiB")
    kind = FORMATS.get(PurePath(filename).suffix.lower())
    if kind is None and filename == "-":
        kind = "json" if data.lstrip()[:1] in (b"{", b"[") else "yaml"
    if kind is None:
        raise UsageError(
            f"{filename}: its format is not known by its name",
            hint=f"name it with one of {', '.join(FORMATS)}",
        )
    parsed = {"yaml": _yaml, "json": _json, "jsonl": _jsonl, "toml": _toml}[kind](data, filename)
    if not isinstance(parsed.value, dict):
        raise parsed_error(parsed, (), "must be an object with a list of tasks")
    return parsed


def parsed_error(parsed: Parsed, path: Path, reason: str, *, key: bool = False) -> ConfigError:
    line, column = parsed.at(path, key=key)
    where = f"{dotted(path)}: " if path else ""
    return positioned(parsed.filename, line, column, where + reason, field=dotted(path))


def _text(data: bytes, filename: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        line, column = line_and_column(before, len(before))
        raise positioned(filename, line, column, "this is not UTF-8") from None


def _json(data: bytes, filename: str) -> Parsed:
    parsed = jsonc.parse(_text(data, filename), filename)
    if isinstance(parsed.value, list):
        return _below(parsed, "tasks")
    return parsed


def _below(parsed: Parsed, key: str) -> Parsed:
    """A file that is nothing but a list of tasks."""
    return Parsed(
        {key: parsed.value},
        parsed.filename,
        parsed.text,
        {(key, *path): at for path, at in parsed.keys.items()},
        {(): 0, **{(key, *path): at for path, at in parsed.values.items()}},
        parsed.warnings,
    )


def _jsonl(data: bytes, filename: str) -> Parsed:
    """A task a line; the first line may have what is said of all of them."""
    text = _text(data, filename)
    value: dict[str, Any] = {}
    tasks: list[Any] = []
    keys: dict[Path, int] = {}
    values: dict[Path, int] = {(): 0}
    start = 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        found = _line(line, filename, number) if line.strip() else None
        if found is not None:
            is_settings = _is_settings(found.value) and not tasks and not value
            below: Path = () if is_settings else ("tasks", len(tasks))
            if is_settings:
                value.update(found.value)
            else:
                tasks.append(found.value)
            keys |= {(*below, *path): start + at for path, at in found.keys.items()}
            values |= {(*below, *path): start + at for path, at in found.values.items()}
        start += len(line)
    return Parsed({**value, "tasks": tasks}, filename, text, keys, values, ())


def _is_settings(value: Any) -> bool:
    is_object = isinstance(value, dict)
    return is_object and set(value) <= set(SETTINGS) and not any(word in value for word in WORK)


def _line(line: str, filename: str, number: int) -> Parsed:
    try:
        return jsonc.parse(line, filename)
    except ConfigError as error:
        column = int(str(error.details.get("column", 1)))
        why = error.message.split(": ", 1)[-1]
        raise positioned(filename, number, column, why) from error


def _yaml(data: bytes, filename: str) -> Parsed:
    text = _text(data, filename)
    loader = yaml.SafeLoader(text)
    keys: dict[Path, int] = {}
    values: dict[Path, int] = {}
    try:
        root = loader.get_single_node()
        if root is None:
            return Parsed({}, filename, text, {}, {(): 0}, ())
        reader = _Yaml(loader, filename, keys, values)
        value = reader.value(root, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        why = error.problem or error.context or "this is not YAML"
        raise positioned(filename, line, column, why) from error
    except yaml.YAMLError as error:  # a character that may not be in a file
        raise positioned(filename, 1, 1, f"this is not YAML: {error}".split("\n")[0]) from error
    except RecursionError:
        raise positioned(filename, 1, 1, "this is nested too deep") from None
    finally:
        loader.dispose()
    parsed = Parsed(value, filename, text, keys, values, ())
    return _below(parsed, "tasks") if isinstance(value, list) else parsed


class _Yaml:
    """Nodes of YAML -> values. Of tags only those of JSON, so a date stays a text."""

    def __init__(
        self,
        loader: yaml.SafeLoader,
        filename: str,
        keys: dict[Path, int],
        values: dict[Path, int],
    ) -> None:
        self.loader, self.filename, self.keys, self.values = loader, filename, keys, values
        self.count = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise self.wrong(node, f"there are more than {MAX_VALUES} values")
        self.values[path] = node.start_mark.index
        match node:
            case yaml.MappingNode():
                return self.mapping(node, path)
            case yaml.SequenceNode():
                return [self.value(item, (*path, at)) for at, item in enumerate(node.value)]
            case yaml.ScalarNode(tag=tag) if tag in _SCALARS:
                return _as_written(self.loader.construct_object(node), node.value)
            case yaml.ScalarNode(tag="tag:yaml.org,2002:timestamp", value=value):
                return value
        raise self.wrong(node, f"the tag {node.tag} has no meaning here")

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.wrong(key, "a key must be a text")
            if key.value == "<<" and key.tag == "tag:yaml.org,2002:merge":
                raise self.wrong(key, "merge keys (<<) are not supported; use defaults")
            if key.value in found:
                raise self.wrong(key, f"{key.value} is there twice")
            self.keys[(*path, key.value)] = key.start_mark.index
            found[key.value] = self.value(item, (*path, key.value))
        return found

    def wrong(self, node: yaml.Node, why: str) -> ConfigError:
        mark = node.start_mark
        return positioned(self.filename, mark.line + 1, mark.column + 1, why)


class _Int(int):
    """Where a text is wanted it is what was `written`: the 007 of YAML is not 7."""

    written: str


class _Float(float):
    written: str


def _as_written(value: Any, text: str) -> Any:
    if type(value) not in (int, float):
        return value
    found = _Int(value) if isinstance(value, int) else _Float(value)
    found.written = text
    return found


_SCALARS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")
)


def _toml(data: bytes, filename: str) -> Parsed:
    text = _text(data, filename)
    try:
        value = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = _TOML_AT.search(str(error))
        line, column = (int(at[1]), int(at[2])) if at else line_and_column(text, len(text))
        why = str(error).split(" (at ")[0]
        raise positioned(filename, line, column, why[:1].lower() + why[1:]) from error
    keys, values = _toml_places(text)
    return Parsed(value, filename, text, keys, values, ())


def _toml_places(text: str) -> tuple[dict[Path, int], dict[Path, int]]:
    """Of tables by their headers and of `key =` lines: tomllib does not tell. To point at, only:
    a line within a text of several lines may be taken for a key.
    """
    keys: dict[Path, int] = {}
    values: dict[Path, int] = {(): 0}
    headers = list(_TOML_HEADER.finditer(text))
    counts: dict[Path, int] = {}
    starts = [(0, ())] + [(head.end(), _toml_path(head, counts)) for head in headers]
    ends = [head.start() for head in headers] + [len(text)]
    for head, (_, path) in zip([None, *headers], starts, strict=True):
        if head is not None:
            values.setdefault(path, head.start())
    for (start, path), end in zip(starts, ends, strict=True):
        for line in re.finditer(r"^[ \t]*([\w-]+)[ \t]*=[ \t]*", text[start:end], re.MULTILINE):
            keys.setdefault((*path, line[1]), start + line.start(1))
            values.setdefault((*path, line[1]), start + line.end())
    return keys, values


def _toml_path(head: re.Match[str], counts: dict[Path, int]) -> Path:
    path: Path = ()
    names = [name.strip().strip("\"'") for name in head[2].split(".")]
    for at, name in enumerate(names):
        path = (*path, name)
        if head[1] == "[[" and at == len(names) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path
