"""The files of a pod as they lie there now, committed or not, are on the host as one tree.

Taken as a snapshot, through the same door as everything of a pod; the pod is not changed. Of one
that cannot be asked it is the newest snapshot there is: `stop` takes one, when there is something
to take. Stale every time: files change without telling anybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rumpel.adapters import git, git_snapshot, git_trash, threads
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import Conflict
from rumpel.tasks.world import Access, PodAddress, World

KIND = "uncommitted"
TITLE = "Looking at uncommitted files"
VERSION = 2
POLICY = Policy(slots=("sync",), timeout_s=600.0)

HEADS = "refs/heads/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access | None
    why_not: str | None
    """Why its container cannot be asked; None when it runs."""
    commit: str
    """Of the pod's own branch: what its files are when nothing is uncommitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    tree: str
    """What to show: a tree, or the commit."""
    files: int
    is_own_branch: bool
    """The branch of the pod's name is checked out: what is shown includes its commits."""
    note: str | None


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id, "commit": inputs.commit}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    pod, access = inputs.address, inputs.access
    if inputs.why_not is not None or access is None or not access.is_set_up:
        return await _newest(ctx.world, inputs)
    taken = await ctx.world.works.take(pod, access, "review")
    ctx.fault("taken")
    if taken is None:
        return Output(tree=inputs.commit, files=0, is_own_branch=True, note=None)
    repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
    found = await git_snapshot.files_of(repo, taken.snapshot.oid)
    return Output(
        tree=found.tree,
        files=taken.files,
        is_own_branch=found.head == HEADS + pod.pod,
        note=_note(pod, found.head, taken.left),
    )


async def _newest(world: World, inputs: Inputs) -> Output:
    """What its newest snapshot has. Raises Conflict when there is none."""
    pod, why_not = inputs.address, inputs.why_not or "it has no workspace"
    repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
    held = [
        item for item in await git_trash.snapshots(repo, pod.pod_id) if item.kind != "restore"
    ]  # of that kind is what somebody put aside
    if not held:
        raise Conflict(
            f"uncommitted files of {pod.pod!r} cannot be seen: {why_not}, and has no snapshot",
            hint=f"rumpel enter {pod.pod}   starts it; or review without --include-dirty",
        )
    newest = held[0]
    at = datetime.fromtimestamp(newest.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    found = await git_snapshot.files_of(repo, newest.oid)
    is_own = found.head == HEADS + pod.pod
    branches = {HEADS + name: tip for name, tip in world.links.branches(pod.pod_id).items()}
    if found.tip != branches.get(found.head, found.tip):
        note = f"{why_not}; what was not committed at {at} is left out: it was committed to since"
        return Output(tree=inputs.commit, files=0, is_own_branch=True, note=note)
    note = f"{why_not}: uncommitted files are those of snapshot {newest.id} from {at}"
    left = await git_snapshot.left_out(repo, newest.oid)
    more = _note(pod, found.head, left)
    return Output(
        tree=found.tree,
        files=await git_snapshot.changed_files(repo, newest.oid),
        is_own_branch=is_own,
        note=f"{note}; {more}" if more else note,
    )


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: a snapshot too many harms nobody."""


def _note(pod: PodAddress, head: str, left: tuple[str, ...]) -> str | None:
    notes = []
    if head != HEADS + pod.pod:
        branch = head.removeprefix(HEADS)
        what = f"branch {branch!r}" if branch else "a commit without a branch"
        notes.append(f"{what} is checked out there, its files are shown")
    if left:
        notes.append(f"not shown, because too large or unreadable: {', '.join(left[:5])}")
    return "; ".join(notes) or None
