"""The services of a compose project run beside the pod: an own set of them for each pod.

Networks and volumes are made by the engine's API, with the labels of the pod; containers by the
compose program, from one file without what pods would meet by (names, published ports), in which
the pod's own service is not: compose can never remove work. A container that is there and only
stopped is started without the program. Stale when the entry or the image of a service changes, or
when one does not run. Engine API: `POST /networks/create`, `/volumes/create`, `/containers/start`.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from rumpel import names
from rumpel.adapters import compose, threads
from rumpel.adapters.docker_types import ContainerState
from rumpel.engine.operation import OK, Context, Json, Policy, Probe, ProbeState, changed
from rumpel.errors import Conflict
from rumpel.model import ProjectSpec, ServiceSpec
from rumpel.sealing import is_sealed
from rumpel.tasks import (
    beside,
    container,
    service_binds,
    service_digest,
    service_parts,
    service_values,
)
from rumpel.tasks.beside import LABEL_SERVICE, SERVICE, containers, is_over, until
from rumpel.tasks.service_start import explained
from rumpel.tasks.world import PodAddress, World

KIND = "services"
TITLE = "Starting services"
VERSION = 1
POLICY = Policy(slots=("create",), timeout_s=1800.0)

NONE = "-"
"""In the place of the pod's service: there is no compose project any more, and all of it goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    project: ProjectSpec
    image_ids: tuple[str, ...]
    """Of its services, in their order."""
    may_replace: bool = False
    """Containers that are made of something else go: as with the pod's own, only when asked."""
    as_is: bool = False
    """The pod is entered: what is there is started, whatever it is made of, what is missing is
    made, and nothing goes."""
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """What nobody is to read in what they print, as far as it is known; never stored."""
    ended: dict[str, str] = field(default_factory=dict)
    """Services that came to a good end before, and what they were made of: where the container of
    one went, nobody misses it.
    """

    @property
    def made_of(self) -> list[tuple[ServiceSpec, str]]:
        """Each with its image; empty when it is not known, which only who enters may meet."""
        images, wanted = self.image_ids, self.project.services
        if self.as_is and len(images) != len(wanted):
            images = ("",) * len(wanted)
        return list(zip(wanted, images, strict=True))

    @property
    def over(self) -> set[str]:
        """Those of `ended` that would be made of the same now; who enters asks for nothing new."""
        now = {one.name: service_digest.digest(one, image) for one, image in self.made_of}
        return {name for name, made in self.ended.items() if self.as_is or now.get(name) == made}


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    containers: dict[str, tuple[str, ...]]
    """Ids by service."""
    image_ids: tuple[str, ...]
    shared: str = ""
    """The container in whose network the pod is to be."""
    ended: tuple[str, ...] = ()
    """Services that came to a good end: nobody waits for them to run."""
    ended_as: dict[str, str] = field(default_factory=dict)
    """What those were made of."""
    missing: tuple[str, ...] = ()
    """They could not be made when the pod was entered, and it goes without."""
    differs: tuple[str, ...] = ()
    """They were met when it was entered, and are not what it is made of."""
    other_networks: tuple[str, ...] = ()
    """The same, with other settings."""
    other_volumes: tuple[str, ...] = ()
    """Kept as they were made, for their data, though the project has other settings now."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    project = inputs.project
    return {
        "pod": inputs.address.pod_id,
        **{
            f"service.{one.name}": {**one.sealed_body, "image": image}
            for one, image in inputs.made_of
        },
        **project.sealed_parts,
        "dependsOn": project.waits,
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    serving = beside.serving(inputs.project)
    for service, ids in output.containers.items():
        for container_id in ids:
            state = world.container(inputs.address.host, container_id)
            if isinstance(state, Probe):
                if state.state is ProbeState.UNKNOWN:
                    return state
                if service in output.ended and (inputs.as_is or service in output.ended_as):
                    continue
                return changed(f"service {service}: {state.detail}")
            may_end = service in output.ended or beside.pod_runs(world, inputs.address)
            may_end = may_end and service not in serving
            if state.status != "running" and not (may_end and is_over(state)):
                return changed(f"service {service} is {state.status}")
    if output.missing and not inputs.as_is:
        return changed(f"service {output.missing[0]} has no container")
    if output.differs and not inputs.as_is:
        return changed(f"service {output.differs[0]} is not as configured")
    if output.other_networks and not inputs.as_is:
        return changed(f"network {output.other_networks[0]} is not as configured")
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    async with service_values.unsaid(ctx.world, inputs):
        found = await containers(ctx.world, inputs.address)
        if inputs.project.service == NONE:
            await beside.remove(ctx.world, inputs.address)
            return Output(containers={}, image_ids=())
        if not inputs.project.service:  # adopted: all that is known of them is there
            await _start(ctx, inputs, found)
            return await _output(ctx, inputs)
        service_binds.refuse(inputs.address, inputs.project.services)
        made, networks = await service_parts.networks(ctx, inputs, found)
        others = {"networks": networks, "volumes": await service_parts.volumes(ctx, inputs)}
        ctx.fault("prepared")
        await threads.call(service_binds.refuse_links, inputs.address, inputs.project.services)
        await service_parts.join(ctx, inputs, found, made)
        if inputs.as_is:
            await _start(ctx, inputs, found, make=_missing(ctx, inputs, found))
        elif _is_whole(inputs, found):
            await _start(ctx, inputs, found)
        else:
            _refuse_change(inputs, found)
            await _renew(ctx, inputs, found)
        ctx.fault("up")
        for name, how in inputs.project.waits.items():
            await _until(ctx, inputs, name, how)
        if inputs.may_replace:
            await service_parts.tidy(ctx.world, inputs.address, inputs.project)
        return await _output(ctx, inputs, others)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: run again, it goes on; what it made goes with the pod."""


