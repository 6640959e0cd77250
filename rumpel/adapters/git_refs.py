"""The only writer of refs in the user's repository: published pod branches, and keep refs.

Nothing outside NAMESPACES is ever written, no symbolic ref is followed, no reflog or hook is
involved. One `git update-ref` transaction per change; a ref that cannot be written (a name the
file system has no room for) never holds up the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from rumpel.adapters import git, git_files, git_objects, git_run, threads
from rumpel.errors import Bug, RumpelError

log = logging.getLogger(__name__)

PUBLISHED = "refs/remotes/rumpelpod/"
OWN = "refs/rumpel/"
NAMESPACES = (PUBLISHED, OWN)
KEEP = f"{OWN}keep/"
TIMEOUT_S = 120.0
MAX_COMPONENT_BYTES = 200
MAX_LIST_BYTES = 512 << 20
"""Of a list of objects: 41 bytes for each."""
STALE_AFTER_S = 2.0
DURABLE = ("-c", "core.fsync=default,loose-object,reference")
"""A keep ref must outlive a power cut: the pod is removed right after it was written."""

Look = Callable[[git.Repo], Awaitable[dict[str, str]]]
_Change = tuple[str, str]
"""(ref, oid), an empty oid for a deletion."""


async def publish(
    repo: git.Repo,
    wanted: Mapping[str, str],
    current: Mapping[str, str],
    *,
    look: Look | None = None,
) -> dict[str, str]:
    """Make the published refs equal to `wanted`; `current` is what they are thought to be.

    `look` reads those that may be replaced (all by default). Answers what they are now; what could
    not be written is logged and not in it.
    """
    look = look or _everything
    changes = _difference(wanted, current)
    if not changes:
        return dict(current)
    _guard(changes)
    if all(oid and name in current for name, oid in changes):
        if await threads.call(_move, repo, dict(changes)):
            return dict(wanted)
    elif await _transaction(repo, changes) is None:
        return dict(wanted)
    # Somebody else wrote there, or one ref is impossible: look, then do what can be done.
    found = await look(repo)
    for name, why in await _apply(repo, _difference(wanted, found)):
        log.warning("%s was not written: %s", name, why)
    return await look(repo)


async def _everything(repo: git.Repo) -> dict[str, str]:
    return await threads.call(git.refs, repo, PUBLISHED)


async def clear_locks(repo: git.Repo) -> None:
    """At start: the lock of a writer that was killed would hold up its branch for ever.

    Who lives holds one for milliseconds; those that are the same after a while go.
    """
    before = await threads.call(_locks, repo)
    if not before:
        return
    await asyncio.sleep(STALE_AFTER_S)
    for path, made in (await threads.call(_locks, repo)).items():
        if before.get(path) == made:
            log.warning("removing the lock a killed daemon left: %s", path.name)
            await threads.call(path.unlink, missing_ok=True)


def _locks(repo: git.Repo) -> dict[Path, tuple[int, int]]:
    """Lock files of our refs, with what tells them from later ones of the same name."""
    found = {}
    for namespace in NAMESPACES:
        for folder, _, names in os.walk(Path(repo.common_dir, namespace)):
            for name in names:
                if name.endswith(".lock"):
                    path = Path(folder, name)
                    with contextlib.suppress(OSError):
                        state = path.lstat()
                        found[path] = (state.st_ino, state.st_mtime_ns)
    return found


async def keep(repo: git.Repo, pod_id: str, branches: Mapping[str, str]) -> int:
    """Hold the pod's branches below refs/rumpel/keep/<pod id>/, so that no gc takes them.

    What was held there before stays held. Raises RumpelError unless, read again, every tip is.
    """
    prefix = f"{KEEP}{pod_id}/"
    await _harden(repo, branches)
    found = await threads.call(git.refs, repo, prefix)
    # Snapshots and the entry in the trash lie beside them, under their own names.
    own = (f"{prefix}heads/", f"{prefix}old/")
    held = {name: oid for name, oid in found.items() if name.startswith(own)}
    wanted = _keep_names(prefix, branches)
    old = {oid for name, oid in held.items() if wanted.get(name) != oid}
    extra = {f"{prefix}old/{oid}": oid for oid in old}
    # First, and in full: once the heads have moved, nothing else holds these.
    added = [(name, oid) for name, oid in extra.items() if held.get(name) != oid]
    for name, why in await _apply(repo, added, durable=True):
        raise RumpelError(f"what was kept before could not be: {name}: {why}")
    failed = await _apply(repo, _difference({**wanted, **extra}, {**held, **extra}), durable=True)
    kept = set((await threads.call(git.refs, repo, prefix)).values())
    lost = sorted(name for name, oid in branches.items() if oid not in kept)
    if lost:
        why = failed[0][1] if failed else "the refs are not there"
        raise RumpelError(f"branch {lost[0]!r} could not be kept: {why}", details={"lost": lost})
    return len(branches)


async def keep_old(repo: git.Repo, pod_id: str, oids: Iterable[str]) -> None:
    """Hold tips that a pod's branches moved away from. Raises RumpelError."""
    changes = [(f"{KEEP}{pod_id}/old/{oid}", oid) for oid in sorted(set(oids))]
    for name, why in await _apply(repo, changes):
        raise RumpelError(f"{name} could not be written: {why}")


