"""What a batch file says -> its tasks: defaults filled in, each matrix unrolled, needs resolved.

Every complaint names the file, the line and the field.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from rumpel import agents, names, text
from rumpel.batch import pool, schema
from rumpel.batch.files import FileIn, check_target
from rumpel.batch.items import Batch, Item, Limits
from rumpel.batch.reading import parsed_error
from rumpel.batch.schema import BatchModel, CommonModel, ConcurrencyModel, HostModel, TaskModel
from rumpel.devcontainer.positions import Parsed, Path
from rumpel.errors import ConfigError

DEFAULT_AGENT = "claude"
_REFERENCE = re.compile(r"\$\{matrix\.([^}]*)\}")
ARMS = frozenset(
    {"int", "str", "float", "bool", "ConcurrencyModel", "HostModel", "FileModel", "[key]"}
)
"""pydantic names the arms of a union between the keys: those are no place in the file."""
OVERRIDES = ("agent", "model", "base", "host")
"""Keys of a matrix that are fields of the task."""
_FIXED = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must not be empty",
    "too_long": "must not have more than {max_length}",
}
_OF_AGENTS = {"agent": "agent", "model": "model"} | {
    key: f"limits.{key}" for key in ("turns", "tokens", "cost")
}


Read = Callable[[str], str]
"""The text of a file named in the batch file. Raises OSError, ValueError."""
Files = Callable[[str, str], Iterable[FileIn]]
"""Those of a file or folder named there, and where they go. Raises OSError, ValueError."""


def load(parsed: Parsed, *, name: str, read: Read, find: Files = lambda *_: ()) -> Batch:
    """`name`: of the batch, when the file says none. Raises ConfigError with file and line."""
    try:
        model = BatchModel.model_validate(parsed.value)
    except ValidationError as error:
        raise _wrong(parsed, error) from None
    concurrency = pool.with_hosts(parsed, model, pool.concurrency(parsed, model.concurrency))
    if model.defaults.agent is not None:
        pool.checked_agent(parsed, ("defaults", "agent"), model.defaults.agent)
    items: dict[str, Item] = {}
    groups: dict[str, list[str]] = {}
    """Of a task with a matrix, those it became."""
    for at, task in enumerate(model.tasks):
        found = _unrolled(parsed, ("tasks", at), task, model.defaults, read=read)
        files = _files(parsed, ("tasks", at), task, model.defaults, find)
        for item in found:
            if item.name in items:
                raise parsed_error(
                    parsed, ("tasks", at, "name"), f"there is a task {item.name} already"
                )
            items[item.name] = replace(item, files=files)
        groups[task.name] = [item.name for item in found]
    places = {
        name: ("tasks", at) for at, task in enumerate(model.tasks) for name in groups[task.name]
    }
    items = {
        name: _with_needs(parsed, places[name], item, items, groups) for name, item in items.items()
    }
    _check_cycle(parsed, places, items)
    return Batch(name=model.name or name, concurrency=concurrency, items=items)


def _wrong(parsed: Parsed, error: ValidationError) -> ConfigError:
    """The first complaint, in our words, at its place in the file."""
    every = error.errors(include_url=False)
    # Of what may be a text or an object, an object was meant.
    found = [
        one
        for one in every
        if one["type"] not in ("string_type", "int_type") or not isinstance(one["input"], dict)
    ] or every
    first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
    path: Path = tuple(part for part in first["loc"] if part not in ARMS and not _is_arm(part))
    kind, said = first["type"], str(first["msg"])
    reason = _FIXED.get(kind, said.removeprefix("Value error, "))
    reason = reason.format(**first.get("ctx", {})) if kind in _FIXED else reason
    reason += _better(path, kind, first["input"])
    key = kind == "extra_forbidden"
    if kind == "missing":
        path, missing = (
            path[:-1] if path and path[-1] == first["loc"][-1] else path,
            first["loc"][-1],
        )
        reason = f"{missing} is missing"
    elif key:
        close = text.suggestion(str(first["loc"][-1]), _fields(first["loc"]))
        reason += f", did you mean {close!r}?" if close else ""
        path = (*path[:-1], str(first["loc"][-1])) if path[-1:] != (first["loc"][-1],) else path
    return parsed_error(parsed, path, reason[:1].lower() + reason[1:], key=key)


def _better(path: Path, kind: str, given: Any) -> str:
    """How it is written instead, where that is a common mistake."""
    if kind == "string_type" and isinstance(given, bool):
        return ": put it in quotes"
    if kind == "model_type" and path[-1:] == ("limits",):
        return " such as {time: 30m, cost: 2}"
    return ", in [ ]" if kind == "list_type" and isinstance(given, str) else ""


def _is_arm(part: str | int) -> bool:
    return isinstance(part, str) and part.startswith("function-")


def _fields(loc: tuple[str | int, ...]) -> Iterable[str]:
    model: type[BaseModel] = BatchModel
    if "limits" in loc[:-1]:
        model = schema.LimitsModel
    elif "HostModel" in loc[:-1]:
        model = HostModel
    elif "concurrency" in loc[:-1]:
        model = ConcurrencyModel
    elif loc[0] == "tasks":
        model = TaskModel
    elif loc[0] == "defaults" and len(loc) > 1:
        model = CommonModel
    return model.model_fields


def _unrolled(
    parsed: Parsed, path: Path, task: TaskModel, defaults: CommonModel, *, read: Read
) -> list[Item]:
    given = [
        word for word in ("prompt", "prompt_file", "command") if getattr(task, word) is not None
    ]
    if len(given) != 1:
        said = " and ".join(given) or "none of them"
        raise parsed_error(
            parsed, path, f"needs one of prompt, prompt_file and command, and has {said}"
        )
    if task.command is not None:
        _check_command(parsed, path, task)
    prompt = task.prompt
    if task.prompt_file is not None:
        try:
            prompt = read(task.prompt_file)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise parsed_error(
                parsed, (*path, "prompt_file"), f"{task.prompt_file} cannot be read: {why}"
            ) from None
    found = []
    for values in itertools.product(*task.matrix.values()):
        chosen = dict(zip(task.matrix, values, strict=True))
        found.append(_Unrolling(parsed, path, task, defaults, chosen).item(prompt or ""))
    return found


def _check_command(parsed: Parsed, path: Path, task: TaskModel) -> None:
    """What it says of an agent would be of no use: a mistake. (In `defaults` it is for others.)"""
    limits = task.limits or schema.LimitsModel()
    said = {"agent": task.agent, "model": task.model, **limits.model_dump()}
    for key, field in _OF_AGENTS.items():
        if said[key] is not None:
            where = (*path, *field.split("."))
        elif key in task.matrix:
            where = (*path, "matrix", key)
        else:
            continue
        raise parsed_error(parsed, where, "is of agents, and this task is a command", key=True)


def _files(
    parsed: Parsed, path: Path, task: TaskModel, defaults: CommonModel, find: Files
) -> tuple[FileIn, ...]:
    is_own = task.files is not None
    given = task.files if task.files is not None else defaults.files or []
    found: list[FileIn] = []
    for at, one in enumerate(given):
        source, to = (one, None) if isinstance(one, str) else (one.source, one.to)
        try:
            found += find(source, check_target(to or source))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            where: Path = (*path, "files", at) if is_own else ("defaults", "files", at)
            raise parsed_error(parsed, where, f"{source} cannot be copied: {why}") from None
    return tuple(found)


class _Unrolling:
    """One task, for one combination of its matrix."""

    def __init__(
        self,
        parsed: Parsed,
        path: Path,
        task: TaskModel,
        defaults: CommonModel,
        chosen: Mapping[str, Any],
    ) -> None:
        self.parsed, self.path, self.task, self.defaults = parsed, path, task, defaults
        self.words = {key: _word(value) for key, value in chosen.items()}

    def item(self, prompt: str) -> Item:
        command = self.filled("command", self.task.command or "")
        agent = "" if command else self.said("agent") or DEFAULT_AGENT
        if agent:
            pool.checked_agent(self.parsed, (*self.path, "agent"), agent)
        return Item(
            name=self.name(),
            prompt="" if command else self.filled("prompt", prompt),
            command=command,
            agent=agent,
            model=self.said("model") if agent else None,
            base=self.said("base"),
            host=self.host(),
            env=self.env(),
            needs=tuple(self.task.needs),
            verify=self.said("verify") or "",
            limits=self.limits(agent),
            retries=next(
                (one for one in (self.task.retries, self.defaults.retries) if one is not None), 0
            ),
            keep=bool(self.task.keep if self.task.keep is not None else self.defaults.keep),
        )

    def said(self, key: str) -> str | None:
        if key in OVERRIDES and key in self.words:
            return self.words[key]
        value = getattr(self.task, key)
        value = getattr(self.defaults, key) if value is None else value
        return None if value is None else self.filled(key, value)

    def limits(self, agent: str) -> Limits:
        """Of what is said for many tasks, that which this one's agent can keep."""
        given = self.task.limits or self.defaults.limits or schema.LimitsModel()
        found = Limits(
            time_s=given.time, turns=given.turns, dollars=given.cost, tokens=given.tokens
        )
        for field, key in (("turns", "turns"), ("tokens", "tokens"), ("dollars", "cost")):
            if getattr(found, field) is None or field in agents.limits(agent):
                continue
            if agent and self.task.limits is not None and "agent" not in self.words:
                reason = f"{agents.title(agent)} cannot be limited in that"
                raise parsed_error(self.parsed, (*self.path, "limits", key), reason, key=True)
            found = replace(found, **{field: None})
        return found

    def env(self) -> dict[str, str]:
        every = {**(self.defaults.env or {}), **(self.task.env or {})}
        return {key: self.filled("env", value) for key, value in every.items()}

    def host(self) -> str | None:
        given = self.said("host")
        return None if given is None else pool.host_name(self.parsed, (*self.path, "host"), given)

    def name(self) -> str:
        """`fix` with a matrix becomes `fix-claude-1`, unless it says where the values go."""
        given = self.filled("name", self.task.name)
        if self.words and given == self.task.name:
            given = "-".join([given, *(names.slug(word) for word in self.words.values())])
        if not names.is_pod_name(given):
            reason = f"{given!r} cannot be the name of a pod: {names.POD_NAME_RULE}"
            raise parsed_error(self.parsed, (*self.path, "name"), reason)
        return given

    def filled(self, key: str, value: str) -> str:
        def word(found: re.Match[str]) -> str:
            if found[1] not in self.words:
                known = ", ".join(self.words) or "there is no matrix"
                reason = f"${{matrix.{found[1]}}} is not known ({known})"
                raise parsed_error(self.parsed, (*self.path, key), reason)
            return self.words[found[1]]

        return _REFERENCE.sub(word, value)


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _with_needs(
    parsed: Parsed,
    path: Path,
    item: Item,
    items: Mapping[str, Item],
    groups: Mapping[str, list[str]],
) -> Item:
    """A task with a matrix is needed as a whole."""
    wanted: list[str] = []
    for at, name in enumerate(item.needs):
        found = [name] if name in items else groups.get(name)
        if found is None:
            close = text.suggestion(name, [*groups, *items])
            guess = f", did you mean {close!r}?" if close else ""
            raise parsed_error(parsed, (*path, "needs", at), f"there is no task {name!r}{guess}")
        wanted += found
    return replace(item, needs=tuple(dict.fromkeys(wanted)))


def _check_cycle(parsed: Parsed, places: Mapping[str, Path], items: Mapping[str, Item]) -> None:
    done: set[str] = set()
    for first in items:
        way: list[str] = []
        _walk(parsed, places, items, first, way=way, done=done)


def _walk(
    parsed: Parsed,
    places: Mapping[str, Path],
    items: Mapping[str, Item],
    first: str,
    *,
    way: list[str],
    done: set[str],
) -> None:
    """Depth first, by hand: a chain may have a thousand tasks."""
    stack = [(first, iter(items[first].needs))]
    way.append(first)
    while stack:
        name, rest = stack[-1]
        following = next((need for need in rest if need not in done), None)
        if following is None:
            done.add(name)
            stack.pop()
            way.pop()
        elif following in way:
            circle = " -> ".join([*way[way.index(following) :], following])
            raise parsed_error(parsed, (*places[following], "needs"), f"needs itself: {circle}")
        else:
            way.append(following)
            stack.append((following, iter(items[following].needs)))
