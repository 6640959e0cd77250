"""The YAML of compose files, hostile until read: bounded, without tags, as plain values.

Scalars mean what they mean to compose 2 (YAML 1.2): `yes` and `22:22` are texts. Merge keys and
aliases are expanded, so what is handed on as JSON has none.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from rumpel.devcontainer.positions import positioned
from rumpel.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
"""An alias can stand for thousands."""
MAX_TEXT = 2 << 20
"""Characters of all keys and texts, as often as an alias has them: they are written out so."""
MAX_DEPTH = 50
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT, _OCTAL = re.compile(r"[-+]?(0|[1-9][0-9]*)"), re.compile(r"0o?[0-7]+")
_FLOAT = re.compile(r"[-+]?[0-9]+\.[0-9]*")
_PLAIN = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_PLAIN_BOOL = {"true": True, "True": True, "TRUE": True}
_PLAIN_BOOL |= {"false": False, "False": False, "FALSE": False}
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_KNOWN = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("bool", "float", "int", "map", "merge", "null", "seq", "str", "timestamp", "value")
)


def load(data: bytes, name: str) -> dict[str, Any]:
    """Raises ConfigError with `name:line:column` for what is no mapping of texts to values."""
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{name}: the file is larger than {MAX_BYTES >> 20} MiB")
    try:
        node = yaml.compose(data.decode("utf-8-sig"), Loader=_LOADER)
        value = None if node is None else _Reader(name).value(node, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        why = error.problem or error.context or "this is not YAML"
        raise positioned(name, line, column, why) from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise positioned(name, 1, 1, f"this is not YAML: {error}".split("\n")[0]) from error
    except RecursionError:
        raise positioned(name, 1, 1, "this is nested too deep") from None
    if not isinstance(value, dict):
        raise positioned(name, 1, 1, "a mapping with services is expected")
    return value


class _Reader:
    def __init__(self, name: str) -> None:
        self.name, self.count, self.size = name, 0, 0

    def value(self, node: yaml.Node, depth: int) -> Any:
        self.count += 1
        if self.count > MAX_VALUES:
            raise self.wrong(node, f"there are more than {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise self.wrong(node, "this is nested too deep")
        if node.tag not in _KNOWN:
            raise self.wrong(node, f"the tag {node.tag} is not handled")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, depth + 1) for item in node.value]
        self.measure(node)
        return _scalar(node)

    def measure(self, node: yaml.Node) -> None:
        self.size += len(node.value)
        if self.size > MAX_TEXT:
            raise self.wrong(node, f"there are more than {MAX_TEXT} characters with all aliases")

    def mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.wrong(key, "a key must be a text")
            self.measure(key)
            if key.tag == _MERGE:
                found = self.value(item, depth + 1)
                for one in found if isinstance(found, list) else [found]:
                    if not isinstance(one, dict):
                        raise self.wrong(item, "<< takes mappings")
                    merged = {**one, **merged}
            elif key.value in own:
                raise self.wrong(key, f"{key.value} is there twice")
            else:
                own[key.value] = self.value(item, depth + 1)
        return {**merged, **own}

    def wrong(self, node: yaml.Node, why: str) -> ConfigError:
        mark = node.start_mark
        return positioned(self.name, mark.line + 1, mark.column + 1, why)


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if getattr(node, "style", None) in ("'", '"', "|", ">") or node.tag == _TEXT:
        return text
    if text in _PLAIN:
        return None
    if text in _PLAIN_BOOL:
        return _PLAIN_BOOL[text]
    if len(text) < 20 and _INT.fullmatch(text):
        return int(text)
    if len(text) < 20 and _OCTAL.fullmatch(text):
        return int(text.removeprefix("0o"), 8)
    return float(text) if len(text) < 40 and _FLOAT.fullmatch(text) else text
