"""Types of the fields rumpel acts on, as a pydantic model; the only importer of pydantic here.

The reference checks no type at all, so a number in `image` fails much later and far away. What
it accepts and means is accepted here too: numbers and booleans as environment values and build
arguments, null in remoteEnv, a single string for `cacheFrom`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rumpel.devcontainer.positions import FieldError, Path


def _scalar(value: Any) -> Any:
    """As the reference passes it on: `true`, `1`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | float) else value


def _strings(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _variable_name(name: str) -> str:
    if not name or "=" in name:
        raise ValueError("not the name of a variable")
    return name


Name = Annotated[str, AfterValidator(_variable_name)]
Text = Annotated[str, BeforeValidator(_scalar)]
Texts = Annotated[list[str], BeforeValidator(_strings)]
Probe = Literal["none", "loginShell", "interactiveShell", "loginInteractiveShell"]
WaitFor = Literal[
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class BuildPart(_Part):
    dockerfile: str | None = None
    context: str | None = None
    args: dict[str, Text] = {}
    target: str | None = None
    cache_from: Texts = Field(default=[], alias="cacheFrom")
    options: list[str] = []


class PortAttributes(_Part):
    """What is not among the values of the specification has no effect, as in the reference."""

    label: str | None = None
    protocol: str | None = None
    on_auto_forward: str | None = Field(default=None, alias="onAutoForward")
    require_local_port: bool | None = Field(default=None, alias="requireLocalPort")
    elevate_if_needed: bool | None = Field(default=None, alias="elevateIfNeeded")


class DevContainer(_Part):
    """The file after substitution. Commands and mounts are checked where they are read."""

    name: str | None = None
    image: str | None = None
    build: BuildPart | None = None
    docker_file: str | None = Field(default=None, alias="dockerFile")
    context: str | None = None
    workspace_folder: str | None = Field(default=None, alias="workspaceFolder")
    container_user: str | None = Field(default=None, alias="containerUser")
    remote_user: str | None = Field(default=None, alias="remoteUser")
    container_env: dict[Name, Text] = Field(default={}, alias="containerEnv")
    remote_env: dict[Name, Text | None] = Field(default={}, alias="remoteEnv")
    mounts: list[str | dict[str, Any]] = []
    run_args: list[Text] = Field(default=[], alias="runArgs")
    override_command: bool | None = Field(default=None, alias="overrideCommand")
    init: bool | None = None
    privileged: bool | None = None
    cap_add: list[str] = Field(default=[], alias="capAdd")
    security_opt: list[str] = Field(default=[], alias="securityOpt")
    forward_ports: list[int | str] = Field(default=[], alias="forwardPorts")
    ports_attributes: dict[str, PortAttributes] = Field(default={}, alias="portsAttributes")
    other_ports_attributes: PortAttributes | None = Field(
        default=None, alias="otherPortsAttributes"
    )
    user_env_probe: Probe = Field(default="loginInteractiveShell", alias="userEnvProbe")
    wait_for: WaitFor = Field(default="updateContentCommand", alias="waitFor")


_EXPECTED = {
    "bool_type": "true or false is expected",
    "dict_type": "an object is expected",
    "list_type": "a list is expected",
    "model_type": "an object is expected",
    "string_type": "a string is expected",
}


def validate(config: dict[str, Any]) -> DevContainer:
    """Raises: FieldError for the first value of a wrong type."""
    try:
        return DevContainer.model_validate(config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    reason = _EXPECTED.get(first["type"], first["msg"][:1].lower() + first["msg"][1:])
    path = _path(first["loc"], config)
    if first["type"] == "value_error":
        raise FieldError(path, str(first["ctx"]["error"]))
    if path[:1] == ("mounts",) and len(path) == 2:
        reason = "a string or an object is expected"
    if path[:1] == ("forwardPorts",) and len(path) == 2:
        reason = "a number or a string is expected"
    raise FieldError(path, f"{reason}, not {_kind(first['input'])}")


def _path(loc: tuple[int | str, ...], config: Any) -> Path:
    """pydantic's location without the parts it adds for the members of a union."""
    path: Path = ()
    for part in loc:
        try:
            config = config[part]
        except (KeyError, IndexError, TypeError):
            break
        path = (*path, part)
    return path


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    kinds |= {dict: "an object", type(None): "null"}
    return kinds.get(type(value), repr(value))
