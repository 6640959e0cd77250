"""From a repository to a DevConfig: find the file, read it, check it, substitute, resolve.

Pure beyond reading the files it names: no Docker, no git. A typical file costs about 1 ms.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path as HostPath
from typing import TYPE_CHECKING, Any

from rumpel.devcontainer import (
    bound,
    compose,
    consent,
    container_part,
    features,
    fields,
    forwards,
    in_context,
    jsonc,
    lifecycle,
    locate,
    metadata,
    requirements,
    schema,
    variables,
    workspace,
)
from rumpel.devcontainer import document as documents
from rumpel.devcontainer.build import Build, image_or_build
from rumpel.devcontainer.compose import Composed, Composer
from rumpel.devcontainer.consent import Effect
from rumpel.devcontainer.container_part import Place
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.features import Features
from rumpel.devcontainer.field_table import Known, Verdict
from rumpel.devcontainer.fields import Context, FieldReport
from rumpel.devcontainer.lifecycle import Command
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.requirements import Requirements
from rumpel.devcontainer.runargs import RunArgs
from rumpel.devcontainer.schema import DevContainer
from rumpel.devcontainer.secret_values import MASK, mask
from rumpel.errors import ConfigError
from rumpel.model import PortSpec

if TYPE_CHECKING:
    from rumpel.devcontainer.feature_order import Fetch

DEFAULT_IMAGE = "debian:bookworm"


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
    wait_for: str = ""
    """The last command that is waited for; empty: nothing is said, and all are."""
    ports: tuple[PortSpec, ...] = ()
    effects: tuple[Effect, ...] = ()
    bound: tuple[str, ...] = ()
    """Where what is mounted of this machine leads by links, see `bound`."""
    local_env_used: tuple[str, ...] = ()
    private_env: tuple[str, ...] = ()
    """Names in container_env and remote_env whose values are nobody's business: they come from
    the caller's environment or an env file. Fingerprints take them as keyed hashes."""
    private_parts: tuple[tuple[str | int, ...], ...] = ()
    """Places in `run_args` that hold such values, below `config` and `host_config`."""
    private_values: tuple[str, ...] = field(default=(), repr=False)
    """Those values and every other one that consent covers: never stored, to be masked in logs."""
    features: Features = field(default_factory=Features)
    requires: Requirements = field(default_factory=Requirements)
    secrets: tuple[str, ...] = ()
    """Names: their values are the user's, for lifecycle commands alone."""
    pod_volumes: tuple[str, ...] = ()
    """Volumes that belong to this pod alone and go with it."""
    again: Callable[[str], DevConfig] | None = field(default=None, repr=False, compare=False)
    """This very content once more, with what its image says in its label."""
    project: Composed | None = None
    """Of a compose configuration: what is not the pod itself."""


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
    composer: Composer | None = None,
) -> DevConfig:
    """The configuration of one pod; `pod` and `pod_id` may be empty just to look at it.

    `fetcher`: of features, for the file that is found; None: they are left out. `composer`: None:
    no compose file is read, and the pod is as if there were none.

    Raises: ConfigError, with `file:line:col` where a line is to blame; Unasked.
    """
    root = os.path.realpath(root)
    caller = Caller(
        root=root, local_env=local_env, pod=pod, pod_id=pod_id, repo_basename=repo_basename
    )
    found = read_file(root, config_path)
    if found is None:
        return _without_file(caller, default_image)
    source, content = found
    fetch = None if fetcher is None else fetcher(source)
    return parse(
        content, source, caller, default_image=default_image, fetch=fetch, composer=composer
    )


