"""What is to be reviewed: from which commit to which.

Normally from the merge base with the branch that the pod was made from; from nothing for a pod of
an empty repository, or one without common history; from another pod's commit when two are
compared. Two commits never change their relation, so it is stale only when one of them moves.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.adapters import git, git_diff, git_run, threads
from rumpel.engine.operation import OK, Context, Json, Policy, Probe
from rumpel.model import RepoRef
from rumpel.tasks.world import World

KIND = "range"
TITLE = "Finding what changed"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=120.0)

COUNT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    repo: RepoRef
    new: str
    base: str | None
    """The commit to compare with; None when nothing was committed there."""
    made_from: str | None
    """Where the pod's branch began, in case the base was rewritten."""
    is_direct: bool
    """Compare with `base` itself: the work of another pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    old: str
    """A commit, or the empty tree."""
    merge_base: str | None
    ahead: int
    note: str | None


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {
        "new": inputs.new,
        "base": inputs.base,
        "made_from": inputs.made_from,
        "direct": inputs.is_direct,
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    repo = await threads.call(git.reopen, inputs.repo.work_tree, inputs.repo.common_dir)
    nothing = git_diff.EMPTY_TREE[repo.object_format]
    new, base = inputs.new, inputs.base
    if base is None:
        return Output(old=nothing, merge_base=None, ahead=await _count(repo, new), note=None)
    found = await git_diff.merge_base(repo, new, base)
    note = None
    if found is None and inputs.made_from not in (None, base) and not inputs.is_direct:
        found = await git_diff.merge_base(repo, new, str(inputs.made_from))
        note = "the base was rewritten: compared with the commit the pod was made from"
    if inputs.is_direct:
        old = base
    elif found is None:
        old, note = nothing, "it has no commit in common with its base: everything counts as new"
    else:
        old = found
    ahead = await _count(repo, new, base)
    return Output(old=old, merge_base=found, ahead=ahead, note=note)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: it only looks."""


async def _count(repo: git.Repo, new: str, base: str | None = None) -> int:
    """Commits of `new` that `base` does not have."""
    if base is not None:
        return (await threads.call(git.ahead_behind, repo, new, base))[0]
    done = await git_run.run(
        repo.git_dir, "rev-list", "--count", new, "--", timeout_s=COUNT_TIMEOUT_S
    )
    return int(done.stdout)
