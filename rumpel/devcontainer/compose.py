"""A compose project seen from one of its services, which is the pod.

The pod's own service becomes options of `docker run`, which are judged, and need consent, like
those of any configuration. The others stay as compose has them, but for what would make two pods
meet: names, published ports, fixed addresses. What cannot be had is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path as HostPath
from typing import Any

from rumpel.devcontainer import (
    compose_hidden,
    compose_networks,
    compose_service,
    compose_sources,
    compose_volumes,
    consent,
    forwards,
    schema,
)
from rumpel.devcontainer import document as documents
from rumpel.devcontainer.build import Build
from rumpel.devcontainer.compose_service import Service
from rumpel.devcontainer.compose_sources import Sources
from rumpel.devcontainer.compose_table import words
from rumpel.devcontainer.consent import Effect
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.secret_values import mask, maskable
from rumpel.errors import ConfigError, RumpelError
from rumpel.model import PortSpec

FIELDS = ("dockerComposeFile", "service", "runServices")
FILE: Path = ("dockerComposeFile",)
SERVICE: Path = ("service",)
SHADOW = "rumpel0shadow"
"""Stands for a value that is not to be stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Who runs the program, and what it may read."""

    granted: frozenset[str]
    """Keys of effects that were agreed to."""
    canonical: Callable[[Sources, Mapping[str, str]], dict[str, Any]]
    """Blocking: the canonical model, with these variables. Raises RumpelError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """A service that runs beside the pod. Exactly one of `image` and `build` is set."""

    name: str
    image: str | None
    build: Build | None
    body: Mapping[str, Any]
    needs: Mapping[str, str]
    private: tuple[tuple[str | int, ...], ...] = ()
    """Places in `body` whose values are never stored and never shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """`options` and what follows are of the pod's own service."""

    service: str
    image: str | None
    build: Build | None
    options: tuple[Option, ...]
    env: Mapping[str, str | None]
    mounts: tuple[tuple[Path, Mount], ...]
    config: Mapping[str, Any]
    """Parts of the create body that no option has: what it runs, its health check."""
    is_idle: bool
    """Its command only waits."""
    folder: str
    """Where the repository is in it, when workspaceFolder does not say."""
    waits: Mapping[str, str]
    shares: str
    """The service in whose network it is; empty: it has its own."""
    beside: tuple[Beside, ...]
    networks: Mapping[str, Mapping[str, Any]]
    volumes: Mapping[str, Mapping[str, Any]]
    own_volumes: frozenset[str]
    ports: tuple[PortSpec, ...]
    effects: tuple[Effect, ...]
    """Of reading the files, of the other services, of networks and volumes."""
    notes: Mapping[Path, str] = field(default_factory=dict)
    """Field -> what of it is done in another way."""
    warnings: tuple[str, ...] = ()
    hidden_values: tuple[str, ...] = ()
    """What no message may show: values of the caller's environment and of `.env`."""
    hidden_env: frozenset[str] = frozenset()
    """Variables of the pod that come from an env_file."""
    private: tuple[tuple[str | int, ...], ...] = ()
    """Places in `volumes` and `networks` that hold such values."""
    shadow: Composed | None = field(default=None, repr=False)
    """The same with other values in their place: where the two differ, there they are."""


def resolve(document: Document, caller: Caller, composer: Composer) -> Composed:
    """Raises FieldError, Unasked, NotFound when there is no program."""
    try:
        return _resolved(document, caller, composer)
    except FieldError:
        raise
    except ConfigError as error:
        raise FieldError(FILE, error.message, hint=error.hint) from error


