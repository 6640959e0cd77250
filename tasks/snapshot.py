"""The uncommitted work of a pod, as it is now, is held in the user's repository.

Files, index, stashes and what is in progress become one commit below refs/rumpel/keep/; nothing
in the pod changes. A stopped container is started for it and stopped again; one that cannot start
is looked into all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import Conflict
from rumpel.tasks import guard
from rumpel.tasks.world import Access, PodAddress, World

KIND = "snapshot"
TITLE = "Taking a snapshot"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    oid: str | None
    """None: nothing but commits on its own branch."""
    files: int
    left: tuple[str, ...]


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod = ctx.world, inputs.address
    reached = await guard.start(world, pod, inputs.access)
    if reached.access is None:
        raise Conflict(f"pod {pod.pod!r} has no workspace to take a snapshot of")
    try:
        taken = await world.works.take(pod, reached.access, "manual")
    finally:
        await guard.let_go(world, pod, reached)
    ctx.fault("taken")
    if taken is None:
        return Output(oid=None, files=0, left=())
    return Output(oid=taken.snapshot.oid, files=taken.files, left=taken.left)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: a snapshot too many harms nobody."""
