"""Services of a pod: which there are, until when one is waited for, and their stop and end.

No operation of its own: `services`, `stop` and `remove` are. Engine API: `GET /events`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rumpel import names
from rumpel.adapters.docker_types import ContainerState, VolumeInfo
from rumpel.engine.operation import OK, Probe, changed
from rumpel.errors import CommandFailed, RumpelError, TimedOut
from rumpel.tasks.world import PodAddress, World

if TYPE_CHECKING:
    from rumpel.adapters.docker_api import DockerHost
    from rumpel.model import ProjectSpec

SERVICE = "service"
"""LABEL_KIND of a container."""
LABEL_SERVICE = "rumpel.service"
NETWORK = "network"
"""LABEL_KIND of one."""
LABEL_LEFT = "rumpel.left"
"""On an empty volume of a pod: the anonymous one that a service it has no more left behind."""
ANONYMOUS = re.compile(r"[0-9a-f]{64}")
"""An id, and the name of a volume that has none."""
STARTED, HEALTHY = "service_started", "service_healthy"
ENDED = "service_completed_successfully"
WORDS = {HEALTHY: "is healthy", ENDED: "has come to its end"}
LIMIT_S = 300.0
"""So long a service is waited for that is to be healthy, or to come to its end."""
_SAID = "   (above: what its healthcheck printed)"
OVERLAP_NS, LOOK_AGAIN_S = 2 * 10**9, 5.0
"""What happened while nobody listened yet; the clock of an engine far away may be another."""


async def containers(world: World, pod: PodAddress, service: str = "") -> list[ContainerState]:
    """Of the services of a pod, running or not."""
    more = {"service": service} if service else {}
    wanted = world.label_filter(SERVICE, pod_id=pod.pod_id, **more)
    return await world.host(pod.host).containers(wanted)


def is_over(state: ContainerState) -> bool:
    """Did it come to a good end? So does what is stopped, if it knows how."""
    return state.status == "exited" and state.exit_code == 0


def serving(project: ProjectSpec) -> set[str]:
    """Services that are there to run, as far as their project says so: their end is never good.

    Not by what one that ends may have in common with others of its project (`expose`, a check).
    """
    waits = [project.waits, *(one.needs for one in project.services)]
    ends = {name for of in waits for name, how in of.items() if how == ENDED}
    found = {name for of in waits for name, how in of.items() if how == HEALTHY}
    found |= {port.host for port in project.ports}
    always = ("always", "unless-stopped")
    found |= {one.name for one in project.services if one.body.get("restart") in always}
    return found - ends


def pod_runs(world: World, pod: PodAddress) -> bool:
    """Its stop stops services, too: without it, an end says nothing."""
    snapshot = world.snapshot(pod.host)
    return snapshot is not None and any(
        state.status == "running"
        and state.labels.get(names.LABEL_KIND) == names.POD
        and state.labels.get(names.LABEL_POD_ID) == pod.pod_id
        for state in snapshot.containers.values()
    )


async def apart(
    world: World, pod: PodAddress, body: Mapping[str, Any], *, told: Collection[str]
) -> dict[str, Any]:
    """A service of whose project compose is told of these alone."""
    done = {**body}
    needs = done.pop("depends_on", {})
    if kept := {name: how for name, how in needs.items() if name in told}:
        done["depends_on"] = kept
    for key in ("network_mode", "ipc", "pid"):
        kind, _, other = str(done.get(key, "")).partition(":")
        if kind == "service" and other not in told:
            for state in await containers(world, pod, other):
                done[key] = f"container:{state.id}"
    return done


async def until(
    world: World, pod: PodAddress, service: str, how: str, *, log: Callable[[str], None]
) -> None:
    """By what the engine tells. Raises CommandFailed when it goes wrong, TimedOut.

    The details are as the service printed them: who calls masks them (`service_values`).
    """
    if how == STARTED:
        return
    log(f"waiting until service {service} {WORDS.get(how, how)}")
    bell = asyncio.Event()
    listening = asyncio.create_task(_listen(world, pod, bell))
    try:
        async with asyncio.timeout(LIMIT_S):
            while not await _is_so_far(world, pod, service, how):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await bell.wait()
                bell.clear()
    except TimeoutError as error:
        raise TimedOut(
            f"service {service} was not so far within {LIMIT_S:g} s: {WORDS.get(how, how)}",
            hint=f"rumpel logs {pod.pod} services",
        ) from error
    finally:
        listening.cancel()
        await asyncio.wait({listening})


async def _listen(world: World, pod: PodAddress, bell: asyncio.Event) -> None:
    filters = {
        "type": ["container"],
        "event": ["die", "health_status"],
        "label": world.label_filter(SERVICE, pod_id=pod.pod_id),
    }
    host: DockerHost = world.host(pod.host)
    try:
        async for _ in host.events(filters, since_ns=time.time_ns() - OVERLAP_NS):
            bell.set()
    except RumpelError:
        return  # who waits looks now and then anyway, and is told


async def _is_so_far(world: World, pod: PodAddress, service: str, how: str) -> bool:
    found = await containers(world, pod, service)
    if not found:
        raise CommandFailed(f"service {service} has no container")
    ended = [one for one in found if one.status in ("exited", "dead")]
    if how == ENDED:
        if any(one.exit_code for one in ended):
            raise await _failed(world, pod, service, ended[0])
        return len(ended) == len(found)
    if ended:
        raise await _failed(world, pod, service, ended[0])
    details = [await world.host(pod.host).inspect(one.id) for one in found]
    for detail in details:
        if not detail.health:
            raise CommandFailed(f"service {service} has no healthcheck, and others wait for one")
        if detail.health == "unhealthy":
            more = _SAID if detail.health_said.strip() else ""
            raise CommandFailed(
                f"service {service} is unhealthy, and others wait for it",
                hint=f"rumpel logs {pod.pod} {service}{more}",
                details={"tail": detail.health_said},
            )
    return all(detail.health == "healthy" for detail in details)


async def _failed(
    world: World, pod: PodAddress, service: str, state: ContainerState
) -> CommandFailed:
    tail = (await world.host(pod.host).logs(state.id)).decode(errors="replace")
    return CommandFailed(
        f"service {service} ended with {state.exit_code}, and others wait for it",
        hint=f"rumpel logs {pod.pod} {service}",
        details={"tail": tail},
    )


async def stop(world: World, pod: PodAddress) -> None:
    """All at once; everything in them stays."""
    host, snapshot = world.host(pod.host), world.snapshot(pod.host)
    if snapshot is not None and not list(of_pod(snapshot.containers.values(), pod)):
        return  # most pods have none
    found = [one for one in await containers(world, pod) if one.status in ("running", "paused")]
    for one in found:
        if one.status == "paused":
            await host.unpause(one.id)
    await asyncio.gather(*(host.stop(one.id) for one in found))
    for one in found:
        await world.looked(pod.host, one.id)


def stopped(world: World, pod: PodAddress) -> Probe:
    """As far as the warm view knows."""
    snapshot = world.snapshot(pod.host)
    for state in () if snapshot is None else of_pod(snapshot.containers.values(), pod):
        if state.status == "running":
            return changed(f"service {state.labels.get(LABEL_SERVICE)} runs")
    return OK


def of_pod(found: Iterable[ContainerState], pod: PodAddress) -> Iterator[ContainerState]:
    """Those of `found` that are containers of its services."""
    for state in found:
        is_own = state.labels.get(names.LABEL_POD_ID) == pod.pod_id
        if is_own and state.labels.get(names.LABEL_KIND) == SERVICE:
            yield state


async def remove(world: World, pod: PodAddress) -> None:
    """Containers and networks; volumes go with those of the pod."""
    host = world.host(pod.host)
    found = await containers(world, pod)
    await asyncio.gather(*(host.remove(one.id, force=True, volumes=True) for one in found))
    for network in await host.networks(world.label_filter(NETWORK, pod_id=pod.pod_id)):
        await host.remove_network(network.id)


def volumes_of(volume: VolumeInfo) -> list[str]:
    """Names of what goes when this one of a pod does."""
    left = volume.labels.get(LABEL_LEFT, "")
    return [left, volume.name] if ANONYMOUS.fullmatch(left) else [volume.name]
