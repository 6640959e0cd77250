"""The files of a pod as they lie there now, committed or not, are on the host as one tree.

Taken as a snapshot, through the same door as everything of a pod; the pod is not changed. Stale
every time: files change without telling anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.adapters import git, git_trash, threads
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
        raise Conflict(
            f"uncommitted files of {pod.pod!r} cannot be seen: "
            f"{inputs.why_not or 'it has no workspace'}",
            hint=f"rumpel enter {pod.pod}   starts it; or review without --include-dirty",
        )
    taken = await ctx.world.works.take(pod, access, "review")
    ctx.fault("taken")
    if taken is None:
        return Output(tree=inputs.commit, files=0, is_own_branch=True, note=None)
    repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
    tree, head = await git_trash.files_of(repo, taken.snapshot.oid)
    return Output(
        tree=tree,
        files=taken.files,
        is_own_branch=head == HEADS + pod.pod,
        note=_note(pod, head, taken.left),
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