def _without_file(caller: Caller, default_image: str) -> DevConfig:
    told = f"no devcontainer.json: the image {default_image} is used"

    def again(label: str) -> DevConfig:
        named = json.dumps({"image": default_image})
        found = parse(named, "devcontainer.json", caller, label=label)
        return replace(found, source=None, raw={}, warnings=(told, *found.warnings), fields=())

    return DevConfig(
        source=None,
        raw={},
        warnings=(told,),
        image=default_image,
        workspace_folder=f"/workspaces/{caller.repo_basename}",
        hooks=lifecycle.hooks({}),
        again=again,
    )


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
    label: str = "",
    composer: Composer | None = None,
) -> DevConfig:
    """As `load`, for the content of the file `source`. `label`: of the image, once it is there."""
    parsed = jsonc.parse(content, source)
    try:
        document, project = composed(documents.read(parsed, caller), caller, composer)
        found = resolve(document, caller, default_image, fetch, label=label, project=project)
    except FieldError as error:
        raise parsed.located(error) from error
    again = partial(
        parse, content, source, caller, default_image=default_image, fetch=fetch, composer=composer
    )
    return replace(found, again=lambda said: again(label=said))


def composed(
    document: Document, caller: Caller, composer: Composer | None
) -> tuple[Document, Composed | None]:
    """What compose makes of it; the document again, with the folder that the project has."""
    if not document.is_compose:
        return document, None
    if composer is None:
        return documents.read(document.parsed, caller, documents.usual_folder(caller)), None
    found = compose.resolve(document, caller, composer)
    return documents.read(document.parsed, caller, found.folder), found


def resolve(
    document: Document,
    caller: Caller,
    default_image: str,
    fetch: Fetch | None = None,
    *,
    label: str = "",
    project: Composed | None = None,
) -> DevConfig:
    """All of a file that was read, with what its image says. Raises: FieldError."""
    config = variables.pod_stage(document.config, caller.devcontainer_id)
    typed, problems = _typed(document, config)
    image, build, told = _image(typed, document, caller, project, default=default_image)
    own, added = typed, features.resolve(document, caller, fetch, first=typed.feature_order)
    if label:
        typed, added, document = metadata.merged(typed, added, document, caller, label=label)
    notes = [*_notes(document, config), *told, *of_ports(typed, project)]
    base = DevConfig(
        source=document.parsed.filename,
        raw=document.raw,
        warnings=(*notes, *added.warnings),
        name=typed.name,
        image=image,
        build=build,
        workspace_folder=workspace.folder(document.workspace_folder, caller.devcontainer_id),
        hooks=lifecycle.hooks(config),
        initialize=lifecycle.command(config.get(lifecycle.INITIALIZE), (lifecycle.INITIALIZE,)),
        remote_user=typed.remote_user or None,
        remote_env=typed.remote_env,
        override_command=container_part.override(typed, project),
        project=project,
        user_env_probe=typed.user_env_probe,
        wait_for=typed.wait_for or "",
        ports=forwards.ports(typed),
        features=added,
        requires=requirements.of(typed.host_requirements),
        secrets=tuple(sorted(typed.secrets)),
    )
    judged = in_context.judge(document.raw, own, problems, project)
    return _with_container(base, typed, document, caller, judged)


def _typed(
    document: Document, config: dict[str, Any]
) -> tuple[DevContainer, tuple[FieldError, ...]]:
    """And what is wrong where it has no effect."""
    typed, problems = schema.read(config)
    if wrong := [one for one in problems if one.path[0] in fields.HONOURED]:
        raise min(wrong, key=lambda one: document.parsed.offset(one.path, key=one.is_key))
    return typed, problems


def _image(
    typed: DevContainer,
    document: Document,
    caller: Caller,
    project: Composed | None,
    *,
    default: str,
) -> tuple[str | None, Build | None, list[str]]:
    """And a warning where the file says neither."""
    if project is not None:
        return project.image, project.build, []
    image, build = image_or_build(typed, document, caller)
    if image is not None or build is not None:
        return image, build, []
    told = f"neither image nor build: the image {default} is used"
    return default, None, [] if document.is_compose else [f"{document.parsed.where(())}: {told}"]


def _notes(document: Document, config: Mapping[str, Any]) -> list[str]:
    notes = [*document.parsed.warnings, *documents.cut_defaults(document)]
    return [*notes, *documents.unresolved(document, config)]


