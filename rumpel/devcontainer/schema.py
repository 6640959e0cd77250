"""Types of the fields rumpel acts on.

The reference checks no type at all, so a number in `image` fails much later and far away. What
it accepts and means is accepted here too: numbers and booleans as environment values and build
arguments, null in remoteEnv, a single string for `cacheFrom`.

By hand, since every start of the daemon pays for it: pydantic was a quarter of that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rumpel.devcontainer.positions import FieldError, Path

Check = Callable[[Path, Any], Any]
"""Of the value at a path: gives what it means. Raises FieldError."""

PROBES = ("none", "loginShell", "interactiveShell", "loginInteractiveShell")
STEPS = (
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
)


@dataclass(frozen=True, slots=True)
class BuildPart:
    dockerfile: str | None = None
    context: str | None = None
    args: dict[str, str] = field(default_factory=dict)
    target: str | None = None
    cache_from: list[str] = field(default_factory=list)
    options: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PortAttributes:
    """What is not among the values of the specification has no effect, as in the reference."""

    label: str | None = None
    protocol: str | None = None
    on_auto_forward: str | None = None
    require_local_port: bool | None = None
    elevate_if_needed: bool | None = None


@dataclass(frozen=True, slots=True)
class DevContainer:
    """The file after substitution. Commands and mounts are checked where they are read."""

    name: str | None = None
    image: str | None = None
    build: BuildPart | None = None
    docker_file: str | None = None
    context: str | None = None
    workspace_folder: str | None = None
    container_user: str | None = None
    remote_user: str | None = None
    container_env: dict[str, str] = field(default_factory=dict)
    remote_env: dict[str, str | None] = field(default_factory=dict)
    mounts: list[str | dict[str, Any]] = field(default_factory=list)
    run_args: list[str] = field(default_factory=list)
    override_command: bool | None = None
    init: bool | None = None
    privileged: bool | None = None
    cap_add: list[str] = field(default_factory=list)
    security_opt: list[str] = field(default_factory=list)
    forward_ports: list[int | str] = field(default_factory=list)
    ports_attributes: dict[str, PortAttributes] = field(default_factory=dict)
    other_ports_attributes: PortAttributes | None = None
    user_env_probe: str = "loginInteractiveShell"
    wait_for: str = "updateContentCommand"


def _fail(path: Path, reason: str, value: Any) -> FieldError:
    return FieldError(path, f"{reason}, not {_kind(value)}")


def _string(path: Path, value: Any) -> str:
    if not isinstance(value, str):
        raise _fail(path, "a string is expected", value)
    if not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise _fail(path, "a string of whole characters is expected", value)
    return value


def _text(path: Path, value: Any) -> str:
    """Scalars as the reference passes them on: `true`, `1`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | float) else _string(path, value)


def _boolean(path: Path, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _fail(path, "true or false is expected", value)
    return value


def _port(path: Path, value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise _fail(path, "a number or a string is expected", value)
    return value if isinstance(value, int) else _string(path, value)


def _mount(path: Path, value: Any) -> str | dict[str, Any]:
    if not isinstance(value, str | dict):
        raise _fail(path, "a string or an object is expected", value)
    return _string(path, value) if isinstance(value, str) else dict(value)


def _key(path: Path, name: str) -> str:
    return _string(path, name)


def _variable(path: Path, name: str) -> str:
    if not name or "=" in name:
        raise FieldError(path, "not the name of a variable")
    return _string(path, name)


def _or_null(check: Check) -> Check:
    return lambda path, value: None if value is None else check(path, value)


def _one_of(values: tuple[str, ...]) -> Check:
    wanted = ", ".join(map(repr, values[:-1])) + f" or {values[-1]!r}"

    def check(path: Path, value: Any) -> Any:
        if value not in values:
            raise _fail(path, f"input should be {wanted}", value)
        return value

    return check


def _list(check: Check) -> Check:
    def checked(path: Path, value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _fail(path, "a list is expected", value)
        return [check((*path, index), item) for index, item in enumerate(value)]

    return checked


def _texts(path: Path, value: Any) -> Any:
    return _list(_string)(path, [value] if isinstance(value, str) else value)


def _object(check: Check, name: Callable[[Path, str], str] = _key) -> Check:
    def checked(path: Path, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _fail(path, "an object is expected", value)
        return {name((*path, key), key): check((*path, key), item) for key, item in value.items()}

    return checked


def _part(kind: Callable[..., Any], checks: Mapping[str, Check]) -> Check:
    """Fields that are not in `checks` are not ours."""
    names = {key: _attribute(key) for key in checks}

    def checked(path: Path, value: Any) -> Any:
        if not isinstance(value, dict):
            raise _fail(path, "an object is expected", value)
        found = [key for key in checks if key in value]
        return kind(**{names[key]: checks[key]((*path, key), value[key]) for key in found})

    return checked


def _attribute(key: str) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in key)


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    kinds |= {dict: "an object", type(None): "null"}
    return kinds.get(type(value), repr(value))


_NAME, _FLAG = _or_null(_string), _or_null(_boolean)
_PORT_ATTRIBUTES = _part(
    PortAttributes,
    {
        "label": _NAME,
        "protocol": _NAME,
        "onAutoForward": _NAME,
        "requireLocalPort": _FLAG,
        "elevateIfNeeded": _FLAG,
    },
)
_BUILD = _part(
    BuildPart,
    {
        "dockerfile": _NAME,
        "context": _NAME,
        "args": _object(_text),
        "target": _NAME,
        "cacheFrom": _texts,
        "options": _list(_string),
    },
)
_DEVCONTAINER = _part(
    DevContainer,
    {
        "name": _NAME,
        "image": _NAME,
        "build": _or_null(_BUILD),
        "dockerFile": _NAME,
        "context": _NAME,
        "workspaceFolder": _NAME,
        "containerUser": _NAME,
        "remoteUser": _NAME,
        "containerEnv": _object(_text, _variable),
        "remoteEnv": _object(_or_null(_text), _variable),
        "mounts": _list(_mount),
        "runArgs": _list(_text),
        "overrideCommand": _FLAG,
        "init": _FLAG,
        "privileged": _FLAG,
        "capAdd": _list(_string),
        "securityOpt": _list(_string),
        "forwardPorts": _list(_port),
        "portsAttributes": _object(_PORT_ATTRIBUTES),
        "otherPortsAttributes": _or_null(_PORT_ATTRIBUTES),
        "userEnvProbe": _one_of(PROBES),
        "waitFor": _one_of(STEPS),
    },
)


def validate(config: dict[str, Any]) -> DevContainer:
    """Raises: FieldError for the first value of a wrong type."""
    checked: DevContainer = _DEVCONTAINER((), config)
    return checked
