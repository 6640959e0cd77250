"""What of a configuration goes into a pod's container: the parts of the create body, in one place.

A field, an option of runArgs and a key of a compose service that mean the same come together here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rumpel.devcontainer import compose_hidden, networks, runargs, workspace
from rumpel.devcontainer import document as documents
from rumpel.devcontainer.body import HostSide, side_file
from rumpel.devcontainer.compose import Composed
from rumpel.devcontainer.consent import HARMLESS_ENV
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.features import Features, MountEntry
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.runargs import RunArgs
from rumpel.devcontainer.schema import DevContainer
from rumpel.devcontainer.secret_values import maskable


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the workspace is, and beside what."""

    folder: str
    project: Composed | None


def override(typed: DevContainer, project: Composed | None) -> bool | None:
    """A service that only waits may as well do so in our way, which is the quicker one."""
    if typed.override_command is None and project is not None:
        return project.is_idle
    return typed.override_command


def user(typed: DevContainer, given: RunArgs, project: Composed | None) -> str | None:
    """Of a service it is what containerUser replaces; `--user` of runArgs goes before that."""
    said = given.config.get("User")
    if project is not None:
        return typed.container_user or said or None
    return said or typed.container_user or None


def env(typed: DevContainer, given: RunArgs, project: Composed | None) -> dict[str, str | None]:
    """In rising strength."""
    of_service = {} if project is None else project.env
    return {**of_service, **given.env_files, **typed.container_env, **given.env}


def parts(
    given: RunArgs,
    host_config: Mapping[str, Any],
    project: Composed | None,
    override_command: bool | None,
) -> RunArgs:
    """Parts of the create body."""
    return RunArgs(
        config=_config(given, project, override_command),
        host_config=host_config,
        networking=given.networking,
        platform=given.platform,
    )


def joined(given: RunArgs, project: Composed | None) -> tuple[str, ...]:
    """Networks of others. Of those of a project, its own or not, the project itself tells."""
    known = () if project is None else [one["name"] for one in project.networks.values()]
    return networks.of_others(given.host_config, given.networking, known)


def _config(
    given: RunArgs, project: Composed | None, override_command: bool | None
) -> dict[str, Any]:
    """Without the user."""
    found = {key: value for key, value in given.config.items() if key != "User"}
    if project is None:
        return found
    more = dict(project.config)
    health = {**found.get("Healthcheck", {}), **more.pop("Healthcheck", {})}
    if override_command is not False:
        more = {key: more[key] for key in more.keys() - {"Entrypoint", "Cmd"}}
    return {**found, **more, **({"Healthcheck": health} if health else {})}


def mounts(
    typed: DevContainer, given: RunArgs, added: Features, *, caller: Caller, at: Place
) -> workspace.Mounts:
    """Of the file and of features; those of options are in `given`."""
    own: list[MountEntry] = [(("mounts", index), one) for index, one in enumerate(typed.mounts)]
    return workspace.gather(
        [*added.mounts, *own],
        given,
        caller=caller,
        workspace=at.folder,
        own=frozenset() if at.project is None else at.project.own_volumes,
    )


def run_args(
    typed: DevContainer, caller: Caller, added: Features, project: Composed | None
) -> RunArgs:
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
    if project is None:
        return runargs.apply(typed.run_args, side, more=more)
    try:
        given = runargs.apply([], side, more=[*project.options, *more])
    except FieldError as error:
        raise FieldError(("service",), f"service {project.service}: {error}") from error
    return replace(given, mounts=(*project.mounts, *given.mounts))


def private_parts(
    made: RunArgs,
    typed: DevContainer,
    added: Features,
    *,
    caller: Caller,
    base: tuple[Composed | None, bool | None],
) -> tuple[tuple[str | int, ...], ...]:
    """Places in `config` and `host_config` of values that are never stored."""
    project, override_command = base
    if project is None:
        return ()
    own = {"config": dict(made.config), "host_config": dict(made.host_config)}
    other = None
    if project.shadow is not None:
        given = run_args(typed, caller, added, project.shadow)
        host = {**own["host_config"], **given.host_config}
        shadow = parts(given, host, project.shadow, override_command)
        other = {"config": dict(shadow.config), "host_config": dict(shadow.host_config)}
    return tuple(compose_hidden.places(project, own, other))


def private_env(document: Document, given: RunArgs, project: Composed | None) -> tuple[str, ...]:
    """Environment names whose values come from outside the file."""
    private = [read.path for read in documents.private_reads(document)]
    names = {str(path[1]) for path in private if path[0] in ("containerEnv", "remoteEnv")}
    names |= given.env_files.keys() | (set(given.host_env) - HARMLESS_ENV)
    if any(path[0] == "runArgs" for path in private):
        names |= given.env.keys()
    if project is not None:
        names |= compose_hidden.private_env(project)
    return tuple(sorted(names))


def private_values(
    document: Document, given: RunArgs, project: Composed | None, caller: Caller
) -> tuple[str, ...]:
    """Long enough to be masked without spoiling other text; longest first."""
    names = {read.name for read in documents.private_reads(document)}
    names |= set(given.host_env) - HARMLESS_ENV
    values = {caller.local_env[name] for name in names}
    values |= set() if project is None else set(project.hidden_values)
    values |= {value for value in given.env_files.values() if value}
    return maskable(values)


def host_config(
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
