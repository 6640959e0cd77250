"""`fork`: new pods with the branches, index and uncommitted files of another one.

The source goes on: its commits are imported and a snapshot of its work is taken, which is what
the new pods get once they are made. What a new pod still has to get is in the database from the
moment it is announced, so that whatever finishes the pod (`create`, `enter`) brings it, too.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, fields, replace
from typing import Any

from rumpel import names
from rumpel.daemon import (
    copied_in,
    image_label,
    initialize,
    outside,
    pending,
    requests,
    telling,
)
from rumpel.daemon import create as create_verb
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod, new_pod_id
from rumpel.daemon.requests import Base, Target
from rumpel.engine import faults
from rumpel.engine.operation import Probe
from rumpel.errors import Conflict, NameTaken, UsageError
from rumpel.graphs import fork as fork_graph
from rumpel.graphs.ids import address
from rumpel.model import ContainerSpec, ImageSpec, PodSpec, PortSpec

OWN = ("volumes", "mounts", "private_env")
"""Members of a container's spec that may differ from pod to pod (`${devcontainerId}`)."""
WORDS = {
    "bound": "where links in its mounts lead",
    "config": "container settings",
    "env": "environment",
    "host_config": "run options",
    "networking": "networks",
}
"""Of members whose names are of the Engine API; others are shown as they are called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of the source before its work is taken."""

    pod: Pod
    branches: dict[str, str]
    modules: dict[str, dict[str, str]]
    """Branches of its submodules, by key."""


async def run(app: App, client: Client) -> dict[str, object]:
    """The result line: a row a new pod, as `create` shows it."""
    where = await requests.target(client)
    pod = app.pods.get(where.ref.repo_id, client.request.args["name"])
    wanted = _wanted(client.request.args["names"], pod)
    await app.host(pod.spec.host)
    await outside.note(app, client, where.settings, pod.spec.host)
    outcome = create_verb.Outcome(where)
    specs = await _begun(app, client, where, pod, wanted=wanted, outcome=outcome)
    if not specs:
        _refuse_taken(app, where, pod, wanted)
        origin = await _import(app, client, pod)
        _refuse_branch(origin, wanted)
        await initialize.before(app, client, where)
        outcome.wanted = await copied_in.wanted(app, client, where)
        specs = await _announce(app, client, where, origin, wanted=wanted, outcome=outcome)
    await create_verb.realize(app, client, specs, outcome)
    if any(spec.project and spec.project.services and spec.pod in outcome.made for spec in specs):
        client.warn(f"services start anew: their volumes stay with pod {pod.name!r}")
    rows = await asyncio.to_thread(_rows, app, outcome, wanted)
    error = next((outcome.errors[name] for name in wanted if name in outcome.errors), None)
    if error is None:
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    return {"error": error.to_json(), "data": rows, "warnings": client.warnings}


def _wanted(given: tuple[str, ...], pod: Pod) -> list[str]:
    if not given:
        raise UsageError("name the new pod", hint=f"rumpel fork {pod.name} NEW")
    for name in given:
        names.check_pod_name(name)
    if len(set(given)) < len(given):
        raise UsageError("the same name was given twice")
    return list(given)


def _refuse_taken(app: App, where: Target, pod: Pod, wanted: list[str]) -> None:
    for name in wanted:
        if app.pods.find(where.ref.repo_id, name) is not None:
            raise NameTaken(
                f"there is a pod {name!r} already",
                hint=f"rumpel fork {pod.name} OTHER-NAME   or   rumpel delete {name}",
            )


def _refuse_branch(origin: Origin, wanted: list[str]) -> None:
    for name in wanted:
        if name in origin.branches:
            raise NameTaken(
                f"pod {origin.pod.name!r} has a branch {name!r}, "
                "and the new pod's own would get that name",
                hint=f"rumpel fork {origin.pod.name} OTHER-NAME",
            )


async def _begun(
    app: App,
    client: Client,
    where: Target,
    source: Pod,
    *,
    wanted: list[str],
    outcome: create_verb.Outcome,
) -> list[PodSpec]:
    """The same fork was asked for before and not finished: it goes on."""
    known = [app.pods.find(where.ref.repo_id, name) for name in wanted]
    begun = [
        pod
        for pod in known
        if pod is not None and pending.source_of(app, pod.pod_id) == source.pod_id
    ]
    if len(begun) < len(wanted):
        return []
    specs = []
    for pod in begun:
        outcome.pods[pod.name] = pod
        specs.append(await _spec(app, client, where, source, known=pod, outcome=outcome))
        app.creating[pod.pod_id] = app.creating.get(pod.pod_id, 0) + 1
    return specs