def of_ports(typed: DevContainer, project: Composed | None) -> list[str]:
    """What is wrong with where they are said to be."""
    if project is None:
        return []
    bodies = {one.name: one.body for one in project.beside}
    return forwards.nobodys(forwards.ports(typed), project.service, bodies)


def _with_container(
    base: DevConfig, typed: DevContainer, document: Document, caller: Caller, context: Context
) -> DevConfig:
    """`base` with all that goes into the create body and what that does to the host."""
    project, added = base.project, base.features
    given = container_part.run_args(typed, caller, added, project)
    place = Place(folder=base.workspace_folder, project=project)
    found = container_part.mounts(typed, given, added, caller=caller, at=place)
    changed = {
        path: Known(Verdict.APPROXIMATED, note)
        for path, note in found.notes
        if path[0] != "service"
    }
    reports = fields.report(document.parsed, {**context, **changed})
    host_config = container_part.host_config(typed, given, found, added)
    init = host_config.pop("Init", None)
    used = {**dict.fromkeys(given.host_env, "runArgs"), **documents.local_env_used(document)}
    told = () if project is None else project.warnings
    made = replace(
        base,
        fields=reports,
        warnings=(*base.warnings, *fields.warnings(document.parsed, reports), *told),
        container_user=container_part.user(typed, given, project),
        container_env=container_part.env(typed, given, project),
        mounts=tuple(found.mounts),
        run_args=container_part.parts(given, host_config, project, base.override_command),
        init=init,
        effects=_effects(
            base,
            given,
            found,
            host_config=host_config,
            used=used,
            commands=documents.commands_here(document, caller.root),
        ),
        bound=bound.led(host_config, found.mounts),
        local_env_used=tuple(sorted(used)),
        pod_volumes=workspace.pod_volumes(found.mounts, caller),
    )
    return _with_private(made, typed, document, caller, given)


def _with_private(
    made: DevConfig, typed: DevContainer, document: Document, caller: Caller, given: RunArgs
) -> DevConfig:
    """And where values are that are nobody's business."""
    values = container_part.private_values(document, given, made.project, caller)
    own = [value for value in values if value in {*caller.local_env.values()}]
    return replace(
        made,
        effects=consent.masked(made.effects, own),
        private_env=container_part.private_env(document, given, made.project),
        private_values=values,
        private_parts=container_part.private_parts(
            made.run_args,
            typed,
            made.features,
            caller=caller,
            base=(made.project, made.override_command),
        ),
    )


def _effects(
    base: DevConfig,
    given: RunArgs,
    found: workspace.Mounts,
    *,
    host_config: Mapping[str, Any],
    used: Mapping[str, str],
    commands: Mapping[str, str],
) -> tuple[Effect, ...]:
    own = consent.host_effects(
        {**host_config, **requirements.devices(base.requires, host_config)},
        mounts=found.mounts,
        host_files=given.host_files,
        host_env=used,
        networks=container_part.joined(given, base.project),
        build=base.build.api if base.build else None,
        commands=commands,
    )
    return own if base.project is None else (*own, *base.project.effects)


def describe(config: DevConfig) -> dict[str, Any]:
    """For `rumpel config`, as JSON, with private values masked."""
    plain = asdict(replace(config, raw={}, private_values=(), again=None, project=None))
    if config.project is not None:
        plain["project"] = compose.describe(config.project)
    for name in ("container_env", "remote_env"):
        plain[name] = {
            key: MASK if key in config.private_env else value for key, value in plain[name].items()
        }
    for name in () if config.build is None else config.build.private_args:
        plain["build"]["args"][name] = MASK
    for key in ("bound", "raw", "private_parts", "private_values", "again"):
        del plain[key]
    for key in set(plain["run_args"]) - {"config", "host_config", "networking", "platform"}:
        del plain["run_args"][key]
    masked: dict[str, Any] = mask(plain, config.private_values)
    return masked