def _missing(
    ctx: Context[World], inputs: Inputs, found: list[ContainerState]
) -> dict[str, ServiceSpec]:
    """What who enters the pod has to make. It may go without what nobody needs and it cannot make.

    What is there may be what a recreate that failed has made of it.
    """
    project, pod = inputs.project, inputs.address
    if service_digest.changed(inputs.made_of, found):
        ctx.log(f"services are not as the pod was made: rumpel recreate {pod.pod}")
    there = {one.labels.get(LABEL_SERVICE) for one in found if one.status != "dead"}
    over = inputs.over
    missing = {one.name: one for one in project.services if one.name not in there | over}
    needed = {*project.waits, project.shares}.union(*(one.needs for one in project.services))
    if missing and beside.pod_runs(ctx.world, inputs.address):
        for name in [name for name, one in missing.items() if is_sealed(one.body)]:
            if name not in needed:
                del missing[name]
                ctx.log(
                    f"service {name} is gone, and its private values are not kept: "
                    f"rumpel create {pod.pod}"
                )
    return missing


def _is_whole(inputs: Inputs, found: list[ContainerState]) -> bool:
    """Is there what should be there? Not a container that went after its good end."""
    gone = inputs.over - {one.labels.get(LABEL_SERVICE) for one in found}
    wanted = [pair for pair in inputs.made_of if pair[0].name not in gone]
    return service_digest.is_whole(wanted, found)


async def _renew(ctx: Context[World], inputs: Inputs, found: list[ContainerState]) -> None:
    """All but what came to a good end already as what it is to be: compose would run it again."""
    world, known = ctx.world, {one.name for one in inputs.project.services}
    over = inputs.over - {one.labels.get(LABEL_SERVICE) for one in found}
    if beside.pod_runs(world, inputs.address):
        ended = {one.labels.get(LABEL_SERVICE, "") for one in found if is_over(one)}
        changed = service_digest.changed(inputs.made_of, found)
        over |= (ended & known) - beside.serving(inputs.project) - {*changed}
    left = known - over
    is_all = bool(left) and not over
    await service_parts.drop(ctx, inputs, found, by_compose=is_all)
    if is_all:
        await _up(ctx, inputs)
    elif left:
        await _up(ctx, inputs, only=left)


def _refuse_change(inputs: Inputs, found: list[ContainerState]) -> None:
    """A container that never ran has nothing to lose."""
    pod, ran = inputs.address.pod, [one for one in found if one.status != "created"]
    for service in [] if inputs.may_replace else service_digest.changed(inputs.made_of, ran):
        raise Conflict(
            f"service {service} of pod {pod!r} changed since its container was made; "
            "the container was kept",
            hint=f"rumpel recreate {pod}   makes a new one, with the data of its volumes",
        )


