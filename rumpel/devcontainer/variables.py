"""`${...}` in devcontainer.json, by the reference's rules.

Stages, each over the result of the one before, so that a value brought in by one may hold a
variable of a later one:

1. read: localEnv (alias env), localWorkspaceFolder, containerWorkspaceFolder and their Basename
2. pod: devcontainerId
3. running: containerEnv, from the container's own environment; remoteEnv and commands only

Only values are substituted, never keys. `}` ends a variable: nothing nests. What is not known
stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rumpel.devcontainer.positions import FieldError, Path

_VARIABLE = re.compile(r"\$\{([^\n\r\u2028\u2029]*?)\}")
_DIGITS = "0123456789abcdefghijklmnopqrstuv"

Lookup = Callable[[str, list[str], Path], str | None]
"""(name, arguments, path of the value) -> replacement, None = leave it."""


@dataclass(frozen=True, slots=True)
class Read:
    """A `${localEnv:name}` that was met: where, whether set, whether its default was cut."""

    name: str
    path: Path
    is_set: bool
    is_cut: bool


@dataclass(slots=True)
class Reads:
    """What the read stage asked of the caller's environment."""

    seen: list[Read] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    local: str
    """Absolute host path of the workspace."""
    container: str
    """Workspace folder in the pod; may itself hold variables."""


def read_stage(value: Any, folders: Folders, local_env: Mapping[str, str], reads: Reads) -> Any:
    """Stage 1. Raises: FieldError for `${localEnv}` without a name."""
    known = {
        "localWorkspaceFolder": folders.local,
        "localWorkspaceFolderBasename": posixpath.basename(folders.local.rstrip("/")),
    }

    def lookup(name: str, arguments: list[str], path: Path) -> str | None:
        if name not in ("localEnv", "env"):
            return known.get(name)
        text = environment(name, arguments, local_env, path)
        is_set = arguments[0] in local_env
        reads.seen.append(Read(arguments[0], path, is_set, not is_set and len(arguments) > 2))
        return text

    container = replace_in(folders.container, lookup, ("workspaceFolder",))
    known["containerWorkspaceFolder"] = container
    known["containerWorkspaceFolderBasename"] = posixpath.basename(container.rstrip("/"))
    reads.seen.clear()
    return substitute(value, lookup)


def pod_stage(value: Any, devcontainer_id: str | None) -> Any:
    """Stage 2; without an id the variable stays."""

    def lookup(name: str, _: list[str], __: Path) -> str | None:
        return devcontainer_id if name == "devcontainerId" else None

    return substitute(value, lookup)


def running_stage(value: Any, container_env: Mapping[str, str]) -> Any:
    """Stage 3, once the container runs: `container_env` is its inspected Config.Env."""

    def lookup(name: str, arguments: list[str], path: Path) -> str | None:
        if name != "containerEnv":
            return None
        return environment(name, arguments, container_env, path)

    return substitute(value, lookup)


def environment(kind: str, arguments: list[str], env: Mapping[str, str], path: Path) -> str:
    """Set, even empty: the value; else the default, which ends at the next ':'; else empty."""
    if not arguments:
        raise FieldError(path, f"${{{kind}}} needs the name of a variable: ${{{kind}:NAME}}")
    value = env.get(arguments[0])
    if value is not None:
        return value
    return arguments[1] if len(arguments) > 1 else ""


def substitute(value: Any, lookup: Lookup, path: Path = ()) -> Any:
    """`value` with all strings inside it replaced; keys stay."""
    if isinstance(value, str):
        return replace_in(value, lookup, path) if "${" in value else value
    if isinstance(value, dict):
        return {key: substitute(inner, lookup, (*path, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [substitute(inner, lookup, (*path, i)) for i, inner in enumerate(value)]
    return value


def replace_in(text: str, lookup: Lookup, path: Path) -> str:
    def one(match: re.Match[str]) -> str:
        name, *arguments = match[1].split(":")
        found = lookup(name, arguments, path)
        return match[0] if found is None else found

    return _VARIABLE.sub(one, text)


def left(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Variables still in `value`, with the path of their string."""
    if isinstance(value, str):
        yield from ((path, match[0]) for match in _VARIABLE.finditer(value))
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from left(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from left(inner, (*path, index))


def devcontainer_id(labels: Mapping[str, str]) -> str:
    """52 characters of base 32 that name the container these labels find; order does not count."""
    text = json.dumps(labels, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    number = int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")
    digits = ""
    while number:
        number, digit = divmod(number, 32)
        digits = _DIGITS[digit] + digits
    return digits.rjust(52, "0")
