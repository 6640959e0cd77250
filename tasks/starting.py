"""The commit a task starts from is known: its base, or what the tasks it needs have committed.

The commits of several tasks are merged; files in conflict are the failure of the task that needs
them. Stale when a commit it is made of changes.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.adapters import git, git_join, threads
from rumpel.engine.operation import OK, Context, Json, Policy, Probe
from rumpel.model import RepoRef
from rumpel.tasks.world import World

KIND = "start"
TITLE = "Merging what it needs"
VERSION = 1
POLICY = Policy(timeout_s=300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    repo: RepoRef
    task: str
    base: str | None
    """Its base; None in a repository without commits. Not used when it needs others."""
    needs: tuple[str | None, ...] = ()
    """Commits, in the order of the file; None of one that began with none and made none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    oid: str | None


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"base": None if inputs.needs else inputs.base, "needs": inputs.needs}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    needs = [oid for oid in inputs.needs if oid is not None]
    if not needs:
        return Output(oid=inputs.base)
    where = inputs.repo.work_tree, inputs.repo.common_dir
    repo = await threads.call(git.reopen, *where)
    message = f"Merge what {inputs.task} needs"
    return Output(oid=await git_join.join(repo, needs, message=message))


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: objects that nobody points at harm nobody."""