def _resolved(document: Document, caller: Caller, composer: Composer) -> Composed:
    typed, problems = schema.read(document.config)
    for problem in problems:
        if problem.path[0] in FIELDS:
            raise problem
    sources = _sources(document, caller, composer, typed.compose_file)
    env = {name: caller.local_env[name] for name in sources.variables & caller.local_env.keys()}
    hidden = compose_sources.hidden(sources, caller.local_env)
    model = _canonical(composer, sources, env, hidden)
    services = _services(model)
    if not typed.service:
        raise FieldError(FILE, f"service must name one of: {', '.join(services)}")
    for path, name in _named(typed):
        if name not in services:
            there = ", ".join(services) or "none"
            raise FieldError(path, f"there is no service {name}, there are: {there}")
    said = sources.dotenv.get("COMPOSE_PROFILES", "")
    profiles = frozenset(one.strip() for one in said.split(","))
    project = _Project(document, caller, model, services, profiles)
    made = project.composed(typed.service, typed.run_services)
    values = {**sources.dotenv, **caller.local_env}
    others = {name: f"{SHADOW}{at}" for at, name in enumerate(hidden) if values[name]}
    made = replace(
        made,
        effects=(*compose_sources.effects(sources, caller.local_env), *made.effects),
        notes={**made.notes, **_own_names(made, sources)},
        warnings=(
            *made.warnings,
            *(
                f"{name} is not set: it is empty in the compose project"
                for name in compose_sources.unset(sources, caller.local_env)
            ),
        ),
        hidden_values=tuple(filter(None, (values[name] for name in hidden))),
        hidden_env=frozenset(sources.from_files),
    )
    if others:
        again = partial(composer.canonical, sources, {**env, **others})
        made = replace(made, shadow=_shadow(project, typed, again))
    return compose_hidden.sealed(made) if others or sources.from_files else made


def _canonical(
    composer: Composer, sources: Sources, env: Mapping[str, str], hidden: Iterable[str]
) -> dict[str, Any]:
    """What the program says is wrong may have values in it."""
    try:
        return composer.canonical(sources, env)
    except RumpelError as error:
        values = {**sources.dotenv, **env}
        private = maskable(values[name] for name in hidden if name in values)
        error.message = str(mask(error.message, private))
        error.details = mask(error.details, private)
        raise


def _shadow(
    project: _Project, typed: schema.DevContainer, canonical: Callable[[], dict[str, Any]]
) -> Composed | None:
    """None where such a value is no text, but a number or the like."""
    try:
        model = canonical()
        other = replace(project, model=model, services=_services(model))
        return other.composed(typed.service or "", typed.run_services)
    except RumpelError:
        return None


def _sources(document: Document, caller: Caller, composer: Composer, wanted: list[str]) -> Sources:
    folder = HostPath(caller.root, document.parsed.filename).parent
    files = compose_sources.names(wanted, caller, folder)
    marker = "compose-file:"
    may_read = {key.removeprefix(marker) for key in composer.granted if key.startswith(marker)}
    found = compose_sources.read(files, caller, frozenset(may_read))
    asked = consent.missing(compose_sources.effects(found, caller.local_env), composer.granted)
    if asked:
        raise consent.Unasked(asked)
    return found


def _own_names(made: Composed, sources: Sources) -> dict[Path, str]:
    said = [
        f"{kind} {name}"
        for kind, keys in sources.own_names.items()
        for name in dict.fromkeys(keys)
        if not getattr(made, kind).get(name, {"external": True})["external"]
    ]
    if not said:
        return {}
    told = f"{', '.join(said)}: named after the pod, since each has its own"
    return {FILE: "; ".join(filter(None, (made.notes.get(FILE), told)))}


