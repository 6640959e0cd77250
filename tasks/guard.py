"""Nothing of a pod would be lost if its container went now.

Looks at the pod itself, every time: imports its commits, then asks for uncommitted files. A
stopped container is started for it; for one that cannot start another one stands in. Refuses when
commits of any branch are on no branch of the host (rebased and squashed ones are recognised), when
files are uncommitted, and when it cannot tell. With `force` it only imports what can be had.
Nothing is disturbed by it: `keep` looks once more, when nothing can change any more.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rumpel import names
from rumpel.adapters import git, git_merged, threads
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import HostUnreachable, RumpelError, TimedOut, Unmerged
from rumpel.tasks import mountpoint, pod_binds, stand_in, unsaved
from rumpel.tasks.world import Access, PodAddress, SyncReport, World

KIND = "guard"
TITLE = "Checking for unsaved work"
VERSION = 3
POLICY = Policy(slots=("sync",), timeout_s=420.0)

SHOWN = 10
LOOK_TIMEOUT_S = 60.0
LOOSE = re.compile(r"commits=([0-9]{1,9}) stashes=([0-9]{1,9}) trees=([0-9]{1,9}) hidden=([01])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    access: Access | None
    force: bool
    known_dirty: int = 0
    """Uncommitted files when it was last seen."""
    left: tuple[str, ...] = ()
    """Commits that a restore took off a branch: the host holds them, but under no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What `keep` goes by."""

    can_look: bool
    """A container runs and was asked."""
    stand_in: str | None
    """Its id, when it is not the pod's own."""
    was_stopped: bool
    tips: tuple[tuple[str, str], ...]
    """Branches that were found to be safe."""
    lost: tuple[str, ...]
    """Why it could not be asked; with `force` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A container that can be asked (None: there is none), and what that took."""

    access: Access | None = None
    was_stopped: bool = False
    """It was started for that."""
    stand_in: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is only in the pod and is no branch."""

    dirty: int = 0
    commits: int = 0
    stashes: int = 0
    trees: int = 0
    large_files: int = 0
    hidden: bool = False
    """A file is there that git is told to look away from: only a snapshot tells."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id, "force": inputs.force}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, pod = ctx.world, inputs.address
    reached, work = Reached(), Work()
    lost: tuple[str, ...] = ()
    try:
        reached = await start(world, pod, inputs.access)
        if reached.access is None and inputs.known_dirty and not inputs.force:
            raise _gone_with_work(pod, inputs.known_dirty)
        if reached.access is not None:
            await world.links.connect(pod, reached.access)
            report = await world.links.sync(pod)
            lost = rejected(report, force=inputs.force)
            work = replace(await look(world, pod), large_files=report.large_files)
    # What fails after the start, `keep` still tries: its snapshot needs no import.
    except RumpelError as error:
        if not inputs.force:
            await let_go(world, pod, reached)
            raise unknown(pod, error) from error
        ctx.log(f"could not be asked: {error.message}")
        lost = (error.message,)
    branches = dict(world.links.branches(pod.pod_id))
    if not inputs.force:
        try:
            access = reached.access
            await refuse(world, pod, branches=branches, work=work, access=access, left=inputs.left)
        except Unmerged:
            await let_go(world, pod, reached)
            raise
    tips = tuple(sorted(branches.items()))
    return Output(
        can_look=reached.access is not None,
        stand_in=reached.stand_in,
        was_stopped=reached.was_stopped,
        tips=tips,
        lost=lost,
    )


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: it only looks."""


def unknown(pod: PodAddress, error: RumpelError) -> Unmerged:
    """Unknown is not clean."""
    if isinstance(error, Unmerged):
        return error
    return Unmerged(
        f"cannot tell whether pod {pod.pod!r} has unsaved work: {error.message}",
        hint=f"rumpel delete --force {pod.pod}   deletes it all the same",
        details={"cause": error.to_json()},
    )


def _gone_with_work(pod: PodAddress, files: int) -> Unmerged:
    many = "files" if files > 1 else "file"
    return Unmerged(
        f"the container of pod {pod.pod!r} is gone, and with it {files} uncommitted {many} that "
        "it had when it was last seen",
        hint=f"rumpel delete --force {pod.pod}   deletes what is left; "
        f"rumpel create {pod.pod}   makes it again, from its commits",
        details={"dirty": files},
    )


def rejected(report: SyncReport, *, force: bool) -> tuple[str, ...]:
    """Branches that could not be imported, and why. Raises RumpelError without `force`."""
    found = tuple(f"branch {name!r}: {why}" for name, why in report.rejected[:SHOWN])
    if found and not force:
        raise RumpelError(f"not all of its branches could be imported: {'; '.join(found)}")
    return found


async def start(world: World, pod: PodAddress, access: Access | None) -> Reached:
    """Raises RumpelError when nobody can tell."""
    if access is None or not access.is_set_up:
        if world.links.branches(pod.pod_id):  # it was set up once
            await _refuse_volumes(world, pod)
        return Reached()
    state = world.container(pod.host, access.container_id)
    if not isinstance(state, Probe):  # its end may be no news yet
        await world.looked(pod.host, access.container_id)
        state = world.container(pod.host, access.container_id)
    if isinstance(state, Probe):
        if state.state == "unknown":
            raise RumpelError(state.detail)
        await _refuse_volumes(world, pod)
        return Reached()
    host = world.host(pod.host)
    if state.status == "created":
        await _refuse_volumes(world, pod)
        return Reached()
    if state.status == "paused":
        await host.unpause(access.container_id)
    elif state.status != "running":
        return await _started(world, pod, access)
    return Reached(access=access)


async def _started(world: World, pod: PodAddress, access: Access) -> Reached:
    """Also of one that cannot start, or ends at once: another one stands in for it."""
    try:
        await pod_binds.refuse_links(world, pod, access.container_id)
        await world.links.prepare(pod, access)
        await world.host(pod.host).start(access.container_id)
        state = await world.started(pod.host, access.container_id)
        if state is not None and state.status == "running":
            return Reached(access=access, was_stopped=True)
        why = "it ended at once"
    except (HostUnreachable, TimedOut):
        raise
    except RumpelError as error:
        why = error.message
    await world.links.close(pod.pod_id)
    try:
        found = await stand_in.make(world, pod, access)
        return Reached(access=found, stand_in=found.container_id)
    except RumpelError as error:
        await stand_in.dismiss(world, pod)
        raise RumpelError(f"{why}; nor can another container read it: {error.message}") from error


async def let_go(world: World, pod: PodAddress, reached: Reached) -> None:
    """The pod stays as it was."""
    await stand_in.dismiss(world, pod)
    if reached.was_stopped:
        await stop_again(world, pod, reached.access)


async def look(world: World, pod: PodAddress) -> Work:
    """What is in the pod and no branch, asked over its link."""
    dirty = await world.links.refresh_dirty(pod)
    answer = await world.links.request(
        pod.pod_id, "loose", pod.workspace_folder, timeout_s=LOOK_TIMEOUT_S
    )
    found = LOOSE.fullmatch(answer)
    if found is None:
        raise RumpelError("it did not tell its stashes")
    commits, stashes, trees, hidden = map(int, found.groups())
    return Work(dirty=dirty, commits=commits, stashes=stashes, trees=trees, hidden=bool(hidden))


async def stop_again(world: World, pod: PodAddress, access: Access | None) -> None:
    """It was started to be looked into, and stays: so it stops."""
    if access is not None:
        await world.links.close(pod.pod_id)
        await world.host(pod.host).stop(access.container_id, grace_s=1)


async def _refuse_volumes(world: World, pod: PodAddress) -> None:
    """Without its container nobody can look into the volumes that would go with the pod."""
    found = await world.host(pod.host).volumes(f"{names.LABEL_POD_ID}={pod.pod_id}")
    volumes = [one for one in found if one.labels.get(names.LABEL_KIND) != mountpoint.AGENT_HOME]
    if volumes:
        listed = ", ".join(volume.name for volume in volumes)
        raise RumpelError(
            f"its container is gone, but not its volumes ({listed}); "
            f"rumpel create {pod.pod} makes the container again"
        )


async def _taken_by(repo: git.Repo, pod: PodAddress, branches: Mapping[str, str]) -> str:
    """How to have the commits: of the first branch with some, the pod's own before others."""
    for branch in sorted(branches, key=lambda name: (name != pod.pod, name))[:SHOWN]:
        if await git_merged.unmerged(repo, [branches[branch]]):
            what = pod.pod if branch == pod.pod else shlex.quote(f"{pod.pod}:{branch}")
            return f"rumpel merge {what}   takes the commits; "
    return ""


