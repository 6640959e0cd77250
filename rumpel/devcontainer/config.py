"""From a repository to a DevConfig: find the file, read it, check it, substitute, resolve.

Pure beyond reading the files it names: no Docker, no git. A typical file costs about 1 ms.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path as HostPath
from typing import TYPE_CHECKING, Any

from rumpel.devcontainer import (
    consent,
    features,
    fields,
    forwards,
    in_context,
    jsonc,
    lifecycle,
    locate,
    requirements,
    runargs,
    schema,
    variables,
    workspace,
)
from rumpel.devcontainer import document as documents
from rumpel.devcontainer.body import HostSide, side_file
from rumpel.devcontainer.build import Build, image_or_build
from rumpel.devcontainer.consent import HARMLESS_ENV, Effect
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.features import Features, MountEntry
from rumpel.devcontainer.field_table import Known, Verdict
from rumpel.devcontainer.fields import Context, FieldReport
from rumpel.devcontainer.lifecycle import Command
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.requirements import Requirements
from rumpel.devcontainer.runargs import RunArgs
from rumpel.devcontainer.schema import DevContainer
from rumpel.errors import ConfigError
from rumpel.model import PortSpec

if TYPE_CHECKING:
    from rumpel.devcontainer.feature_order import Fetch

DEFAULT_IMAGE = "debian:bookworm"
MASK = "***"
MIN_MASKED = 6


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
    initialize: Command = ()
    """On this machine, before anything else."""
    wait_for: str = lifecycle.DEFAULT_WAIT_FOR
    ports: tuple[PortSpec, ...] = ()
    effects: tuple[Effect, ...] = ()
    local_env_used: tuple[str, ...] = ()
    private_env: tuple[str, ...] = ()
    """Names in container_env and remote_env whose values are nobody's business: they come from
    the caller's environment or an env file. Fingerprints take them as keyed hashes."""
    private_values: tuple[str, ...] = field(default=(), repr=False)
    """Those values and every other one that consent covers: never stored, to be masked in logs."""
    features: Features = field(default_factory=Features)
    requires: Requirements = field(default_factory=Requirements)
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
    fetcher: Callable[[str], Fetch] | None = None,
) -> DevConfig:
    """The configuration of one pod; `pod` and `pod_id` may be empty just to look at it.

    `fetcher`: of features, for the file that is found; None: they are left out.

    Raises: ConfigError, with `file:line:col` where a line is to blame.
    """
    root = os.path.realpath(root)
    caller = Caller(
        root=root, local_env=local_env, pod=pod, pod_id=pod_id, repo_basename=repo_basename
    )
    found = read_file(root, config_path)
    if found is None:
        return DevConfig(
            source=None,
            raw={},
            warnings=(f"no devcontainer.json: the image {default_image} is used",),
            image=default_image,
            workspace_folder=f"/workspaces/{repo_basename}",
            hooks=lifecycle.hooks({}),
        )
    source, content = found
    fetch = None if fetcher is None else fetcher(source)
    return parse(content, source, caller, default_image=default_image, fetch=fetch)


def read_file(root: str, config_path: str | None) -> tuple[str, bytes] | None:
    """The file's place in the repository and its content; None when there is none."""
    source = locate.choose(root, config_path)
    if source is None:
        return None
    try:
        return source, HostPath(root, source).read_bytes()
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from error


def parse(
    content: str | bytes,
    source: str,
    caller: Caller,
    *,
    default_image: str = DEFAULT_IMAGE,
    fetch: Fetch | None = None,
) -> DevConfig:
    """As `load`, for the content of the file `source`."""
    parsed = jsonc.parse(content, source)
    try:
        return resolve(documents.read(parsed, caller), caller, default_image, fetch)
    except FieldError as error:
        raise parsed.located(error) from error


def resolve(
    document: Document, caller: Caller, default_image: str, fetch: Fetch | None = None
) -> DevConfig:
    """All of a file that was read. Raises: FieldError."""
    config = variables.pod_stage(document.config, caller.devcontainer_id)
    folder = variables.pod_stage(document.workspace_folder, caller.devcontainer_id)
    typed, problems = schema.read(config)
    if wrong := [one for one in problems if one.path[0] in fields.HONOURED]:
        raise min(wrong, key=lambda one: document.parsed.offset(one.path, key=one.is_key))
    image, build = image_or_build(typed, document, caller)
    added = features.resolve(document, caller, fetch, first=typed.feature_order)
    notes = [*document.parsed.warnings, *documents.cut_defaults(document)]
    notes += [*documents.unresolved(document, config), *added.warnings]
    if image is None and build is None:
        where = document.parsed.where(())
        notes.append(f"{where}: neither image nor build: the image {default_image} is used")
        image = default_image
    base = DevConfig(
        source=document.parsed.filename,
        raw=document.raw,
        warnings=tuple(notes),
        name=typed.name,
        image=image,
        build=build,
        workspace_folder=workspace.folder(folder),
        hooks=lifecycle.hooks(config),
        initialize=lifecycle.command(config.get(lifecycle.INITIALIZE), (lifecycle.INITIALIZE,)),
        remote_user=typed.remote_user or None,
        remote_env=typed.remote_env,
        override_command=typed.override_command,
        user_env_probe=typed.user_env_probe,
        wait_for=typed.wait_for,
        ports=forwards.ports(typed),
        features=added,
        requires=requirements.of(typed.host_requirements),
    )
    context = in_context.judge(document.raw, typed, problems)
    return _with_container(base, typed, document, caller, context)


