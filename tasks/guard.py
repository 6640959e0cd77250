"""Nothing of a pod would be lost if its container went now.

Looks at the pod itself, every time: imports its commits, then asks for uncommitted files. A
stopped container is started for it. Refuses when commits of any branch are on no branch of the
host, when files are uncommitted, and when it cannot tell. With `force` it only imports what can
be had.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.adapters import git, threads
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import RumpelError, Unmerged
from rumpel.tasks.world import Access, PodAddress, World

KIND = "guard"
TITLE = "Checking for unsaved work"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=120.0)

SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access | None
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    branches: int


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id, "force": inputs.force}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod = ctx.world, inputs.address
    dirty = 0
    try:
        dirty = await _look(world, inputs)
    except RumpelError as error:
        if not inputs.force:
            raise Unmerged(
                f"cannot tell whether pod {pod.pod!r} has unsaved work: {error.message}",
                hint=f"rumpel delete --force {pod.pod}   deletes it all the same",
                details={"cause": error.to_json()},
            ) from error
        ctx.log(f"could not be asked: {error.message}")
    branches = world.links.branches(pod.pod_id)
    if not inputs.force:
        await _refuse(pod, branches=dict(branches), dirty=dirty)
    return Output(branches=len(branches))


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: it only looks."""


async def _look(world: World, inputs: Inputs) -> int:
    """Import what there is; answers the number of uncommitted files (0 when it is gone)."""
    pod, access = inputs.address, inputs.access
    if access is None or not access.is_set_up:
        return 0
    state = world.container(pod.host, access.container_id)
    if isinstance(state, Probe):
        if state.state == "unknown":
            raise RumpelError(state.detail)
        return 0
    host = world.host(pod.host)
    if state.status == "created":
        return 0
    if state.status == "paused":
        await host.unpause(access.container_id)
    elif state.status != "running":
        await world.links.prepare(pod, access)
        await host.start(access.container_id)
    await world.links.connect(pod, access)
    report = await world.links.sync(pod)
    if report.rejected:
        listed = "; ".join(f"{name!r}: {why}" for name, why in report.rejected[:SHOWN])
        raise RumpelError(f"not all of its branches could be imported: {listed}")
    return await world.links.refresh_dirty(pod)


async def _refuse(pod: PodAddress, *, branches: dict[str, str], dirty: int) -> None:
    repo = await threads.call(git.discover, pod.repo.work_tree)
    unmerged = await threads.call(git.unmerged, repo, sorted(set(branches.values())))
    if not unmerged and not dirty:
        return
    parts = []
    if unmerged:
        parts.append(f"{len(unmerged)} unmerged commit{'s' if len(unmerged) > 1 else ''}")
    if dirty:
        parts.append(f"{dirty} uncommitted file{'s' if dirty > 1 else ''}")
    listed = "".join(f"\n  {oid[:12]} {subject}" for oid, subject in unmerged[:SHOWN])
    more = f"\n  and {len(unmerged) - SHOWN} more" if len(unmerged) > SHOWN else ""
    raise Unmerged(
        f"pod {pod.pod!r} has {' and '.join(parts)}{listed}{more}",
        hint=f"git merge rumpelpod/{pod.pod}   takes the commits; "
        f"rumpel delete --force {pod.pod}   deletes it all the same",
        details={
            "unmerged": [{"oid": oid, "subject": subject} for oid, subject in unmerged],
            "dirty": dirty,
        },
    )
