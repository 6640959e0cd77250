"""The one door through which a pod's commits come into the user's repository.

Each import fetches into a quarantine of its own: a bare repository in the door's folder that
borrows the user's objects, with fsck on and limits. Then it is judged by its refs (git answers 0
to a shallow history that brings nothing), its objects move into the user's repository, and the
door's list of branches is replaced, in this order: a kill at any moment leaves garbage, never a
branch without its commits. The door writes no ref of the user but keep refs, for tips that a pod
moved away from.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote_from_bytes

from rumpel.adapters import (
    git,
    git_files,
    git_intake,
    git_judge,
    git_objects,
    git_odb,
    git_quarantine,
    git_refs,
    git_run,
    git_wire,
    lfs,
    threads,
)
from rumpel.adapters.git_intake import Intake, Refusals, Reopen
from rumpel.adapters.git_judge import Found
from rumpel.adapters.git_limits import Limits, Refused
from rumpel.adapters.git_quarantine import HEADS, Quarantine
from rumpel.adapters.lfs import Pointer
from rumpel.adapters.stream import Stream
from rumpel.errors import RumpelError

STATE = "packed-refs"
"""The door's branches, in git's own format; replaced as one file."""
PENDING = "lfs"
"""Large files the host lacks, by the pod's pointers."""
UNPACK_LIMIT = 100
"""Objects; git's own fetch.unpackLimit, which it does not heed when it has to check."""
UNPACK_BYTES = 32 << 20
BAD_NAME = "git allows no such name"
SAME_NAME = "two branches have this name"
CHECK_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Imported:
    """Branches of the pod whose commits are in the user's repository, and what was refused."""

    branches: dict[str, str]
    rejected: tuple[tuple[str, str], ...]
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict, compare=False)
    """The same by ref, for the next import: it skips what has not moved."""
    lfs: dict[Pointer, str] = field(default_factory=dict)
    """Large files whose content the host does not have yet, with the reason if one is known."""
    is_stream_free: bool = field(default=False, compare=False)
    """The server waits: after `git_wire.GOODBYE` the stream is for the next one."""


Publish = Callable[[Imported], Awaitable[None]]
Writing = Callable[[], contextlib.AbstractAsyncContextManager[None]]


async def import_pod(
    repo: git.Repo,
    door: Path,
    stream: Stream,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    reopen: Reopen | None = None,
    known_refused: Refusals | None = None,
    first: Mapping[str, str] | None = None,
    go: asyncio.Event | None = None,
    publish: Publish | None = None,
    writing: Writing = contextlib.nullcontext,
) -> Imported:
    """Fetch all branches from the upload-pack behind `stream` (left open; see `is_stream_free`).

    `reopen` starts another upload-pack: without it a branch that ends the first one, or passes
    a limit, keeps the others from coming. `first`: the branches, as long as the door has none:
    those of a fresh pod need no import. `go`: everything up to the first question to the pod is
    done at once, the rest when it is set. `publish` is called as soon as the branches may be seen;
    what it raises is raised. `writing` is held while the door's list is replaced, and may raise.
    Raises Refused for what would be refused again, RumpelError for what may be had later,
    TimedOut, HostUnreachable; the door and the user's repository then are as before.
    """
    quarantine = await _prepared(repo, door, first or {})
    server = git_wire.Server(stream, go)
    try:
        weight = Weight(repo, door, quarantine, limits)
        intake = Intake(
            quarantine=quarantine,
            server=server,
            judge=weight.judge,
            limits=limits,
            reopen=reopen,
            known_refused=known_refused or {},
        )
        await intake.run()
        imported = await _admit(repo, door, intake, weight, publish=publish, writing=writing)
        return replace(imported, is_stream_free=server.is_at_rest)
    finally:
        await threads.call(quarantine.remove)


