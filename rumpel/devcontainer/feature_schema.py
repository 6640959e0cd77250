"""Types of devcontainer-feature.json, the description of one feature."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.schema import Lifecycle, Name, Part, Text, of_type


class FeatureOption(Part):
    """`enum` is all that may be chosen, `proposals` what might be."""

    type: Literal["boolean", "string"] = "string"
    default: bool | str | None = None
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
    container_env: dict[Name, Text] = Field(default={}, alias="containerEnv")
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


def read(config: dict[str, Any]) -> tuple[Feature, tuple[FieldError, ...]]:
    """The model of all fields that are right, and what is wrong with the others."""
    return of_type(Feature, config)
