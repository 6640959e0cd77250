"""What an agent committed is on the host, and what came of its run is written down."""

from __future__ import annotations

from dataclasses import dataclass, field

from rumpel.adapters import git, threads
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import RumpelError
from rumpel.tasks.world import PodAddress, World

KIND = "arrived"
TITLE = "Importing what it did"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=660.0, is_reused=False)
MOST_BRANCHES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    before: tuple[tuple[str, str], ...]
    """Branches of the pod as they were on the host before."""
    session: str
    text: str
    turns: int | None
    cost_usd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    branches: tuple[tuple[str, str, int], ...]
    """(name, where it is now, how many commits are new) of those that moved, its own first."""
    files: int
    """Not committed."""
    refused: tuple[tuple[str, str], ...] = field(default=())
    session: str = ""
    text: str = ""
    turns: int | None = None
    cost_usd: float | None = None


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    found = await look(ctx.world, inputs.address, dict(inputs.before))
    ctx.fault("imported")
    return Output(
        branches=found.branches,
        files=found.files,
        refused=found.refused,
        session=inputs.session,
        text=inputs.text,
        turns=inputs.turns,
        cost_usd=inputs.cost_usd,
    )


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: a commit too many on the host harms nobody."""


async def look(world: World, pod: PodAddress, before: dict[str, str]) -> Output:
    """Also after a run that failed: what it committed until then counts."""
    report = await world.links.sync(pod)
    files = await world.links.refresh_dirty(pod)
    after = world.links.branches(pod.pod_id)
    moved = [name for name, oid in sorted(after.items()) if before.get(name) != oid]
    moved.sort(key=lambda name: name != pod.pod)
    base = before.get(pod.pod)
    rows = await threads.call(_counted, pod, [(n, before.get(n) or base, after[n]) for n in moved])
    return Output(branches=rows, files=files, refused=tuple(report.rejected))


def _counted(
    pod: PodAddress, moved: list[tuple[str, str | None, str]]
) -> tuple[tuple[str, str, int], ...]:
    """A new branch counts from where the pod's own one was."""
    repo = git.reopen(pod.repo.work_tree, pod.repo.common_dir)
    return tuple((name, oid, _ahead(repo, oid, was)) for name, was, oid in moved[:MOST_BRANCHES])


def _ahead(repo: git.Repo, oid: str, was: str | None) -> int:
    if was is None:
        return 1
    try:
        return git.ahead_behind(repo, oid, was)[0]
    except RumpelError:
        return 1