def _listed(unmerged: list[tuple[str, str]], known: unsaved.Names, work: Work) -> str:
    lines = (
        *_lines([f"{oid[:12]} {subject}" for oid, subject in unmerged], len(unmerged)),
        *_lines([f"{oid[:12]} {subject}" for oid, subject in known.commits], work.commits),
        *_lines(known.files, work.dirty),
    )
    return "".join(f"\n  {line}" for line in lines)


def _lines(named: Sequence[str], count: int) -> list[str]:
    """At most SHOWN of them; nothing where none is known by name."""
    shown = list(named[:SHOWN])
    more = count - len(shown)
    return [*shown, f"and {more} more"] if shown and more > 0 else shown


async def refuse(
    world: World,
    pod: PodAddress,
    *,
    branches: dict[str, str],
    work: Work,
    access: Access | None = None,
    left: tuple[str, ...] = (),
) -> None:
    """Raises Unmerged with a list when there is work that would be lost."""
    repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
    unmerged = await git_merged.unmerged(repo, sorted({*branches.values(), *left}))
    modules = await world.links.unmerged_in_submodules(pod)
    inside = [(oid, f"{it.path}: {subject}") for it in modules for oid, subject in it.commits]
    counts = (
        (len(unmerged) + len(inside), "unmerged commit", "unmerged commits"),
        (work.dirty, "uncommitted file", "uncommitted files"),
        (work.commits, "commit on no branch", "commits on no branch"),
        (work.stashes, "stash", "stashes"),
        (work.trees, "linked worktree with work in it", "linked worktrees with work in them"),
        (work.large_files, "large file only there", "large files only there"),
    )
    parts = [f"{count} {one if count == 1 else many}" for count, one, many in counts if count]
    if not parts:
        return
    known = unsaved.Names()
    if access is not None and (work.dirty or work.commits):
        known = await unsaved.names(world, pod, access, commits=bool(work.commits))
    take = await _taken_by(repo, pod, branches) if unmerged else ""
    for module in modules[:SHOWN]:
        take += f"{module.taken_by(module.path)}   takes those of the submodule; "
    raise _unmerged(pod, ", ".join(parts), [*unmerged, *inside], work=work, known=known, take=take)


def _unmerged(
    pod: PodAddress,
    counted: str,
    unmerged: list[tuple[str, str]],
    *,
    work: Work,
    known: unsaved.Names,
    take: str,
) -> Unmerged:
    if work.commits:
        which = f"NEW {known.commits[0][0][:12]}" if known.commits else "NEW"
        take += f"rumpel enter {pod.pod} -- git branch {which}   gives a commit a branch; "
    return Unmerged(
        f"pod {pod.pod!r} has {counted}{_listed(unmerged, known, work)}",
        hint=f"{take}rumpel delete --force {pod.pod}   deletes it all the same "
        "(rumpel undelete gets it back)",
        details={
            "unmerged": [{"oid": oid, "subject": subject} for oid, subject in unmerged],
            "dirty": work.dirty,
            "files": list(known.files),
            "commits_on_no_branch": work.commits,
            "loose": [{"oid": oid, "subject": subject} for oid, subject in known.commits],
            "stashes": work.stashes,
            "worktrees": work.trees,
            "large_files": work.large_files,
        },
    )