async def _import(app: App, client: Client, pod: Pod) -> Origin:
    """Its branches as they are now. Raises what kept them from being had."""
    spec, access = pod.spec, app.pods.access(pod.spec)
    if access is None or not access.is_set_up:
        raise Conflict(
            f"pod {pod.name!r} has no workspace to fork",
            hint=f"rumpel create {pod.name}   finishes it",
        )
    if isinstance(probe := app.world.container(spec.host, access.container_id), Probe):
        raise Conflict(
            f"pod {pod.name!r} cannot be forked: {probe.detail or 'its container is gone'}",
            hint=f"rumpel create {pod.name}   makes its container again, from its commits",
        )
    result = await app.runner.run(fork_graph.source(spec, access), client)
    for error in result.errors.values():
        raise error
    modules = app.links.deleted_modules(address(spec))
    return Origin(
        pod=pod,
        branches=dict(app.links.branches(pod.pod_id)),
        modules={module.key: module.branches for module in modules},
    )


async def _announce(
    app: App,
    client: Client,
    where: Target,
    origin: Origin,
    *,
    wanted: list[str],
    outcome: create_verb.Outcome,
) -> list[PodSpec]:
    specs = [
        await _spec(app, client, where, origin.pod, name=name, outcome=outcome) for name in wanted
    ]
    async with app.gate(where.ref.repo_id, origin.pod.spec.host):
        _refuse_taken(app, where, origin.pod, wanted)
        # Before the pod itself: one that is there without these would stay without them.
        await asyncio.gather(*(_note(app, origin, spec) for spec in specs))
        for pod in await asyncio.gather(*(app.pods.put(spec) for spec in specs)):
            outcome.pods[pod.name] = pod
            outcome.made.add(pod.name)
    await faults.reach("fork.announced")
    for spec in specs:
        await app.links.restore(address(spec))
        app.creating[spec.pod_id] = app.creating.get(spec.pod_id, 0) + 1
    return specs


async def _note(app: App, origin: Origin, spec: PodSpec) -> None:
    def renamed(branches: dict[str, str]) -> dict[str, str]:
        own = origin.pod.name
        return {spec.pod if name == own else name: oid for name, oid in branches.items()}

    modules = {key: renamed(branches) for key, branches in origin.modules.items()}
    await asyncio.gather(
        app.store.kv_set(f"fresh/{spec.pod_id}", renamed(origin.branches)),
        app.links.modules.bring_back(spec.pod_id, modules),
        pending.note(app, spec, origin.pod.pod_id),
    )


async def _spec(
    app: App,
    client: Client,
    where: Target,
    pod: Pod,
    *,
    outcome: create_verb.Outcome,
    name: str = "",
    known: Pod | None = None,
) -> PodSpec:
    """Of the configuration of today (it has the values), with the image of the source."""
    source = pod.spec
    name, pod_id = (known.name, known.pod_id) if known else (name, new_pod_id())
    dev = await requests.dev_config(where, client, pod=name, pod_id=pod_id)
    for warning in (*where.settings.warnings, *dev.warnings):
        client.warn(warning)
    await requests.consented(app.store, where, client, dev)
    start = Base(branch=source.base_branch, oid=source.base_oid)
    made = await requests.pod_spec(
        where, dev, pod=name, pod_id=pod_id, start=start, asked=source.asked
    )
    made = replace(made, host=source.host, copy_in=() if known is None else known.spec.copy_in)
    made = outcome.wanted.given(made) if known is None else made
    made = await image_label.looked_at(app, where, made, dev)
    outcome.devs[pod_id] = dev
    await telling.of_secrets(client, made)
    if changed := _changed(source, made):
        client.warn(
            f"the configuration changed since pod {source.pod!r} was made "
            f"({', '.join(changed)}): the fork has its image, and the rest as it is now"
        )
    image, forwards = _image(app, source, made), _forwards(source)
    return replace(made, image=image, forwards=forwards)


def _forwards(source: PodSpec) -> tuple[PortSpec, ...]:
    """What `forward-port` was asked for; a local port of its own choice stays the source's."""
    return tuple(replace(port, local=None) if port.local else port for port in source.forwards)


def _image(app: App, source: PodSpec, made: PodSpec) -> ImageSpec:
    made_of = app.pods.made_of(source)
    if not _has_other_image(source, made) or made_of is None:
        return made.image
    return ImageSpec(ref=str(made_of.image_id))


def _has_other_image(source: PodSpec, made: PodSpec) -> bool:
    """As stored: private values of what is known are digests."""
    return bool(made.to_json()["image"] != source.to_json()["image"])


def _changed(source: PodSpec, made: PodSpec) -> list[str]:
    """What is not as it was, without what differs from pod to pod."""
    before, now = _without_names(source), _without_names(made)
    members = [member.name for member in fields(ContainerSpec) if member.name not in OWN]
    found = ["image"] if _has_other_image(source, made) else []
    return found + [
        WORDS.get(name, name.replace("_", " ")) for name in members if before[name] != now[name]
    ]


def _without_names(spec: PodSpec) -> Any:
    """Of its container, with what is named after the pod (networks, volumes) named alike."""
    text = json.dumps(spec.to_json()["container"])
    own = f"{re.escape(names.project_name(spec.pod, spec.pod_id))}[0-9a-f]*"
    return json.loads(re.sub(own, "rumpel-POD", text))


def _rows(app: App, outcome: create_verb.Outcome, wanted: list[str]) -> list[dict[str, object]]:
    return [create_verb.row(app, outcome, name) for name in wanted]
