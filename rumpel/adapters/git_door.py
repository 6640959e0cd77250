"""The one door through which a pod's commits come into the user's repository.

Each import fetches into a quarantine of its own: a bare repository in the door's folder that
borrows the user's objects, with fsck on and limits. Then it is judged by its refs (git answers 0
to a shallow history that brings nothing), its objects move into the user's repository, and the
door's list of branches is replaced, in this order: a kill at any moment leaves garbage, never a
branch without its commits. The door writes no ref of the user but keep refs, for tips that a pod
moved away from.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote_from_bytes

from rumpel.adapters import (
    git,
    git_files,
    git_objects,
    git_quarantine,
    git_refs,
    git_run,
    git_wire,
    proc,
    threads,
)
from rumpel.adapters.git_quarantine import Quarantine
from rumpel.adapters.git_wire import FetchReport, Limits
from rumpel.adapters.stream import Stream
from rumpel.errors import RumpelError

HEADS = "refs/heads/"
REFSPEC = f"+{HEADS}*:{HEADS}*"
STATE = "packed-refs"
"""The door's branches, in git's own format; replaced as one file."""
MAX_REFUSED = 32
UNPACK_LIMIT = 100
"""Objects; git's own fetch.unpackLimit, which it does not heed when it has to check."""
UNPACK_BYTES = 32 << 20
MAX_SIZES_BYTES = 256 << 20
NOT_FATAL = (0, 1)
"""Exit codes of a fetch whose objects all arrived and passed fsck."""
BAD_NAME = "git allows no such name"
INCOMPLETE = "its history is not complete"
CHECK_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Imported:
    """Branches of the pod whose commits are in the user's repository, and what was refused."""

    branches: dict[str, str]
    rejected: tuple[tuple[str, str], ...]