class Weight:
    """What the pod's objects weigh, of one import and in all."""

    def __init__(self, repo: git.Repo, door: Path, quarantine: Quarantine, limits: Limits) -> None:
        self._repo, self._door, self._quarantine, self._limits = repo, door, quarantine, limits
        self._before: int | None = None
        self.found = Found()

    async def judge(self, report: git_wire.FetchReport) -> None:
        """Raises Refused when what was fetched is too much."""
        await threads.call(self._judge, report)

    def _judge(self, report: git_wire.FetchReport) -> None:
        quarantine, limits = self._quarantine, self._limits
        # By what is there, not by what was overheard: a pod may try to talk past the listener.
        if not report.scanner.objects and not quarantine.has_objects():
            return
        git_judge.chains(quarantine.path / git_quarantine.OBJECTS, report.scanner, limits)
        found = self.found + git_judge.objects(self._repo, quarantine, limits)
        if self._before is None:
            self._before = git_judge.used(self._door)
        if self._before + found.on_disk > limits.quota_bytes:
            # The note only grows; what was deleted meanwhile is known to git alone.
            tips = sorted(set(quarantine.known.values()) - quarantine.lost)
            self._before = git_judge.held(self._repo, self._door.name, tips)
        if self._before + found.on_disk > limits.quota_bytes:
            raise Refused(
                f"refused: with it the pod has {self._before + found.on_disk} bytes on the host "
                f"(podQuota is {limits.quota_bytes})",
                details={"limit": "quota"},
            )
        self.found = found

    @property
    def total(self) -> int | None:
        return None if self._before is None else self._before + self.found.on_disk


async def _admit(
    repo: git.Repo,
    door: Path,
    intake: Intake,
    weight: Weight,
    *,
    publish: Publish | None,
    writing: Writing,
) -> Imported:
    """Objects, then the list of branches, then the refs people see, then what nobody waits for."""
    quarantine = intake.quarantine
    found, rejected, refusals = _outcome(quarantine, intake)
    await _settle(repo, door, quarantine, found, weight.found)
    # Before the branches: what a killed daemon did not fetch has to be known by the next one.
    pending = await threads.call(_note_pointers, repo, door, weight.found.pointers)
    imported = Imported(found, tuple(sorted(rejected.items())), refusals, pending)
    is_news = found != quarantine.known or weight.found.on_disk > 0
    if is_news:
        async with writing():
            await threads.call(_write_state, door, found, weight.total)
    if publish is not None:
        await publish(imported)
    if is_news:
        await threads.call(_sync_state, door)
    return imported


def branches(door: Path) -> dict[str, str]:
    """Branch -> oid as last imported; {} when there is no door. Blocking. Raises RumpelError."""
    try:
        found = git_files.read_packed(door / STATE)
    except OSError as err:
        raise RumpelError(f"the door {door} cannot be read: {err.strerror}") from err
    return {name.removeprefix(HEADS): oid for name, oid in found.items() if name.startswith(HEADS)}


def settle_lfs(door: Path, missing: Mapping[Pointer, str]) -> None:
    """What of `Imported.lfs` is still not on the host, and why. Blocking."""
    lfs.write_pending(door / PENDING, missing)


def sweep(door: Path) -> None:
    """At start: what an import left whose daemon was killed. Blocking."""
    git_quarantine.sweep(door)


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


async def _prepared(repo: git.Repo, door: Path, first: Mapping[str, str]) -> Quarantine:
    """Cancelled meanwhile: the thread still makes it, so somebody has to remove it."""
    making = asyncio.ensure_future(threads.call(_prepare, repo, door, first))
    try:
        return await asyncio.shield(making)
    except asyncio.CancelledError:
        with contextlib.suppress(RumpelError):
            await threads.call((await making).remove)
        raise


def _prepare(repo: git.Repo, door: Path, first: Mapping[str, str]) -> Quarantine:
    return git_quarantine.prepare(repo, door, branches(door) or first)


