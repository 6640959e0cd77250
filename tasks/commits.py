"""What a pod has committed is on the host, and how many of its files are not committed.

A pod that runs is asked, every time. One that does not run was imported when it stopped, so its
commits are the published ones; `why_not` says why it was not asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import Conflict
from rumpel.tasks.world import Access, PodAddress, World

KIND = "commits"
TITLE = "Importing commits"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=660.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    commit: str | None
    """Of the pod's own branch."""
    why_not: str | None
    """Why the pod was not asked; None when it was."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    links, pod = ctx.world.links, inputs.address
    why_not = _why_not(ctx.world, inputs)
    if why_not is None and inputs.access is not None:
        await links.connect(pod, inputs.access)
        report = await links.sync(pod)
        ctx.fault("imported")
        for branch, why in report.rejected:
            if branch == pod.pod:
                raise Conflict(
                    f"branch {branch!r} of the pod was not let in: {why}",
                    hint="take it out of the branch "
                    f"(rumpel enter {pod.pod} -- git rebase -i ...) or raise the setting: "
                    "rumpel config   shows where it comes from",
                )
        await links.refresh_dirty(pod)
    return Output(commit=links.branches(pod.pod_id).get(pod.pod), why_not=why_not)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: a commit too many on the host harms nobody."""


def _why_not(world: World, inputs: Inputs) -> str | None:
    access = inputs.access
    if access is None or not access.is_set_up:
        return "it has no workspace"
    state = world.container(inputs.address.host, access.container_id)
    if isinstance(state, Probe):
        return state.detail
    return None if state.status == "running" else f"it is {state.status}"