def _with_container(
    base: DevConfig, typed: DevContainer, document: Document, caller: Caller, context: Context
) -> DevConfig:
    """`base` with all that goes into the create body and what that does to the host."""
    given = _run_args(typed, caller, base.features)
    own: list[MountEntry] = [(("mounts", at), one) for at, one in enumerate(typed.mounts)]
    wanted = [*base.features.mounts, *own]
    found = workspace.gather(wanted, given, caller=caller, workspace=base.workspace_folder)
    changed = {path: Known(Verdict.APPROXIMATED, note) for path, note in found.notes}
    reports = fields.report(document.parsed, {**context, **changed})
    host_config = _host_config(typed, given, found, base.features)
    init = host_config.pop("Init", None)
    used = {**dict.fromkeys(given.host_env, "runArgs"), **documents.local_env_used(document)}
    return replace(
        base,
        fields=reports,
        warnings=(*base.warnings, *fields.warnings(document.parsed, reports)),
        container_user=given.config.get("User") or typed.container_user or None,
        container_env={**given.env_files, **typed.container_env, **given.env},
        mounts=tuple(found.mounts),
        run_args=RunArgs(
            config={key: value for key, value in given.config.items() if key != "User"},
            host_config=host_config,
            networking=given.networking,
            platform=given.platform,
        ),
        init=init,
        effects=consent.host_effects(
            {**host_config, **requirements.devices(base.requires, host_config)},
            mounts=found.mounts,
            host_files=given.host_files,
            host_env=used,
            build_network=base.build.api.get("networkmode") if base.build else None,
            commands=documents.commands_here(document, caller.root),
        ),
        local_env_used=tuple(sorted(used)),
        private_env=_private_env(document, given),
        private_values=_private_values(document, given, caller),
        pod_volumes=workspace.pod_volumes(found.mounts, caller),
    )


def _run_args(typed: DevContainer, caller: Caller, added: Features) -> RunArgs:
    """runArgs and the fields that mean one of its options, those of features among them."""
    side = HostSide(root=caller.root, local_env=caller.local_env, read_file=side_file)
    more = [
        Option(name, value, (field, index))
        for name, field, values in (
            ("cap-add", "capAdd", typed.cap_add),
            ("security-opt", "securityOpt", typed.security_opt),
        )
        for index, value in enumerate(values)
    ]
    more += [Option("cap-add", value, path) for path, value in added.cap_add]
    more += [Option("security-opt", value, path) for path, value in added.security_opt]
    return runargs.apply(typed.run_args, side, more=more)


def _private_env(document: Document, given: RunArgs) -> tuple[str, ...]:
    """Environment names whose values come from outside the file."""
    private = [read.path for read in documents.private_reads(document)]
    names = {str(path[1]) for path in private if path[0] in ("containerEnv", "remoteEnv")}
    names |= given.env_files.keys() | (set(given.host_env) - HARMLESS_ENV)
    if any(path[0] == "runArgs" for path in private):
        names |= given.env.keys()
    return tuple(sorted(names))


def _private_values(document: Document, given: RunArgs, caller: Caller) -> tuple[str, ...]:
    """Long enough to be masked without spoiling other text; longest first."""
    names = {read.name for read in documents.private_reads(document)}
    names |= set(given.host_env) - HARMLESS_ENV
    values = {caller.local_env[name] for name in names}
    values |= {value for value in given.env_files.values() if value}
    long = (value for value in values if len(value) >= MIN_MASKED)
    return tuple(sorted(long, key=lambda value: (-len(value), value)))


def _host_config(
    typed: DevContainer, given: RunArgs, found: workspace.Mounts, added: Features
) -> dict[str, Any]:
    """runArgs with the fields that mean the same: either switches on, lists are joined."""
    host = dict(given.host_config)
    switches = (
        ("Init", typed.init),
        ("Privileged", typed.privileged),
        ("Init", added.init),
        ("Privileged", added.privileged),
    )
    for key, value in switches:
        if value is not None:
            host[key] = bool(value or host.get(key))
    if found.binds:
        host["Binds"] = found.binds
    for key in host.keys() & {"CapAdd", "SecurityOpt"}:
        host[key] = list(dict.fromkeys(host[key]))
    return host


def describe(config: DevConfig) -> dict[str, Any]:
    """For `rumpel config`, as JSON, with private values masked."""
    plain = asdict(replace(config, raw={}, private_values=()))
    for name in ("container_env", "remote_env"):
        plain[name] = {
            key: MASK if key in config.private_env else value for key, value in plain[name].items()
        }
    for key in ("raw", "private_values"):
        del plain[key]
    for key in set(plain["run_args"]) - {"config", "host_config", "networking", "platform"}:
        del plain["run_args"][key]
    masked: dict[str, Any] = mask(plain, config.private_values)
    return masked


def mask(value: Any, private: tuple[str, ...]) -> Any:
    """`value` with every private value in its strings replaced, for logs and for display."""
    if isinstance(value, str):
        for one in private:
            value = value.replace(one, MASK)
        return value
    if isinstance(value, dict):
        return {key: mask(inner, private) for key, inner in value.items()}
    return [mask(one, private) for one in value] if isinstance(value, list | tuple) else value
