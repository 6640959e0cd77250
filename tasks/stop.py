"""The pod's container does not run; everything in it stays.

Before it stops, the pod's commits are imported and its uncommitted work becomes a snapshot,
because a stopped container is one prune away from loss. What runs in the pod is not frozen for it:
it is about to be asked to end, and may still write. Done when the container is stopped or gone.
Engine API: `POST /containers/{id}/stop`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe, ProbeState, changed
from rumpel.errors import HostUnreachable, RumpelError
from rumpel.tasks import beside, guard
from rumpel.tasks.world import Access, PodAddress, World

KIND = "stop"
TITLE = "Stopping"
VERSION = 1
POLICY = Policy(slots=("stop",), timeout_s=600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"container.id": inputs.access.container_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    stopped = world.running(inputs.address.host, inputs.access.container_id)
    if stopped is None:
        return changed("container runs")
    if stopped.state is ProbeState.UNKNOWN:
        return stopped
    return beside.stopped(world, inputs.address)


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod, access = ctx.world, inputs.address, inputs.access
    state = world.container(pod.host, access.container_id)
    if isinstance(state, Probe) and state.state is ProbeState.UNKNOWN:
        raise HostUnreachable(state.detail)  # never stopped without the last look
    status = "gone" if isinstance(state, Probe) else state.status
    if status == "paused":  # it could not be asked, and engines hang on stopping it
        await world.host(pod.host).unpause(access.container_id)
    is_running = status in ("running", "paused")
    if is_running and access.is_set_up:
        try:
            await _save(ctx, pod, access)
        except RumpelError as error:  # a broken or hostile pod must not be one that never stops
            ctx.log(f"stopped without a last look: {error.message}")
        ctx.fault("synced")
    await world.links.close(pod.pod_id)
    await world.ports.close(pod.pod_id)
    await world.host(pod.host).stop(access.container_id)
    ctx.fault("stopped")
    await beside.stop(world, pod)
    await world.looked(pod.host, access.container_id)  # from far away the event comes later
    return Output(container_id=access.container_id)


async def _save(ctx: Context[World], pod: PodAddress, access: Access) -> None:
    world = ctx.world
    await world.links.connect(pod, access)
    await world.links.sync(pod)
    if await guard.look(world, pod) == guard.Work():
        return
    taken = await world.works.take(pod, access, "stop")
    ctx.fault("taken")
    for line in () if taken is None else taken.left[: guard.SHOWN]:
        ctx.log(f"not in the snapshot: {line}")


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: half-stopped is still all there."""
