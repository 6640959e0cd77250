"""The pod's container is gone, and with it its published refs.

Only what carries our labels and the pod's id is removed. Comes after `guard` and `keep` in the
same run. Engine API: `DELETE /containers/{id}`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel import names
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.tasks import beside, carried
from rumpel.tasks.world import PodAddress, World

KIND = "remove"
TITLE = "Removing container"
VERSION = 1
POLICY = Policy(slots=("stop",), timeout_s=120.0, retries=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    kept: int
    """Branches held by `keep`: the guard edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    containers: int


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod = ctx.world, inputs.address
    host = world.host(pod.host)
    await world.links.close(pod.pod_id)
    await world.ports.close(pod.pod_id)
    found = await host.containers(world.label_filter("pod", pod_id=pod.pod_id))
    carriers = await host.containers(world.label_filter(carried.KIND, pod_id=pod.pod_id))
    for state in (*found, *carriers):
        await host.remove(state.id, force=True, volumes=True)
        ctx.fault("removed")
    await beside.remove(world, pod)
    ctx.fault("services-gone")
    for volume in await host.volumes(f"{names.LABEL_POD_ID}={pod.pod_id}"):
        for name in beside.volumes_of(volume):
            await host.remove_volume(name)
    await world.links.forget(pod)
    return Output(containers=len(found))


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: run again, it removes what is left."""
