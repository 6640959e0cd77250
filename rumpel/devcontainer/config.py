"""From a repository to a DevConfig: find the file, read it, check it, substitute, resolve.

Pure beyond reading the files it names: no Docker, no git. A typical file costs about 1 ms.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path as HostPath
from typing import Any

from rumpel.devcontainer import (
    consent,
    fields,
    jsonc,
    lifecycle,
    locate,
    runargs,
    schema,
    variables,
    workspace,
)
from rumpel.devcontainer import document as documents
from rumpel.devcontainer.build import Build, image_or_build
from rumpel.devcontainer.consent import Effect
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.fields import FieldReport
from rumpel.devcontainer.lifecycle import Command
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.runargs import RunArgs
from rumpel.devcontainer.schema import DevContainer
from rumpel.errors import ConfigError
from rumpel.names import LABEL_POD_ID

DEFAULT_IMAGE = "debian:bookworm"
MAX_SIDE_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DevConfig:
    """All of devcontainer.json that rumpel acts on, resolved for one pod."""

    source: str | None
    """Relative to the root; None when the repository has no file."""
    raw: Mapping[str, Any]
    """As written, before substitution: holds no value of the caller's environment."""
    warnings: tuple[str, ...]
    fields: tuple[FieldReport, ...] = ()
    name: str | None = None
    image: str | None = None
    """Exactly one of `image` and `build` is set."""
    build: Build | None = None
    workspace_folder: str
    container_user: str | None = None
    remote_user: str | None = None
    container_env: Mapping[str, str | None] = field(default_factory=dict)
    """--env-file, containerEnv and -e in rising strength; None = taken out of the image's."""
    remote_env: Mapping[str, str | None] = field(default_factory=dict)
    """`${containerEnv:...}` is still in it; None = unset."""
    mounts: tuple[Mount, ...] = ()
    """Engine API Mounts, those of runArgs too."""
    run_args: RunArgs = field(default_factory=RunArgs)
    """Without Mounts, User and environment (they are above); capAdd and the like are in it."""
    override_command: bool | None = None
    user_env_probe: str = "loginInteractiveShell"
    init: bool | None = None
    hooks: Mapping[str, Command] = field(default_factory=dict)
    """All five, in order; `${containerEnv:...}` is still in them."""
    wait_for: str = lifecycle.DEFAULT_WAIT_FOR
    effects: tuple[Effect, ...] = ()
    local_env_used: tuple[str, ...] = ()
    pod_volumes: tuple[str, ...] = ()
    """Volumes that belong to this pod alone and go with it."""


def load(
    root: str,
    *,
    config_path: str | None = None,
    local_env: Mapping[str, str],
    pod: str,
    pod_id: str,
    repo_basename: str,
    default_image: str = DEFAULT_IMAGE,
) -> DevConfig:
    """The configuration of one pod; `pod` and `pod_id` may be empty just to look at it.

    Raises: ConfigError, with `file:line:col` where a line is to blame.
    """
    root = os.path.realpath(root)
    caller = Caller(
        root=root, local_env=local_env, pod=pod, pod_id=pod_id, repo_basename=repo_basename
    )
    source = locate.choose(root, config_path)
    if source is None:
        return DevConfig(
            source=None,
            raw={},
            warnings=(f"no devcontainer.json: the image {default_image} is used",),
            image=default_image,
            workspace_folder=f"/workspaces/{repo_basename}",
            hooks=lifecycle.hooks({}),
        )
    try:
        content = HostPath(root, source).read_bytes()
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from error
    return parse(content, source, caller, default_image=default_image)


def parse(
    content: str | bytes, source: str, caller: Caller, *, default_image: str = DEFAULT_IMAGE
) -> DevConfig:
    """As `load`, for the content of the file `source`."""
    parsed = jsonc.parse(content, source)
    try:
        return _resolve(documents.read(parsed, caller), caller, default_image)
    except FieldError as error:
        raise parsed.located(error) from error


