"""Every changed file of a range, with its numbers of lines and what is risky about it.

A function of two commits, the paths and the rules: once looked at, it is never done again. Reads
names, modes and contents as data, in a view without attributes and configuration; runs nothing of
a pod. Bump VERSION when a rule changes.
"""

from __future__ import annotations

import asyncio
import base64
import os
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rumpel.adapters import git, git_diff, git_view, threads
from rumpel.adapters.git_diff import Blobs, Change, Lines, Scope
from rumpel.adapters.git_door import branch_name as text_of
from rumpel.engine.operation import OK, Context, Json, Policy, Probe
from rumpel.errors import NotFound
from rumpel.model import RepoRef
from rumpel.tasks import risk_content, risk_paths
from rumpel.tasks.risk_content import Found
from rumpel.tasks.world import World

KIND = "risk"
TITLE = "Looking for risky changes"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=480.0)

EACH_BYTES = 4 << 20
ALL_BYTES = 64 << 20
SHOWN_CHARS = 200
FILE = "100"
EXECUTABLE, SYMLINK, SUBMODULE, NO_MODE = "100755", "120000", "160000", "000000"
"""Git's modes, and how those of files begin."""
STATUS = {"A": "added", "D": "deleted", "M": "modified", "R": "renamed", "T": "type-changed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    repo: RepoRef
    old: str
    new: str
    paths: tuple[str, ...]
    prefix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    files: tuple[Mapping[str, Json], ...]
    """Risky ones first, else by name; see `_row`."""
    unread: int
    """Files that were not searched, because all together are too many bytes."""
    is_counted: bool


@dataclass(frozen=True, slots=True)
class Look:
    """What contents told, by path: risks, targets of symlinks, and what could not be searched."""

    found: Mapping[bytes, Sequence[Found]]
    targets: Mapping[bytes, bytes]
    unread: frozenset[bytes]

    def updated(self, other: Look) -> Look:
        return Look(
            {**self.found, **other.found},
            {**self.targets, **other.targets},
            self.unread | other.unread,
        )


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {
        "old": inputs.old,
        "new": inputs.new,
        "paths": list(inputs.paths),
        "prefix": inputs.prefix,
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    repo = await threads.call(git.reopen, inputs.repo.work_tree, inputs.repo.common_dir)
    view = await git_diff.view_of(repo, ctx.world.scratch_dir)
    scope = Scope(paths=inputs.paths, prefix=inputs.prefix)
    listed = await git_diff.changes(view, inputs.old, inputs.new, scope)
    # Git counts lines on one core while the contents are searched on another.
    counting = asyncio.ensure_future(git_diff.counted(view, inputs.old, inputs.new, scope))
    try:
        look = await searched(repo, view, listed)
        try:
            counted = await counting
        except NotFound:
            ctx.log("fetching what this partial clone lacks")
            await git_diff.fetch_missing(repo, inputs.old, inputs.new)
            counted = await git_diff.counted(view, inputs.old, inputs.new, scope)
    finally:
        counting.cancel()
    changes, lines = (listed, dict[bytes, Lines]()) if counted is None else counted
    renamed = [change for change in changes if change.status == "R"]
    look = look.updated(await searched(repo, view, renamed))
    rows = await threads.call(judged, changes, lines, look)
    return Output(files=tuple(rows), unread=len(look.unread), is_counted=counted is not None)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: it only looks."""


async def searched(repo: git.Repo, view: git_view.View, changes: Sequence[Change]) -> Look:
    """What the contents of these files tell."""
    wanted = [change.new_oid for change in changes if change.new_mode not in (SUBMODULE, NO_MODE)]
    if not wanted:
        return Look({}, {}, frozenset())
    limits = {"each_bytes": EACH_BYTES, "all_bytes": ALL_BYTES}
    new = await git_diff.read(repo, view, wanted, **limits)
    compared = await threads.call(_compared, changes, new)
    if not compared:
        return await threads.call(_search, changes, new, new)
    return await threads.call(
        _search, changes, new, await git_diff.read(repo, view, compared, **limits)
    )


def _compared(changes: Sequence[Change], new: Blobs) -> list[str]:
    """Old contents that are needed: of few files it counts what they were."""
    return [
        change.old_oid
        for change in changes
        if change.old_mode.startswith(FILE)
        and (
            risk_content.is_compared(change.path)
            or risk_content.may_hide(new.data.get(change.new_oid, b""))
        )
    ]


def _search(changes: Sequence[Change], new: Blobs, old: Blobs) -> Look:
    names = {change.path.lower() for change in changes}
    found, targets, unread = dict[bytes, list[Found]](), dict[bytes, bytes](), set[bytes]()
    for change in changes:
        content = new.data.get(change.new_oid)
        if change.new_mode == SYMLINK and content is not None:
            targets[change.path] = content
        elif not change.new_mode.startswith(FILE):
            continue
        elif content is not None:
            before = old.data.get(change.old_oid, b"") if change.old_mode != SYMLINK else b""
            found[change.path] = _of_content(change.path, content, before, names)
        elif new.sizes.get(change.new_oid, 0) > EACH_BYTES:
            size = new.sizes[change.new_oid] / (1 << 20)
            found[change.path] = [("large", f"{size:.0f} MB, too large to be searched")]
        else:
            unread.add(change.path)
    return Look(found, targets, frozenset(unread))


def judged(
    changes: Sequence[Change], lines: Mapping[bytes, Lines], look: Look
) -> list[dict[str, Json]]:
    """The rows, risky ones first."""
    repositories = risk_paths.bare_repositories(change.path for change in changes)
    marked, plain = list[dict[str, Json]](), list[dict[str, Json]]()
    for change in sorted(changes, key=lambda change: change.path):
        found = _of_name(change, is_repository=change.path in repositories)
        found += _of_mode(change, look)
        found += look.found.get(change.path, ())
        (marked if found else plain).append(_row(change, lines.get(change.path), found))
    return marked + plain


def _row(change: Change, lines: Lines | None, risks: Sequence[Found]) -> dict[str, Json]:
    row: dict[str, Json] = {
        "path": text_of(change.path),
        "status": STATUS.get(change.status, "modified"),
        "additions": lines and lines.added,
        "deletions": lines and lines.deleted,
        "risks": [{"kind": kind, "reason": reason} for kind, reason in risks],
    }
    if change.status == "R":
        row["old_path"] = text_of(change.old_path)
    for key, path in (("path", change.path), ("old_path", change.old_path)):
        if key in row and row[key].encode() != path:  # for programs: the very bytes
            row[f"{key}_base64"] = base64.b64encode(path).decode()
    return row


def _of_name(change: Change, *, is_repository: bool) -> list[Found]:
    found = risk_paths.risks(change.path)
    if change.old_path != change.path:
        found += [risk for risk in risk_paths.risks(change.old_path) if risk not in found]
    if is_repository:
        found.append(("git", "part of a folder that git takes for a repository"))
    text = os.fsdecode(change.path)
    if not text.isprintable():
        found.append(("name", "its name has characters that are not seen"))
    elif any(part.startswith("-") for part in text.split("/")):
        found.append(("name", "its name looks like an option"))
    return found


def _of_mode(change: Change, look: Look) -> list[Found]:
    old, new = change.old_mode, change.new_mode
    if SUBMODULE in (old, new):
        if new != SUBMODULE:
            return [("submodule", "a submodule goes")]
        return [("submodule", f"a submodule {'moves to' if old == new else 'at'} {change.new_oid}")]
    if new == SYMLINK:
        return [_symlink(change.path, look.targets.get(change.path))]
    if new == EXECUTABLE and old != EXECUTABLE:
        return [("executable", "becomes executable" if old == "100644" else "a new executable")]
    return []


def _symlink(path: bytes, target: bytes | None) -> Found:
    if target is None:
        return "symlink", "a symlink with an odd target"
    shown = text_of(target[:SHOWN_CHARS])
    reached = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    parts = reached.lower().split(b"/")
    if target.startswith(b"/") or parts[0] == b"..":
        return "symlink", f"a symlink out of the repository, to {shown}"
    if b".git" in parts:
        return "symlink", f"a symlink into git's own folder, to {shown}"
    return "symlink", f"a symlink to {shown}"


def _of_content(path: bytes, new: bytes, old: bytes, names: set[bytes]) -> list[Found]:
    found = [risk_content.opaque(new), risk_content.hidden(new, old)]
    if new != old and risk_content.is_manifest(path):
        found.append(risk_content.manifest(path, new, old))
    if new != old and risk_content.is_lock(path):
        is_asked_for = risk_content.manifest_of(path) in names
        found.append(risk_content.lock(path, new, old, is_manifest_changed=is_asked_for))
    return [risk for risk in found if risk is not None]
