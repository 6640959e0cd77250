"""The newest commits of a pod are on the host; of one that does not run, those imported last.

Asks nothing when the pod says that its branch is where the host has it. Stale when the pod tells
of another commit, or tells nothing. A pod that cannot be asked is no failure: what is here is
enough to look at, and `note` says from when it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import OK, Context, Json, Policy, Probe, changed
from rumpel.errors import NotFound, RumpelError
from rumpel.tasks.world import Access, PodAddress, World

KIND = "imported"
TITLE = "Importing commits"
VERSION = 2
POLICY = Policy(slots=("sync",), timeout_s=120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access | None
    why_not: str | None
    """Why its container cannot be asked (`it is stopped`); None when it runs."""
    told: str | None
    """The commit the running pod says its branch is at; None when it did not say."""
    branch: str | None = None
    """Another one than the pod's own."""

    @property
    def name(self) -> str:
        return self.branch or self.address.pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    oid: str
    note: str | None


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {
        "pod": inputs.address.pod_id,
        "branch": inputs.name,
        "pod.commit": inputs.told,
        "pod.unreachable": inputs.why_not,
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    pod = inputs.address
    if inputs.why_not is None and inputs.told is None:
        return changed("the pod did not say where its branch is")
    here = world.links.branches(pod.pod_id).get(inputs.name)
    return OK if here == output.oid else changed("another commit was imported")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    pod, links = inputs.address, ctx.world.links
    note = None
    if inputs.why_not is not None:
        note = f"{inputs.why_not}: these are the commits that were imported last"
    elif inputs.told is None or inputs.told != links.branches(pod.pod_id).get(inputs.name):
        note = await _import(ctx, inputs)
    oid = links.branches(pod.pod_id).get(inputs.name)
    if oid is None:
        raise _no_branch(ctx.world, inputs, note)
    return Output(oid=oid, note=note)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: what was imported is published, and is the truth about the pod."""


async def _import(ctx: Context[World], inputs: Inputs) -> str | None:
    """None, or why what is here may not be the newest."""
    pod, links = inputs.address, ctx.world.links
    if inputs.access is None or not inputs.access.is_set_up:
        return "its workspace was not made yet"
    try:
        await links.connect(pod, inputs.access)
        report = await links.sync(pod)
        ctx.fault("imported")
    except RumpelError as error:
        ctx.log(error.message)
        return (
            f"its newest commits could not be imported ({error.message}): "
            "these are the ones imported last"
        )
    refused = dict(report.rejected).get(inputs.name)
    if refused is not None:
        return f"its newest commits were refused ({refused}): these are the ones imported last"
    return None


def _no_branch(world: World, inputs: Inputs, note: str | None) -> NotFound:
    pod = inputs.address
    others = sorted(world.links.branches(pod.pod_id))
    listed = f"; it has {', '.join(others[:10])}" if others else ""
    return NotFound(
        f"pod {pod.pod!r} has no branch {inputs.name!r} on the host{listed}"
        + (f" ({note})" if note else ""),
        hint=f"rumpel enter {pod.pod} -- git log   shows what is in the pod",
        details={"branches": others},
    )
