"""Everything of a pod is held in the user's repository, and would survive its container.

The last look before the container goes: what the user runs in the pod is frozen, then commits are
imported once more, and uncommitted files, index, stashes and what is in progress become a
snapshot. All of it is held by refs that were written to the disk and read again. Without `force`
it refuses when there is work that `guard` has not seen; the pod then goes on as it was.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rumpel.adapters.git_trash import Deleted
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import RumpelError
from rumpel.model import PortSpec
from rumpel.tasks import guard, stand_in
from rumpel.tasks.world import Access, PodAddress, SyncReport, Taken, World

KIND = "keep"
TITLE = "Keeping work"
VERSION = 3
POLICY = Policy(slots=("sync",), timeout_s=600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access | None
    base_branch: str | None
    base_oid: str | None
    forwards: tuple[PortSpec, ...]
    asked: dict[str, str] = field(default_factory=dict)
    force: bool
    keep_s: float
    """How long it can be had back; 0 = the pod does not go into the trash."""
    can_look: bool
    stand_in: str | None
    was_stopped: bool
    tips: tuple[tuple[str, str], ...]
    lost: tuple[str, ...]
    """What `guard` found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    kept: int
    snapshot: str | None
    files: int
    lost: tuple[str, ...]
    """What could not be kept: it goes with the pod."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod = ctx.world, inputs.address
    taken: Taken | None = None
    lost, was_seen = inputs.lost, False
    access = _access(inputs)
    if access is not None:
        try:
            await world.works.freeze(pod, access)
            ctx.fault("frozen")
            taken, lost = await _last_look(ctx, inputs, access)
            was_seen = True
        except RumpelError as error:
            if not inputs.force:
                raise guard.unknown(pod, error) from error
            ctx.log(f"its work could not be kept: {error.message}")
            lost = (error.message,)
    kept = await world.links.keep(pod)
    ctx.fault("held")
    if inputs.keep_s > 0:
        await world.works.bury(pod, _entry(world, inputs, taken, lost), was_seen=was_seen)
    await stand_in.dismiss(world, pod)
    return Output(
        kept=kept,
        snapshot=None if taken is None else taken.snapshot.oid,
        files=0 if taken is None else taken.files,
        lost=lost,
    )


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """The pod goes on."""
    if inputs.address.pod_id in ctx.world.stand_ins:
        await stand_in.dismiss(ctx.world, inputs.address)
        return
    if inputs.access is None or not inputs.can_look:
        return
    await ctx.world.works.thaw(inputs.address, inputs.access)
    if inputs.was_stopped:
        await guard.stop_again(ctx.world, inputs.address, inputs.access)
    else:
        await ctx.world.links.connect(inputs.address, inputs.access)


def _access(inputs: Inputs) -> Access | None:
    """Of the container that `guard` has asked."""
    if inputs.access is None or not inputs.can_look:
        return None
    return stand_in.into(inputs.access, inputs.stand_in)


async def _last_look(
    ctx: Context[World], inputs: Inputs, access: Access
) -> tuple[Taken | None, tuple[str, ...]]:
    """Import and snapshot, and what could not be had.

    Raises Unmerged when there is more than `guard` agreed to.
    """
    world, pod = ctx.world, inputs.address
    report, lost = await _import(ctx, inputs, access)
    ctx.fault("imported")
    taken = await world.works.take(pod, access, "delete")
    ctx.fault("taken")
    if not inputs.force:
        tips = tuple(sorted(report.branches.items()))
        work = guard.Work(dirty=max(taken.files, 1) if taken and taken.is_work else 0)
        if work.dirty or tips != inputs.tips:
            await guard.refuse(world, pod, branches=dict(report.branches), work=work)
    return taken, lost if taken is None else (*lost, *taken.left)


async def _import(
    ctx: Context[World], inputs: Inputs, access: Access
) -> tuple[SyncReport, tuple[str, ...]]:
    """With `force` a repository that cannot be read may still have files that can."""
    world, pod = ctx.world, inputs.address
    try:
        report = await world.links.look(pod, access)
    except RumpelError as error:
        if not inputs.force:
            raise
        ctx.log(f"its commits could not be imported: {error.message}")
        return SyncReport(world.links.branches(pod.pod_id)), (error.message,)
    return report, guard.rejected(report, force=inputs.force)


def _entry(world: World, inputs: Inputs, taken: Taken | None, lost: tuple[str, ...]) -> Deleted:
    pod, now = inputs.address, time.time()
    return Deleted(
        pod=pod.pod,
        pod_id=pod.pod_id,
        host=pod.host,
        base_branch=inputs.base_branch,
        base_oid=inputs.base_oid,
        branches=dict(world.links.branches(pod.pod_id)),
        snapshot=None if taken is None else taken.snapshot.oid,
        deleted_at=now,
        expires_at=now + inputs.keep_s,
        files=0 if taken is None else taken.files,
        left=lost,
        modules=world.links.deleted_modules(pod),
        forwards=inputs.forwards,
        asked=inputs.asked,
    )
