"""The pod's container does not run; everything in it stays.

Before it stops, the pod's commits are imported, because a stopped container is one prune away
from loss. Done when the container is stopped or gone. Engine API: `POST /containers/{id}/stop`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import OK, Context, Json, Policy, Probe, ProbeState, changed
from rumpel.errors import RumpelError
from rumpel.tasks.world import Access, PodAddress, World

KIND = "stop"
TITLE = "Stopping"
VERSION = 1
POLICY = Policy(slots=("stop",), timeout_s=120.0)

GRACE_S = 10


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
    return stopped if stopped.state is ProbeState.UNKNOWN else OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod, access = ctx.world, inputs.address, inputs.access
    state = world.container(pod.host, access.container_id)
    status = "gone" if isinstance(state, Probe) else state.status
    if status == "paused":  # it could not be asked, and engines hang on stopping it
        await world.host(pod.host).unpause(access.container_id)
    is_running = status in ("running", "paused")
    if is_running and access.is_set_up:
        try:
            await world.links.connect(pod, access)
            await world.links.sync(pod)
            await world.links.refresh_dirty(pod)
        except RumpelError as error:  # a broken or hostile pod must not be one that never stops
            ctx.log(f"stopped without a last import: {error.message}")
        ctx.fault("synced")
    await world.links.close(pod.pod_id)
    await world.host(pod.host).stop(access.container_id, grace_s=GRACE_S)
    return Output(container_id=access.container_id)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: half-stopped is still all there."""
