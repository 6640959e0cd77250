"""Nothing of a pod would be lost if its container went now.

Looks at the pod itself, every time: imports its commits, then asks for uncommitted files. A
stopped container is started for it. Refuses when commits of any branch are on no branch of the
host, when files are uncommitted, and when it cannot tell. With `force` it only imports what can
be had.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rumpel import names
from rumpel.adapters import git, threads
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import RumpelError, Unmerged
from rumpel.tasks.world import Access, PodAddress, World

KIND = "guard"
TITLE = "Checking for unsaved work"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=120.0)

SHOWN = 10
LOOK_TIMEOUT_S = 60.0
LOOSE = re.compile(r"commits=([0-9]{1,9}) stashes=([0-9]{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access | None
    force: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    branches: int


@dataclass(frozen=True, slots=True)
class Work:
    """What is only in the pod and is no branch."""

    dirty: int = 0
    commits: int = 0
    stashes: int = 0


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id, "force": inputs.force}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod = ctx.world, inputs.address
    work = Work()
    try:
        work = await _look(world, inputs)
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
        await _refuse(pod, branches=dict(branches), work=work)
    return Output(branches=len(branches))


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: it only looks."""


async def _look(world: World, inputs: Inputs) -> Work:
    """Import what there is; answers what cannot be imported (nothing when it is gone)."""
    pod, access = inputs.address, inputs.access
    if access is None or not access.is_set_up:
        if world.links.branches(pod.pod_id):  # it was set up once
            await _refuse_volumes(world, pod)
        return Work()
    state = world.container(pod.host, access.container_id)
    if isinstance(state, Probe):
        if state.state == "unknown":
            raise RumpelError(state.detail)
        await _refuse_volumes(world, pod)
        return Work()
    host = world.host(pod.host)
    if state.status == "created":
        await _refuse_volumes(world, pod)
        return Work()
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
    dirty = await world.links.refresh_dirty(pod)
    answer = await world.links.request(
        pod.pod_id, "loose", pod.workspace_folder, timeout_s=LOOK_TIMEOUT_S
    )
    found = LOOSE.fullmatch(answer)
    if found is None:
        raise RumpelError("it did not tell its stashes")
    return Work(dirty=dirty, commits=int(found[1]), stashes=int(found[2]))


async def _refuse_volumes(world: World, pod: PodAddress) -> None:
    """Without its container nobody can look into the volumes that would go with the pod."""
    volumes = await world.host(pod.host).volumes(f"{names.LABEL_POD_ID}={pod.pod_id}")
    if volumes:
        listed = ", ".join(volume.name for volume in volumes)
        raise RumpelError(
            f"its container is gone, but not its volumes ({listed}); "
            f"rumpel create {pod.pod} makes the container again"
        )


async def _refuse(pod: PodAddress, *, branches: dict[str, str], work: Work) -> None:
    repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
    unmerged = await threads.call(git.unmerged, repo, sorted(set(branches.values())))
    counts = (
        (len(unmerged), "unmerged commit", "unmerged commits"),
        (work.dirty, "uncommitted file", "uncommitted files"),
        (work.commits, "commit on no branch", "commits on no branch"),
        (work.stashes, "stash", "stashes"),
    )
    parts = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    if not parts:
        return
    listed = "".join(f"\n  {oid[:12]} {subject}" for oid, subject in unmerged[:SHOWN])
    more = f"\n  and {len(unmerged) - SHOWN} more" if len(unmerged) > SHOWN else ""
    raise Unmerged(
        f"pod {pod.pod!r} has {', '.join(parts)}{listed}{more}",
        hint=f"git merge rumpelpod/{pod.pod}   takes the commits; "
        f"rumpel delete --force {pod.pod}   deletes it all the same",
        details={
            "unmerged": [{"oid": oid, "subject": subject} for oid, subject in unmerged],
            "dirty": work.dirty,
            "commits_on_no_branch": work.commits,
            "stashes": work.stashes,
        },
    )
