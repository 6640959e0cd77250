"""The workspace of a pod is what a snapshot of it was.

Files, index, stashes, HEAD and what was in progress. What the pod has before is made a snapshot
first, and when that cannot hold all of it, nothing is touched. Ignored files stay. What runs in
the pod is frozen meanwhile: what it wrote between the two would be in no snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import OK, Context, Json, Policy, Probe, changed
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
    oid: str | None
    """The snapshot's commit; None when there was nothing to take: then nothing changes."""
    is_new: bool
    """The pod was made for it: nobody has worked in it."""
    is_once: bool = False
    """Part of what the pod is made of: done once for a container, not each time it is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    saved: str | None
    """Snapshot of what the pod had before, if it had anything."""
    left: tuple[str, ...] = ()
    """What could not be put back."""
    moved: tuple[tuple[str, str], ...] = ()
    """Branches that are not where they were, and where that was."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    own: dict[str, Json] = {"container.id": inputs.container_id} if inputs.is_once else {}
    return {"pod": inputs.address.pod_id, "snapshot": inputs.oid, **own}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    if not inputs.is_once:
        return changed("asked for every time")
    if world.links.lacks_files(inputs.address.pod_id):
        return changed("its files are not there")
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod = ctx.world, inputs.address
    access = _access(inputs)
    saved, before = None, dict[str, str]()
    if inputs.oid is None:
        await world.links.bring_files(pod)
        return Output(saved=None)
    if inputs.is_new:
        left = await world.works.put(pod, access, inputs.oid)
    else:
        try:
            await world.works.freeze(pod, access)
            saved, left, before = await _replace(ctx, pod, access, inputs.oid)
        finally:
            await _go_on(ctx, pod, access)
    ctx.fault("restored")
    await world.links.bring_files(pod)
    now = (await world.links.sync(pod)).branches
    await world.links.refresh_dirty(pod)
    moved = sorted((name, oid) for name, oid in before.items() if now.get(name) != oid)
    return Output(saved=saved, left=left, moved=tuple(moved))


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """The pod goes on: run again, it starts over; what was there before is a snapshot."""
    if not inputs.is_new:
        await _go_on(ctx, inputs.address, _access(inputs))


def _access(inputs: Inputs) -> Access:
    return Access(container_id=inputs.container_id, user=inputs.user, as_main=inputs.as_main)


async def _replace(
    ctx: Context[World], pod: PodAddress, access: Access, oid: str
) -> tuple[str | None, tuple[str, ...], dict[str, str]]:
    """Answers the snapshot of what was there before, if any, what could not be put back, and the
    branches before.
    """
    world = ctx.world
    saved = None
    ctx.fault("frozen")
    before = dict((await world.links.look(pod, access)).branches)
    taken = await world.works.take(pod, access, "restore")
    if taken is not None:
        _refuse(pod, taken.left)
        saved = taken.snapshot.oid
    ctx.fault("saved")
    try:
        left = await world.works.put(pod, access, oid)
    except RumpelError as error:
        if saved is not None:
            error.hint = f"rumpel restore {pod.pod} {saved[:12]}   gets back what was there before"
        raise
    return saved, left, before


async def _go_on(ctx: Context[World], pod: PodAddress, access: Access) -> None:
    """Raises nothing: what went wrong before is what counts, and no sync works without a link."""
    try:
        await ctx.world.works.thaw(pod, access)
        await ctx.world.links.connect(pod, access)
    except RumpelError as error:
        ctx.log(f"the pod may not go on: {error.message}")


def _refuse(pod: PodAddress, left: tuple[str, ...]) -> None:
    if left:
        listed = "".join(f"\n  {line}" for line in left[:SHOWN])
        raise Conflict(
            f"pod {pod.pod!r} has work that no snapshot can hold, so nothing was restored:{listed}",
            hint=f"move it away in the pod: rumpel enter {pod.pod}",
            details={"left": list(left)},
        )