async def import_pod(
    repo: git.Repo,
    door: Path,
    stream: Stream,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Imported:
    """Fetch all branches from the upload-pack behind `stream` (left open, used up).

    Raises RumpelError when nothing could be imported (refused objects, a passed limit),
    TimedOut, HostUnreachable; the door and the user's repository then are as before.
    """
    quarantine = await threads.call(_prepare, repo, door)
    try:
        found, refused = await _fetch(quarantine, git_wire.Server(stream), limits)
        old = await threads.call(_settle_few, repo, quarantine, found, limits)
        if old is None:
            await _settle_many(repo, quarantine, limits.object_bytes)
            old = await threads.call(_left_behind, repo, quarantine, found)
        if old:
            await git_refs.keep_old(repo, door.name, old)
        if found != quarantine.known:
            await threads.call(_write_state, door, found)
        return Imported(branches=found, rejected=tuple(sorted(refused.items())))
    finally:
        await threads.call(quarantine.remove)


def branches(door: Path) -> dict[str, str]:
    """Branch -> oid as last imported; {} when there is no door. Blocking. Raises RumpelError."""
    try:
        found = git_files.read_packed(door / STATE)
    except OSError as err:
        raise RumpelError(f"the door {door} cannot be read: {err.strerror}") from err
    return {name.removeprefix(HEADS): oid for name, oid in found.items() if name.startswith(HEADS)}


async def remove(door: Path) -> None:
    """The pod is gone: so is its door, and with the last one what they shared; idempotent."""
    await threads.call(_remove, door)


def _remove(door: Path) -> None:
    shutil.rmtree(door, ignore_errors=True)
    try:
        left = list(door.parent.iterdir())
    except FileNotFoundError:
        return
    if all(path.name.startswith(git_quarantine.LENDER) for path in left):
        shutil.rmtree(door.parent, ignore_errors=True)


def _prepare(repo: git.Repo, door: Path) -> Quarantine:
    return git_quarantine.prepare(repo, door, branches(door))


async def _fetch(
    quarantine: Quarantine, server: git_wire.Server, limits: Limits
) -> tuple[dict[str, str], dict[str, str]]:
    """(branches, refused with reason). A refused branch stays at its last good commit."""
    report = await server.fetch(quarantine.path, (REFSPEC,), limits=limits, env=quarantine.env())
    arrived = await threads.call(quarantine.heads)
    ends_at = time.monotonic() + limits.seconds
    found: dict[str, str] = {}
    refused: dict[str, str] = {}
    if report.code and not report.claims:
        raise _failed(report)
    if report.code in NOT_FATAL:
        arrived |= await _without_ref(quarantine, report.claims, arrived)
    for raw, oid in sorted(report.claims.items()):
        name, ref = branch_name(raw), HEADS + os.fsdecode(raw)
        if name in found or not git_files.is_branch_name(raw):
            refused[name] = "two branches have this name" if name in found else BAD_NAME
            continue
        is_here, why = arrived.get(ref) == oid, report.said
        if is_here or report.code in NOT_FATAL:
            pass
        elif len(refused) >= MAX_REFUSED:
            why = "too many other branches were refused"
        elif not server.can_go_on:
            raise _failed(report)
        else:
            left = replace(limits, seconds=max(1.0, ends_at - time.monotonic()))
            is_here, why = await _fetch_single(quarantine, server, ref, oid, left)
        if is_here:
            found[name] = oid
            continue
        refused[name] = why or INCOMPLETE
        if name in quarantine.known and name not in quarantine.lost:
            found[name] = quarantine.known[name]
    return found, refused


async def _fetch_single(
    quarantine: Quarantine, server: git_wire.Server, ref: str, oid: str, limits: Limits
) -> tuple[bool, str]:
    """One branch, after git refused them all together, so that one spoils no other."""
    await threads.call(quarantine.discard)
    report = await server.fetch(quarantine.path, (f"+{ref}:{ref}",), limits=limits, prune=False)
    if (await threads.call(quarantine.heads)).get(ref) != oid:
        return False, report.said
    await threads.call(quarantine.accept)
    return True, ""


def branch_name(raw: bytes) -> str:
    """As text everything else can handle: what is not UTF-8 is encoded like in a URL."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return quote_from_bytes(raw, safe="/ !\"#$&'()+,-.;<=>@]_`{|}")


async def _without_ref(
    quarantine: Quarantine, claims: Mapping[bytes, str], arrived: Mapping[str, str]
) -> dict[str, str]:
    """Branches that came whole, though no file can have their name (too long, letter case)."""
    waiting = {HEADS + os.fsdecode(raw): oid for raw, oid in claims.items()}
    waiting = {ref: oid for ref, oid in waiting.items() if arrived.get(ref) != oid}
    if not waiting:
        return {}
    oids = sorted(set(waiting.values()))
    kinds = await _git(
        quarantine, "cat-file", "--batch-check=%(objectname) %(objecttype)", oids=oids
    )
    commits = {
        line.split()[0] for line in kinds.stdout.decode().split("\n") if line.endswith(" commit")
    }
    whole: set[str] = set()
    for group in ([*commits], *([oid] for oid in sorted(commits)[:MAX_REFUSED])):
        if group and not whole.issuperset(group):
            done = await _git(
                quarantine,
                "rev-list",
                "--objects",
                "--quiet",
                "--stdin",
                "--not",
                "--all",
                oids=group,
            )
            whole.update(group if done.code == 0 else ())
    return {ref: oid for ref, oid in waiting.items() if oid in whole}


async def _git(quarantine: Quarantine, *args: str, oids: Iterable[str]) -> proc.Completed:
    return await git_run.run(
        str(quarantine.path),
        *args,
        env=quarantine.env(),
        input="".join(f"{oid}\n" for oid in oids).encode(),
        timeout_s=CHECK_TIMEOUT_S,
        codes=(0, 1, 128),
    )


def _settle_few(
    repo: git.Repo, quarantine: Quarantine, found: Mapping[str, str], limits: Limits
) -> list[str] | None:
    """A few small objects go into the user's repository one by one, as git does it.

    Answers what `_left_behind` does, None when they are too many for that. Raises RumpelError
    when one is too large once unpacked: a gigabyte of zeros is a pack of one megabyte
    (notes/reliability.md F4).
    """
    store = quarantine.store
    if repo.needs_git or git_objects.packed_count(store) > UNPACK_LIMIT:
        return None
    sizes = git.packed_sizes(str(store)).values()
    _refuse_large([*sizes, git_objects.largest_loose(store)], limits.object_bytes)
    if sum(sizes) <= UNPACK_BYTES:
        git.loosen(str(store), repo.objects_dir)
        git_objects.drop_packs(store)
    git_objects.move(store, Path(repo.objects_dir))
    return _left_behind(repo, quarantine, found)


async def _settle_many(repo: git.Repo, quarantine: Quarantine, max_object_bytes: int) -> None:
    """Many go as the pack they came in; where libgit2 cannot help, git unpacks a few.

    Raises RumpelError like `_settle_few`.
    """
    done = await git_run.run(
        str(quarantine.path),
        "cat-file",
        "--batch-all-objects",
        "--unordered",
        "--batch-check=%(objectsize)",
        timeout_s=CHECK_TIMEOUT_S,
        env=quarantine.env(borrow=False),
        max_output_bytes=MAX_SIZES_BYTES,
    )
    sizes = [int(line) for line in done.stdout.split()]
    _refuse_large(sizes, max_object_bytes)
    if len(sizes) <= UNPACK_LIMIT and sum(sizes) <= UNPACK_BYTES:
        for pack in await threads.call(git_objects.take_packs, quarantine.store):
            await git_run.run(
                str(quarantine.path),
                "unpack-objects",
                "-q",
                input=pack,
                timeout_s=CHECK_TIMEOUT_S,
                env=git_run.isolated_env() | {"GIT_OBJECT_DIRECTORY": repo.objects_dir},
            )
    await threads.call(git_objects.move, quarantine.store, Path(repo.objects_dir))


def _refuse_large(sizes: Iterable[int], max_bytes: int) -> None:
    largest = max(sizes, default=0)
    if largest > max_bytes:
        raise RumpelError(
            f"refused: the pod sends an object of {largest} bytes (limit {max_bytes})",
            details={"limit": "object bytes"},
        )


def _left_behind(repo: git.Repo, quarantine: Quarantine, found: Mapping[str, str]) -> list[str]:
    """Old tips that no branch of the pod contains any more: they need a keep ref."""
    return sorted(
        {
            oid
            for name, oid in quarantine.known.items()
            if oid not in quarantine.lost
            and found.get(name) != oid
            and (name not in found or not git.is_ancestor(repo, oid, found[name]))
        }
    )


def _failed(report: FetchReport) -> RumpelError:
    return RumpelError(
        f"import failed: {report.said or f'git fetch ended with {report.code}'}",
        details={"exit_code": report.code},
    )


def _write_state(door: Path, found: Mapping[str, str]) -> None:
    text = git_files.packed_text({HEADS + name: oid for name, oid in found.items()})
    handle, temporary = tempfile.mkstemp(prefix="state-", dir=door)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(door / STATE)