def _outcome(
    quarantine: Quarantine, intake: Intake
) -> tuple[dict[str, str], dict[str, str], dict[str, tuple[str, str]]]:
    """(branches, refused with reason, the same by ref). A refused one stays at its last commit."""
    found: dict[str, str] = {}
    rejected: dict[str, str] = {}
    refusals: dict[str, tuple[str, str]] = {}
    for raw, oid in sorted(intake.claims.items()):
        name, ref = branch_name(raw), HEADS + os.fsdecode(raw)
        if name in found or not git_files.is_branch_name(raw):
            rejected[name] = SAME_NAME if name in found else BAD_NAME
            continue
        if oid and intake.arrived.get(ref) == oid:
            found[name] = oid
            continue
        old = intake.known_refused.get(ref)
        why = intake.refused.get(ref) or (old[1] if old else git_intake.INCOMPLETE)
        rejected[name] = why
        refusals[ref] = (oid, why)
        if name in quarantine.known and name not in quarantine.lost:
            found[name] = quarantine.known[name]
    if git_intake.ALL in intake.refused:
        rejected["*"] = intake.refused[git_intake.ALL]
    return found, rejected, refusals


def branch_name(raw: bytes) -> str:
    """As text everything else can handle: what is not UTF-8 is encoded like in a URL."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return quote_from_bytes(raw, safe="/ !\"#$&'()+,-.;<=>@]_`{|}")


async def _settle(
    repo: git.Repo, door: Path, quarantine: Quarantine, found: Mapping[str, str], weight: Found
) -> None:
    """The objects go into the user's repository, and what branches moved away from is kept."""
    old = await threads.call(_settle_few, repo, quarantine, found, weight)
    if old is None:
        await _settle_many(repo, quarantine, weight)
        old = await threads.call(_left_behind, repo, quarantine, found)
    if old:
        await git_refs.keep_old(repo, door.name, old)


def _settle_few(
    repo: git.Repo, quarantine: Quarantine, found: Mapping[str, str], weight: Found
) -> list[str] | None:
    """A few small objects go into the user's repository one by one, as git does it.

    Answers what `_left_behind` does, None when they are too many for that.
    """
    store = quarantine.store
    if weight.count > UNPACK_LIMIT or (weight.count and repo.object_format != "sha1"):
        return None
    if weight.unpacked <= UNPACK_BYTES:
        git_odb.loosen(str(store), repo.objects_dir)
        git_objects.drop_packs(store)
    git_objects.move(store, Path(repo.objects_dir))
    return _left_behind(repo, quarantine, found)


async def _settle_many(repo: git.Repo, quarantine: Quarantine, weight: Found) -> None:
    """Many go as the pack they came in; where libgit2 cannot help, git unpacks a few."""
    if weight.count <= UNPACK_LIMIT and weight.unpacked <= UNPACK_BYTES:
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


def _note_pointers(repo: git.Repo, door: Path, new: Iterable[Pointer]) -> dict[Pointer, str]:
    """What of the pod's large files is not on the host, from this import and earlier ones."""
    before = lfs.read_pending(door / PENDING)
    found = before | {pointer: before.get(pointer, "") for pointer in new}
    if not found:
        return {}
    store = lfs.Store(repo)
    missing = {pointer: why for pointer, why in found.items() if not store.has(pointer)}
    if missing != before:
        lfs.write_pending(door / PENDING, missing)
    return missing


def _write_state(door: Path, found: Mapping[str, str], used: int | None) -> None:
    if used is not None:
        git_judge.note_used(door, used)
    text = git_files.packed_text({HEADS + name: oid for name, oid in found.items()})
    handle, temporary = tempfile.mkstemp(prefix="state-", dir=door)
    with os.fdopen(handle, "wb") as file:
        file.write(text)
    Path(temporary).replace(door / STATE)


def _sync_state(door: Path) -> None:
    """To the disk, after the refs were shown: they are no safer, and people wait for them."""
    with contextlib.suppress(FileNotFoundError):  # the pod was deleted
        git_objects.sync_file(door / STATE)