async def _start(
    ctx: Context[World],
    inputs: Inputs,
    found: list[ContainerState],
    make: Mapping[str, ServiceSpec] = MappingProxyType({}),
) -> None:
    """In the order of what they need; each that another one waits for has to be so far."""
    host = ctx.world.host(inputs.address.host)
    by_name = {one.labels.get(LABEL_SERVICE, one.name): one for one in found}
    needs = {one.name: one.needs for one in inputs.project.services}
    done, is_up = set[str](), beside.pod_runs(ctx.world, inputs.address)
    serving = beside.serving(inputs.project)

    async def one(name: str) -> None:
        if name in done or not (name in by_name or name in make):
            return
        done.add(name)
        for other, how in needs.get(name, {}).items():
            await one(other)
            await _until(ctx, inputs, other, how)
        if name in make:
            await _up(ctx, inputs, only=[name])
            return
        state = by_name[name]
        if state.status == "paused":
            await host.unpause(state.id)
        elif state.status != "running" and not (is_up and is_over(state) and name not in serving):
            ctx.log(f"starting {name}")
            async with explained(ctx.world, inputs.address):
                await host.start(state.id)

    for name in [*by_name, *make]:
        await one(name)


async def _until(ctx: Context[World], inputs: Inputs, name: str, how: str) -> None:
    if name in inputs.over and not await containers(ctx.world, inputs.address, name):
        return  # it went after its good end
    await until(ctx.world, inputs.address, name, how, log=ctx.log)


async def _up(ctx: Context[World], inputs: Inputs, only: Collection[str] | None = None) -> None:
    """`only`: nothing else is touched; what these need is there."""
    host, pod = ctx.world.host(inputs.address.host), inputs.address
    labels = {**service_parts.labels(ctx, inputs, SERVICE), names.LABEL_REPO: pod.repo.repo_id}
    made = service_digest.model(inputs.project, inputs.made_of, labels)
    if only is not None:
        made["services"] = {
            name: await beside.apart(ctx.world, pod, made["services"][name], told=only)
            for name in only
        }
    if is_sealed(made):
        raise service_parts.lost(inputs)
    if not all(one["image"] for one in made["services"].values()):
        raise service_parts.lost(inputs, "which image it was made of is")
    folder = ctx.world.scratch_dir / f"compose-{ctx.attempt}-{ctx.nonce[:8]}"
    await threads.call(folder.mkdir, mode=0o700)
    try:
        async with explained(ctx.world, pod):
            await compose.up(
                made,
                project=names.project_name(pod.pod, pod.pod_id),
                url=host.http.endpoint.docker_url,
                folder=folder,
                on_line=ctx.log,
                private=service_values.known(inputs.project, inputs.hidden),
                is_all=only is None,
            )
    finally:
        await threads.call(shutil.rmtree, folder, ignore_errors=True)


async def _output(
    ctx: Context[World], inputs: Inputs, others: Mapping[str, list[str]] = MappingProxyType({})
) -> Output:
    ids: dict[str, list[str]] = {}
    ended, serving = dict[str, str](), beside.serving(inputs.project)
    found = await containers(ctx.world, inputs.address)
    for one in found:
        await ctx.world.looked(inputs.address.host, one.id)
        service = one.labels.get(LABEL_SERVICE, one.name)
        ids.setdefault(service, []).append(one.id)
        if is_over(one) and service not in serving:
            ended[service] = one.labels.get(container.LABEL_SPEC, "")
        elif one.status != "running":
            ctx.log(f"service {service} is {one.status} ({one.exit_code})")
    ended |= {name: inputs.ended[name] for name in inputs.over if name not in ids}
    gone = [one.name for one in inputs.project.services if one.name not in (*ids, *ended)]
    return Output(
        containers={name: tuple(found) for name, found in ids.items()},
        image_ids=inputs.image_ids,
        shared=next(iter(ids.get(inputs.project.shares, ())), ""),
        ended=tuple(ended),
        ended_as=ended,
        missing=tuple(gone) if inputs.as_is else (),
        differs=tuple(service_digest.changed(inputs.made_of, found)) if inputs.as_is else (),
        other_networks=tuple(others.get("networks", ())),
        other_volumes=tuple(others.get("volumes", ())),
    )