def _resolve(document: Document, caller: Caller, default_image: str) -> DevConfig:
    labels = {LABEL_POD_ID: caller.pod_id}
    pod_id = variables.devcontainer_id(labels) if caller.pod_id else None
    config = variables.pod_stage(document.config, pod_id)
    typed = schema.validate(config)
    reports = fields.report(document.parsed)
    notes = [
        *document.parsed.warnings,
        *fields.warnings(document.parsed, reports),
        *documents.cut_defaults(document),
        *documents.unresolved(document, config),
    ]
    image, build = image_or_build(typed, document, caller)
    if image is None and build is None:
        where = document.parsed.where(())
        notes.append(f"{where}: neither image nor build: the image {default_image} is used")
        image = default_image
    elif typed.image and build is not None:
        where = document.parsed.where(("image",), key=True)
        notes.append(f"{where}: image has no effect beside a Dockerfile")
    base = DevConfig(
        source=document.parsed.filename,
        raw=document.raw,
        warnings=tuple(notes),
        fields=reports,
        name=typed.name,
        image=image,
        build=build,
        workspace_folder=workspace.folder(variables.pod_stage(document.workspace_folder, pod_id)),
        hooks=lifecycle.hooks(config),
        remote_user=typed.remote_user or None,
        remote_env=typed.remote_env,
        override_command=typed.override_command,
        user_env_probe=typed.user_env_probe,
        wait_for=typed.wait_for,
    )
    return _with_container(base, typed, document, caller)


def _with_container(
    base: DevConfig, typed: DevContainer, document: Document, caller: Caller
) -> DevConfig:
    """`base` with all that goes into the create body and what that does to the host."""
    side = runargs.Caller(root=caller.root, local_env=caller.local_env, read_file=_side_file)
    given = runargs.apply(typed.run_args, side)
    host_config = _host_config(typed, given.host_config)
    found = workspace.gather(
        typed.mounts,
        host_config,
        caller=caller,
        workspace=base.workspace_folder,
        parsed=document.parsed,
    )
    host_config.pop("Mounts", None)
    host_config.pop("Binds", None)
    if found.binds:
        host_config["Binds"] = found.binds
    used = {*documents.local_env_used(document), *given.host_env}
    config = {key: value for key, value in given.config.items() if key != "User"}
    return replace(
        base,
        warnings=(*base.warnings, *found.warnings),
        container_user=given.config.get("User") or typed.container_user or None,
        container_env={**given.env_files, **typed.container_env, **given.env},
        mounts=tuple(found.mounts),
        run_args=replace(given, config=config, host_config=host_config, env={}, env_files={}),
        init=host_config.pop("Init", None),
        effects=consent.host_effects(
            host_config, mounts=found.mounts, host_files=given.host_files, host_env=used
        ),
        local_env_used=tuple(sorted(used)),
        pod_volumes=workspace.pod_volumes(found.mounts, caller),
    )


def _host_config(typed: DevContainer, given: Mapping[str, Any]) -> dict[str, Any]:
    """runArgs with the fields that mean the same: either switches on, lists are joined."""
    host = dict(given)
    for key, value in (("Init", typed.init), ("Privileged", typed.privileged)):
        if value is not None:
            host[key] = bool(value or given.get(key))
    for key, names in (("CapAdd", typed.cap_add), ("SecurityOpt", typed.security_opt)):
        if names:
            host[key] = list(dict.fromkeys([*given.get(key, ()), *names]))
    return host


def _side_file(path: str) -> str:
    with HostPath(path).open("rb") as file:
        content = file.read(MAX_SIDE_FILE_BYTES + 1)
    if len(content) > MAX_SIDE_FILE_BYTES:
        raise OSError(27, "the file is larger than 1 MiB")
    return content.decode()


def describe(config: DevConfig) -> dict[str, Any]:
    """For `rumpel config`, as JSON. Environment values that consent covers are left out."""
    plain = asdict(config)
    for name in ("container_env", "remote_env"):
        written = config.raw.get("containerEnv" if name == "container_env" else "remoteEnv") or {}
        plain[name] = {key: written.get(key, value) for key, value in plain[name].items()}
    plain["hooks"] = {
        hook: {step.name: list(step.argv) for step in command} if command else None
        for hook, command in config.hooks.items()
    }
    plain["effects"] = [{"kind": one.kind, "text": one.text} for one in config.effects]
    del plain["raw"]
    return plain
