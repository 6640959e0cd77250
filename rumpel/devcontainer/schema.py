"""Types of all fields of the specification, as a pydantic model.

The reference checks no type at all, so a number in `image` fails much later and far away. What
it accepts and means is accepted here too: numbers and booleans as environment values and build
arguments, null in remoteEnv, a single string for `cacheFrom`. A wrong type is an error only in a
field that rumpel acts on; what has no effect cannot do harm, and the file worked before.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.sizes import number_text


def _scalar(value: Any) -> Any:
    """As the reference passes it on: `true`, `1`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, int | float) else value


def _strings(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _ports(value: Any) -> Any:
    return [value] if isinstance(value, str | int) and not isinstance(value, bool) else value


def _variable_name(name: str) -> str:
    if not name or "=" in name:
        raise ValueError("not the name of a variable")
    return name


Name = Annotated[str, AfterValidator(_variable_name)]
Text = Annotated[str, BeforeValidator(_scalar)]
Texts = Annotated[list[str], BeforeValidator(_strings)]
Ports = Annotated[list[int | str], BeforeValidator(_ports)]
Probe = Literal["none", "loginShell", "interactiveShell", "loginInteractiveShell"]
AMOUNT = r"^\d+([tgmk]b)?$"
Strategy = Literal["none", "stopContainer", "stopCompose"]
Lifecycle = Any
"""A command: lifecycle.py reads its three forms, and tells of a fourth."""
WaitFor = Literal[
    "initializeCommand",
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
]


class Part(BaseModel):
    """What it does not name is left out: other versions of the specification may have it."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class BuildPart(Part):
    dockerfile: str | None = None
    context: str | None = None
    args: dict[str, Text] = {}
    target: str | None = None
    cache_from: Texts = Field(default=[], alias="cacheFrom")
    options: list[str] = []


class PortAttributes(Part):
    """What is not among the values of the specification has no effect, as in the reference."""

    label: str | None = None
    protocol: str | None = None
    on_auto_forward: str | None = Field(default=None, alias="onAutoForward")
    require_local_port: bool | None = Field(default=None, alias="requireLocalPort")
    elevate_if_needed: bool | None = Field(default=None, alias="elevateIfNeeded")


class GpuPart(Part):
    cores: int | None = None
    memory: str | None = Field(default=None, pattern=AMOUNT)


class HostRequirements(Part):
    cpus: int | None = Field(default=None, ge=1)
    memory: str | None = Field(default=None, pattern=AMOUNT)
    storage: str | None = Field(default=None, pattern=AMOUNT)
    gpu: bool | Literal["optional"] | GpuPart | None = None


class SecretPart(Part):
    description: str | None = None
    documentation_url: str | None = Field(default=None, alias="documentationUrl")


class DevContainer(Part):
    """The file after substitution. Commands and mounts are checked where they are read.

    The old names `extensions`, `settings` and `devPort` are in `customizations` by now.
    """

    schema_url: str | None = Field(default=None, alias="$schema")
    name: str | None = None
    image: str | None = None
    build: BuildPart | None = None
    docker_file: str | None = Field(default=None, alias="dockerFile")
    context: str | None = None
    compose_file: Texts = Field(default=[], alias="dockerComposeFile")
    service: str | None = None
    run_services: list[str] = Field(default=[], alias="runServices")
    features: dict[str, Any] = {}
    feature_order: list[str] = Field(default=[], alias="overrideFeatureInstallOrder")
    workspace_folder: str | None = Field(default=None, alias="workspaceFolder")
    workspace_mount: str | None = Field(default=None, alias="workspaceMount")
    container_user: str | None = Field(default=None, alias="containerUser")
    remote_user: str | None = Field(default=None, alias="remoteUser")
    update_remote_user_uid: bool | None = Field(default=None, alias="updateRemoteUserUID")
    container_env: dict[Name, Text] = Field(default={}, alias="containerEnv")
    remote_env: dict[Name, Text | None] = Field(default={}, alias="remoteEnv")
    mounts: list[str | dict[str, Any]] = []
    run_args: list[Text] = Field(default=[], alias="runArgs")
    override_command: bool | None = Field(default=None, alias="overrideCommand")
    init: bool | None = None
    privileged: bool | None = None
    cap_add: list[str] = Field(default=[], alias="capAdd")
    security_opt: list[str] = Field(default=[], alias="securityOpt")
    host_requirements: HostRequirements | None = Field(default=None, alias="hostRequirements")
    app_port: Ports = Field(default=[], alias="appPort")
    forward_ports: list[int | str] = Field(default=[], alias="forwardPorts")
    ports_attributes: dict[str, PortAttributes] = Field(default={}, alias="portsAttributes")
    other_ports_attributes: PortAttributes | None = Field(
        default=None, alias="otherPortsAttributes"
    )
    secrets: dict[Name, SecretPart] = {}
    initialize_command: Lifecycle = Field(default=None, alias="initializeCommand")
    on_create_command: Lifecycle = Field(default=None, alias="onCreateCommand")
    update_content_command: Lifecycle = Field(default=None, alias="updateContentCommand")
    post_create_command: Lifecycle = Field(default=None, alias="postCreateCommand")
    post_start_command: Lifecycle = Field(default=None, alias="postStartCommand")
    post_attach_command: Lifecycle = Field(default=None, alias="postAttachCommand")
    user_env_probe: Probe = Field(default="loginInteractiveShell", alias="userEnvProbe")
    wait_for: WaitFor | None = Field(default=None, alias="waitFor")
    shutdown_action: Strategy | None = Field(default=None, alias="shutdownAction")
    customizations: dict[str, Any] = {}
    additional_properties: dict[str, Any] = Field(default={}, alias="additionalProperties")


_EXPECTED = {
    "bool_type": "true or false is expected",
    "dict_type": "an object is expected",
    "float_type": "a number is expected",
    "int_type": "a whole number is expected",
    "list_type": "a list is expected",
    "model_type": "an object is expected",
    "string_pattern_mismatch": "a size such as 512mb or 8gb is expected",
    "string_type": "a string is expected",
}
_EITHER: dict[Path, str] = {
    ("mounts", 0): "a string or an object is expected",
    ("forwardPorts", 0): "a number or a string is expected",
    ("appPort", 0): "a number or a string is expected",
    ("hostRequirements", "gpu"): 'true, false, "optional" or {cores, memory} is expected',
}
"""Where one of several types may stand; 0 is any entry of a list."""


def read(config: dict[str, Any]) -> tuple[DevContainer, tuple[FieldError, ...]]:
    """The model of all fields that are right, and what is wrong with the others."""
    return of_type(DevContainer, config)


Model = TypeVar("Model", bound=Part)


def of_type(model: type[Model], config: dict[str, Any]) -> tuple[Model, tuple[FieldError, ...]]:
    """As `read`; the model needs no field."""
    try:
        return model.model_validate(config), ()
    except ValidationError as error:
        told = error.errors(include_url=False)
    found = {problem.path: problem for problem in (_problem(one, config) for one in reversed(told))}
    wrong = {path[0] for path in found}
    left = {name: value for name, value in config.items() if name not in wrong}
    return model.model_validate(left), tuple(found.values())


def _problem(told: ErrorDetails, config: dict[str, Any]) -> FieldError:
    path = _path(told["loc"], config)
    if told["type"] == "value_error":
        return FieldError(path, str(told["ctx"]["error"]), is_key=told["loc"][-1] == "[key]")
    known = _EXPECTED.get(told["type"], told["msg"][:1].lower() + told["msg"][1:])
    reason = _EITHER.get(_any_entry(path), known)
    value: Any = config
    for part in path:
        value = value[part]
    return FieldError(path, f"{reason}, not {_kind(value)}")


def _path(loc: tuple[int | str, ...], config: Any) -> Path:
    """pydantic's location without the parts it adds for the members of a union."""
    path: Path = ()
    for part in loc:
        if _any_entry(path) in _EITHER:
            break
        try:
            config = config[part]
        except (KeyError, IndexError, TypeError):
            break
        path = (*path, part)
    return path


def _any_entry(path: Path) -> Path:
    return (*path[:-1], 0) if path and isinstance(path[-1], int) else path


def _kind(value: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    kinds |= {dict: "an object", type(None): "null"}
    return kinds.get(type(value), repr(value))