async def hold(repo: git.Repo, refs: Mapping[str, str]) -> None:
    """Set refs below KEEP, whatever they point at to the disk first. Raises RumpelError.

    All or nothing. Commits have to be whole: who holds one is about to destroy where it came from.
    """
    await _harden(repo, refs, is_strict=True)
    why = await _transaction(repo, sorted(refs.items()), durable=True)
    found = await threads.call(git.refs, repo, KEEP)
    if why is not None or any(found.get(name) != oid for name, oid in refs.items()):
        raise RumpelError(f"work could not be kept: {why or 'the refs are not there'}")


async def release(repo: git.Repo, names: Iterable[str]) -> None:
    """Delete refs below KEEP; idempotent. Raises RumpelError."""
    for name, why in await _apply(repo, [(name, "") for name in names]):
        raise RumpelError(f"{name} could not be deleted: {why}")


async def _harden(repo: git.Repo, branches: Mapping[str, str], *, is_strict: bool = False) -> None:
    """Their objects to the disk: imports leave that to the system, as git does with commits."""
    own = ("--not", "--branches", "--tags", f"--exclude={git.PUBLISHED_GLOB}", "--remotes")
    done = await git_run.run(
        repo.git_dir,
        "rev-list",
        "--objects",
        "--no-object-names",
        "--stdin",
        *own,
        input="".join(f"{oid}\n" for oid in sorted(set(branches.values()))).encode(),
        timeout_s=TIMEOUT_S,
        codes=(0,) if is_strict else (0, 128),
        max_output_bytes=MAX_LIST_BYTES,
    )
    oids = done.stdout.decode().split()
    await threads.call(git_objects.sync_loose, Path(repo.objects_dir), oids)


def _keep_names(prefix: str, branches: Mapping[str, str]) -> dict[str, str]:
    """A ref per branch by its name; where the name is impossible, by the commit."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for branch, oid in sorted(branches.items()):
        key = unicodedata.normalize("NFKC", branch.casefold())
        parts = branch.split("/")
        above = {"/".join(key.split("/")[:count]) for count in range(1, len(parts))}
        is_long = max(len(part.encode()) for part in parts) > MAX_COMPONENT_BYTES
        if is_long or key in taken or f"{key}/" in taken or above & taken:
            found[f"{prefix}old/{oid}"] = oid
            continue
        taken |= {key, *(f"{folder}/" for folder in above)}
        found[f"{prefix}heads/{branch}"] = oid
    return found


def _difference(wanted: Mapping[str, str], current: Mapping[str, str]) -> list[_Change]:
    changes = [(name, oid) for name, oid in wanted.items() if current.get(name) != oid]
    return changes + [(name, "") for name in current if name not in wanted]


async def _apply(
    repo: git.Repo, changes: Sequence[_Change], *, durable: bool = False
) -> list[tuple[str, str]]:
    """All changes that are possible; answers (ref, why not) of the others."""
    if not changes:
        return []
    why = await _transaction(repo, changes, durable=durable)
    if why is None:
        return []
    if len(changes) == 1:
        return [(changes[0][0], why)]
    middle = len(changes) // 2
    first = await _apply(repo, changes[:middle], durable=durable)
    return first + await _apply(repo, changes[middle:], durable=durable)


async def _transaction(
    repo: git.Repo, changes: Sequence[_Change], *, durable: bool = False
) -> str | None:
    """All or nothing (deletions may come first); None, or why not."""
    deleted, later = _before(changes)
    for part in (deleted, later):
        if part:
            why = await _update_ref(repo, part, durable=durable)
            if why is not None:
                return why
    return None


def _before(changes: Sequence[_Change]) -> tuple[list[_Change], list[_Change]]:
    """Git cannot delete `fix` and make `fix/login` in one transaction: such deletions go first."""
    made = {name for name, oid in changes if oid}
    folders = {folder for name in made for folder in _folders(name)}
    first: list[_Change] = [
        (name, oid)
        for name, oid in changes
        if not oid and (name in folders or not made.isdisjoint(_folders(name)))
    ]
    early = set(first)
    return first, [change for change in changes if change not in early]


def _folders(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def _move(repo: git.Repo, moves: Mapping[str, str]) -> bool:
    """The everyday case, a commit on published branches, without a process."""
    if not repo.has_ref_files or git.missing(repo, sorted(set(moves.values()))):
        return False
    return git_files.move_refs(Path(repo.common_dir), moves)


def _guard(changes: Sequence[_Change]) -> None:
    """Everything that is written passes here."""
    for name, oid in changes:
        if oid and not git_files.OID.fullmatch(oid):
            raise RumpelError(f"{name} cannot be set to {oid[:80]!r}: not the name of a commit")
        if not name.startswith(NAMESPACES) or "/../" in name:
            raise Bug(f"rumpel must not write the ref {name}")


async def _update_ref(repo: git.Repo, changes: Sequence[_Change], *, durable: bool) -> str | None:
    _guard(changes)
    text = "".join(
        f"update {name}\0{oid}\0\0" if oid else f"delete {name}\0\0" for name, oid in changes
    )
    try:
        await git_run.run(
            repo.git_dir,
            *(DURABLE if durable else ()),
            "update-ref",
            "--no-deref",
            "--stdin",
            "-z",
            input=text.encode("utf-8", "surrogateescape"),
            timeout_s=TIMEOUT_S,
        )
    except RumpelError as err:
        return err.message
    return None
