"""Commits of a pod arrive on the host: its link is live and its branches are published.

A fresh pod's branch points at a commit the host has, so it is published without a transfer.
Stale when the daemon has no live link into the container, or somebody moved a published branch.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import OK, Context, Json, Policy, Probe, changed, gone
from rumpel.tasks.world import Access, PodAddress, World

KIND = "sync"
TITLE = "Syncing branches"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    container_id: str
    started_at: str
    user: str
    as_main: bool
    oid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"container.id": inputs.container_id, "container.startedAt": inputs.started_at}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    stopped = world.running(inputs.address.host, output.container_id)
    if stopped is not None:
        return stopped
    if not world.links.is_live(inputs.address.pod_id, output.container_id):
        return gone("not connected")
    moved = world.by_hand.branches(inputs.address.pod_id)
    return OK if moved is None else changed(moved)


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    links, pod = ctx.world.links, inputs.address
    access = Access(container_id=inputs.container_id, user=inputs.user, as_main=inputs.as_main)
    await links.connect(pod, access)
    if inputs.oid != "-" and not links.branches(pod.pod_id):
        await links.publish_fresh(pod, pod.pod, inputs.oid)
    else:
        await links.sync(pod)
    if ctx.world.by_hand.branches(pod.pod_id) is not None:
        await ctx.world.by_hand.mend_branches(pod)
    return Output(container_id=inputs.container_id)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: a published ref is the truth about the pod."""