def _services(model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    found = model.get("services")
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise FieldError(FILE, "the compose project has no services")
    return found


def _named(typed: schema.DevContainer) -> Iterator[tuple[Path, str]]:
    yield SERVICE, typed.service or ""
    yield from ((("runServices", index), name) for index, name in enumerate(typed.run_services))


@dataclass(frozen=True, slots=True)
class _Project:
    document: Document
    caller: Caller
    model: Mapping[str, Any]
    services: Mapping[str, Mapping[str, Any]]
    profiles: frozenset[str]

    def composed(self, own: str, run_services: list[str]) -> Composed:
        chosen = self._chosen(own, run_services)
        read = {name: self._read(name, own) for name in (own, *chosen)}
        networks = compose_networks.used(self.model, read, own, self.caller)
        volumes = compose_volumes.used(self.model, read, self.caller)
        pod = read[own]
        mounts, binds, workspace = compose_volumes.of_pod(
            pod.volumes, volumes, self.caller, self.document.config.get("workspaceFolder") or ""
        )
        return Composed(
            service=own,
            image=pod.image,
            build=pod.build,
            options=(*pod.options, *binds, *compose_networks.options(pod, networks)),
            env=pod.env,
            mounts=mounts,
            config={**pod.config, **compose_service.command(pod)},
            is_idle=compose_service.is_idle(pod),
            folder=workspace or documents.usual_folder(self.caller),
            waits={name: how for name, how in pod.needs.items() if name in chosen},
            shares=pod.shares,
            beside=tuple(self._beside(read[name], networks, own) for name in chosen),
            networks=networks,
            volumes=volumes,
            own_volumes=frozenset(
                str(one["name"]) for one in volumes.values() if not one["external"]
            ),
            ports=forwards.bounded((port for one in read.values() for port in one.ports), FILE),
            effects=tuple(self._effects(read, own, networks, volumes)),
            notes=_notes(read, own, workspace, self._off(read)),
            warnings=tuple(
                f"compose service {name}: {text}" for name, one in read.items() for text in one.lost
            ),
        )

    def _read(self, name: str, own: str) -> Service:
        try:
            return compose_service.read(name, self.model, self.caller, pod=own)
        except FieldError as error:
            where = SERVICE if name == own else FILE
            raise FieldError(where, f"service {name}: {error}", hint=error.hint) from error
        except ConfigError as error:
            raise ConfigError(f"service {name}: {error.message}", hint=error.hint) from error

    def _chosen(self, own: str, run_services: list[str]) -> list[str]:
        """Those beside the pod's, and what they depend on, in the order of the project."""
        wanted = set(run_services) or {
            name
            for name, one in self.services.items()
            if not one.get("profiles")
            or self.profiles.intersection(words(one["profiles"], ("profiles",)))
        }
        is_on = {name for name, one in self.services.items() if not compose_service.is_off(one)}
        found, due = set[str](), [*(wanted & is_on), own]
        while due:
            name = due.pop()
            if name in found:
                continue
            found.add(name)
            needs = compose_service.needs(self.services.get(name, {}))
            due += [one for one in needs if one in self.services]
        return [name for name in self.services if name in found - {own}]

    def _off(self, read: Mapping[str, Service]) -> list[str]:
        return [
            name
            for name, one in self.services.items()
            if name not in read and compose_service.is_off(one)
        ]

    def _beside(self, one: Service, networks: Mapping[str, Mapping[str, Any]], own: str) -> Beside:
        body = compose_service.body(one, own, compose_networks.joined(one, networks))
        return Beside(
            name=one.name,
            image=one.image,
            build=one.build,
            body=body,
            needs={name: how for name, how in one.needs.items() if name != own},
        )

    def _effects(
        self,
        read: Mapping[str, Service],
        own: str,
        networks: Mapping[str, Mapping[str, Any]],
        volumes: Mapping[str, Mapping[str, Any]],
    ) -> Iterator[Effect]:
        for name, one in read.items():
            if name != own:
                for effect in compose_service.effects(one, self.caller):
                    yield consent.of_part(effect, f"service {name}")
        yield from compose_networks.effects(networks)
        yield from compose_volumes.effects(volumes)


def _notes(
    read: Mapping[str, Service], own: str, workspace: str, off: list[str]
) -> dict[Path, str]:
    found: dict[Path, list[str]] = {}
    if off:
        found[FILE] = [f"{name}: it is not started: none of it is wanted" for name in off]
    for name, one in read.items():
        at = SERVICE if name == own else FILE
        found.setdefault(at, []).extend(f"{name}: {text}" for text in (*one.notes, *one.lost))
    if workspace:
        told = f"{own}: the bind mount of the repository is the pod's own clone"
        found.setdefault(SERVICE, []).append(told)
    return {at: "; ".join(dict.fromkeys(texts)) for at, texts in found.items() if texts}


def describe(made: Composed) -> dict[str, Any]:
    """For `rumpel config`."""
    return {
        "service": made.service,
        "services": {
            one.name: one.image or f"built from {one.build.dockerfile if one.build else ''}"
            for one in made.beside
        },
        "networks": {key: one["name"] for key, one in made.networks.items()},
        "volumes": {key: one["name"] for key, one in made.volumes.items()},
        "depends_on": dict(made.waits),
    }
