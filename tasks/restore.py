"""The workspace of a pod is what a snapshot of it was.

Files, index, stashes, HEAD and what was in progress. What the pod has before is made a snapshot
first, and when that cannot hold all of it, nothing is touched. Ignored files stay.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import Conflict, RumpelError
from rumpel.tasks.world import Access, PodAddress, World

KIND = "restore"
TITLE = "Restoring work"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=900.0)

SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    container_id: str
    user: str
    as_main: bool
    oid: str
    """The snapshot's commit."""
    is_new: bool
    """The pod was made for it: nobody has worked in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    saved: str | None
    """Snapshot of what the pod had before, if it had anything."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id, "snapshot": inputs.oid}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod = ctx.world, inputs.address
    access = Access(container_id=inputs.container_id, user=inputs.user, as_main=inputs.as_main)
    saved = None
    if not inputs.is_new:
        await world.links.sync(pod)
        taken = await world.works.take(pod, access, "restore")
        if taken is not None:
            _refuse(pod, taken.left)
            saved = taken.snapshot.oid
        ctx.fault("saved")
    try:
        await world.works.put(pod, access, inputs.oid)
    except RumpelError as error:
        if saved is not None:
            error.hint = f"rumpel restore {pod.pod} {saved[:12]}   gets back what was there before"
        raise
    ctx.fault("restored")
    await world.links.sync(pod)
    await world.links.refresh_dirty(pod)
    return Output(saved=saved)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: run again, it starts over; what was there before is a snapshot."""


def _refuse(pod: PodAddress, left: tuple[str, ...]) -> None:
    if left:
        listed = "".join(f"\n  {line}" for line in left[:SHOWN])
        raise Conflict(
            f"pod {pod.pod!r} has work that no snapshot can hold, so nothing was restored:{listed}",
            hint=f"move it away in the pod: rumpel enter {pod.pod}",
            details={"left": list(left)},
        )
