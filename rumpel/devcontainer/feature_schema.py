"""Types of devcontainer-feature.json, the description of one feature.

It may come from a registry: hostile until it is read here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from rumpel.devcontainer import jsonc
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.schema import Lifecycle, Part, Text, of_type
from rumpel.errors import ConfigError

FILE = "devcontainer-feature.json"
MAX_BYTES = 1 << 20
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_FOR_PEOPLE = frozenset(
    {"version", "name", "description", "documentationURL", "licenseURL", "keywords", "deprecated",
     "customizations", "legacyIds"}
)  # fmt: skip
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable(value: str) -> str:
    """It goes into a Dockerfile."""
    if not _VARIABLE.fullmatch(value):
        raise ValueError("not the name of a variable")
    return value


Variable = Annotated[str, AfterValidator(_variable)]


class FeatureOption(Part):
    """`enum` is all that may be chosen, `proposals` what might be."""

    type: Literal["boolean", "string"] = "string"
    default: bool | Text | None = None
    description: str | None = None
    enum: list[str] = Field(default=[])
    proposals: list[str] = Field(default=[])


class Feature(Part):
    """Its file. Commands and mounts are checked where they are read."""

    id: str | None = None
    version: str | None = None
    name: str | None = None
    description: str | None = None
    documentation_url: str | None = Field(default=None, alias="documentationURL")
    license_url: str | None = Field(default=None, alias="licenseURL")
    keywords: list[str] = Field(default=[])
    deprecated: bool = False
    legacy_ids: list[str] = Field(default=[], alias="legacyIds")
    options: dict[str, FeatureOption] = Field(default={})
    depends_on: dict[str, Any] = Field(default={}, alias="dependsOn")
    installs_after: list[str] = Field(default=[], alias="installsAfter")
    container_env: dict[Variable, Text] = Field(default={}, alias="containerEnv")
    entrypoint: str | None = None
    init: bool | None = None
    privileged: bool | None = None
    cap_add: list[str] = Field(default=[], alias="capAdd")
    security_opt: list[str] = Field(default=[], alias="securityOpt")
    mounts: list[str | dict[str, Any]] = Field(default=[])
    customizations: dict[str, Any] = Field(default={})
    on_create_command: Lifecycle = Field(default=None, alias="onCreateCommand")
    update_content_command: Lifecycle = Field(default=None, alias="updateContentCommand")
    post_create_command: Lifecycle = Field(default=None, alias="postCreateCommand")
    post_start_command: Lifecycle = Field(default=None, alias="postStartCommand")
    post_attach_command: Lifecycle = Field(default=None, alias="postAttachCommand")

    def hooks(self) -> dict[str, Any]:
        """Its lifecycle commands, by the names of the specification."""
        return {
            "onCreateCommand": self.on_create_command,
            "updateContentCommand": self.update_content_command,
            "postCreateCommand": self.post_create_command,
            "postStartCommand": self.post_start_command,
            "postAttachCommand": self.post_attach_command,
        }


def _default(option: Any) -> Any:
    """All that is made of an option: the reference looks at no type, and some are odd."""
    if not isinstance(option, dict):
        return option
    enum = option.get("enum")
    is_enum = isinstance(enum, list) and all(isinstance(one, str) for one in enum)
    return {"default": option.get("default"), "enum": enum if is_enum else []}


def described(content: bytes | str, written: str) -> Feature:
    """The file of a feature that is to be installed; `written`: how it was named.

    Raises ConfigError for the first thing that is wrong.
    """
    if len(content) > MAX_BYTES:
        raise ConfigError(f"feature {written}: {FILE} is larger than {MAX_BYTES >> 20} MiB")
    try:
        parsed = jsonc.parse(content, FILE)
        if not isinstance(parsed.value, dict):
            raise ConfigError(f"{FILE}: a JSON object is expected")
        given = {name: one for name, one in parsed.value.items() if one is not None}
        if isinstance(known := given.get("options"), dict):
            given["options"] = {name: _default(one) for name, one in known.items()}
        found, problems = read(given)
        wrong = [one for one in problems if one.path[0] not in _FOR_PEOPLE]
        if wrong:
            raise parsed.located(wrong[0])
        if not _ID.fullmatch(found.id or ""):
            raise ConfigError(f"{FILE}: id: {(found.id or '')[:80]!r} is not the id of a feature")
    except ConfigError as error:
        raise ConfigError(f"feature {written}: {error.message}") from error
    return found


def read(config: dict[str, Any]) -> tuple[Feature, tuple[FieldError, ...]]:
    """The model of all fields that are right, and what is wrong with the others."""
    return of_type(Feature, config)
