"""What lies between two commits: the files that changed, their sizes and contents, with limits.

A pod can commit a tree that unfolds into millions of files (notes/reliability.md F3), objects of a
gigabyte, and names of any bytes. So the names are listed first, within seconds and a fixed memory;
only what is few is then looked at. Everything runs in a view (git_view), so nothing is executed.
"""

from __future__ import annotations

import hashlib
import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import git, git_odb, git_run, git_view, proc, threads
from rumpel.adapters.git_odb import fitting
from rumpel.errors import NotFound, RumpelError, TimedOut, UsageError

NO_BLOB = ("0" * 40, "0" * 64)
EMPTY_TREE = {
    "sha1": "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    "sha256": "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
MAX_FILES = 20_000
LIST_TIMEOUT_S = 4.0
LIST_MEMORY_BYTES = 400 << 20
MAX_LIST_BYTES = 8 << 20
COUNT_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 30.0
FETCH_TIMEOUT_S = 300.0
BASE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One file that differs. Git's modes; names are bytes as git has them."""

    status: str
    """A letter: A(dded), D(eleted), M(odified), R(enamed), T(ype changed)."""
    old_mode: str
    new_mode: str
    old_oid: str
    new_oid: str
    path: bytes
    old_path: bytes
    """Where it was; else the same."""


@dataclass(frozen=True, slots=True)
class Lines:
    """How many lines came and went; None where git calls the file binary, or did not count."""

    added: int | None
    deleted: int | None


@dataclass(frozen=True, slots=True)
class Blobs:
    """By oid: the sizes of those that are there, and the contents that were read."""

    sizes: Mapping[str, int]
    data: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which files: git's pathspecs as somebody types them who stands in the folder `prefix`."""

    paths: tuple[str, ...] = ()
    prefix: str = ""


async def view_of(repo: git.Repo, parent: Path) -> git_view.View:
    """The view of the repository below `parent`, made when it is asked for first."""
    key = hashlib.blake2b(os.fsencode(repo.objects_dir), digest_size=8).hexdigest()
    try:
        return await threads.call(
            git_view.kept, str(parent), repo.objects_dir, repo.object_format, f"view-{key}"
        )
    except OSError as err:
        raise RumpelError(f"{parent} cannot be written: {err.strerror}") from err


async def merge_base(repo: git.Repo, one: str, other: str) -> str | None:
    """The newest commit both contain; None when they have none in common."""
    done = await git_run.run(
        repo.git_dir, "merge-base", one, other, timeout_s=BASE_TIMEOUT_S, codes=(0, 1)
    )
    return done.stdout.decode().split("\n")[0] or None


async def changes(view: git_view.View, old: str, new: str, scope: Scope) -> list[Change]:
    """Every file that differs, renames as two. Raises RumpelError when they are too many."""
    try:
        done = await _git(view, _tree_diff("--no-renames", "--raw", old=old, new=new), scope)
    except TimedOut as err:
        raise _too_large(f"its list of files did not end within {LIST_TIMEOUT_S:g} s") from err
    if done is None:
        raise _too_large(f"its list of files has more than {MAX_LIST_BYTES >> 20} MB")
    if done.code:
        raise _refused(done, scope)
    found = _raw(iter(done.stdout.split(b"\0")))
    if len(found) > MAX_FILES:
        raise _too_large(f"{len(found)} files differ, {MAX_FILES} can be shown")
    return found


async def counted(
    view: git_view.View, old: str, new: str, scope: Scope
) -> tuple[list[Change], dict[bytes, Lines]] | None:
    """The files with renames as one, and their numbers of lines; None if it takes too long.

    Raises NotFound when contents are missing, as in a partial clone (see `fetch_missing`).
    """
    argv = _tree_diff("-M", "--raw", "--numstat", old=old, new=new)
    try:
        done = await _git(view, argv, scope, timeout_s=COUNT_TIMEOUT_S, memory_bytes=2 << 30)
    except TimedOut:
        return None
    if done is None:
        return None
    if done.code:
        said = git_run.summary(done.error_text)
        if "unable to read" in said:
            raise NotFound(f"contents of the compared commits are missing: {said}")
        return None
    fields = iter(done.stdout.split(b"\0"))
    return _raw_then_counts(fields)


async def fetch_missing(repo: git.Repo, old: str, new: str) -> None:
    """Let git fetch what a partial clone lacks to compare these, from the user's remote.

    Only numbers of lines are asked for, which no filter, textconv or driver has a part in.
    """
    options = (*git_view.PLAIN_DIFF, "--no-abbrev", "-r", "--numstat")
    await git_run.run(
        repo.git_dir,
        *("diff-tree", *options, old, new, "--"),
        env=git_run.own_env(),
        timeout_s=FETCH_TIMEOUT_S,
    )


async def read(
    repo: git.Repo, view: git_view.View, oids: Iterable[str], *, each_bytes: int, all_bytes: int
) -> Blobs:
    """Small ones first, while they fit; none of more than `each_bytes`."""
    wanted = sorted(set(oids) - set(NO_BLOB))
    if not repo.needs_git:
        sizes, data = await threads.call(
            git_odb.blobs, repo.objects_dir, wanted, each_bytes=each_bytes, all_bytes=all_bytes
        )
        return Blobs(sizes, data)
    sizes = await _sizes(view, wanted)
    chosen = fitting(sizes, each_bytes=each_bytes, all_bytes=all_bytes)
    return Blobs(sizes, await _contents(view, chosen, all_bytes))


async def _sizes(view: git_view.View, oids: Sequence[str]) -> dict[str, int]:
    done = await proc.run(
        view.argv("cat-file", "--batch-check=%(objecttype) %(objectsize) %(objectname)"),
        env=_env(view),
        input="".join(f"{oid}\n" for oid in oids).encode(),
        timeout_s=READ_TIMEOUT_S,
    )
    rows = (line.split() for line in done.stdout.decode().split("\n"))
    return {row[2]: int(row[1]) for row in rows if len(row) == 3 and row[0] == "blob"}


async def _contents(view: git_view.View, oids: Sequence[str], all_bytes: int) -> dict[str, bytes]:
    if not oids:
        return {}
    done = await proc.run(
        view.argv("cat-file", "--batch=%(objectsize)"),
        env=_env(view),
        input="".join(f"{oid}\n" for oid in oids).encode(),
        timeout_s=READ_TIMEOUT_S,
        max_output_bytes=all_bytes + 100 * len(oids) + 1,
    )
    return _blobs(done.stdout, oids)


def _tree_diff(*options: str, old: str, new: str) -> list[str]:
    plain = (*git_view.PLAIN_DIFF, "--no-relative", "--no-abbrev", "-r", "-z")
    return ["diff-tree", *plain, *options, old, new, "--"]


def _env(view: git_view.View) -> dict[str, str]:
    return view.env(git_run.isolated_env())


async def _git(
    view: git_view.View,
    args: Sequence[str],
    scope: Scope,
    *,
    timeout_s: float = LIST_TIMEOUT_S,
    memory_bytes: int = LIST_MEMORY_BYTES,
) -> proc.Completed | None:
    """None when it printed too much. Raises TimedOut."""
    child = proc.Child(
        view.argv(*args, *scope.paths),
        cwd=await threads.call(view.cwd, scope.prefix),
        env=_env(view),
        max_output_bytes=MAX_LIST_BYTES,
    )
    async with child:
        child.limit(resource.RLIMIT_DATA, memory_bytes)
        child.limit(resource.RLIMIT_CORE, 0)
        try:
            return await child.ended(timeout_s)
        except TimedOut:
            raise
        except RumpelError:
            return None


def _refused(done: proc.Completed, scope: Scope) -> RumpelError:
    said = git_run.summary(done.error_text)
    if "outside repository" in said or "athspec" in said:
        return UsageError(
            f"no such path in the repository: {' '.join(scope.paths)}",
            hint="paths are relative to the current folder, as for git diff",
        )
    if "memory" in said or done.code < 0:
        return _too_large("git ran out of the memory it may use")
    return RumpelError(f"the commits cannot be compared: {said}")


def _too_large(why: str) -> RumpelError:
    return RumpelError(
        f"the change is too large to review at once: {why}",
        hint="name the paths to look at: rumpel review NAME PATH...",
        details={"limit": "review size"},
    )


def _raw(fields: Iterable[bytes]) -> list[Change]:
    """The records of `--raw -z --no-abbrev`, up to the first that is none."""
    return _raw_then_counts(fields)[0]


def _raw_then_counts(fields: Iterable[bytes]) -> tuple[list[Change], dict[bytes, Lines]]:
    """`:modes oids status NUL path NUL [path NUL]`, then `added TAB deleted TAB path NUL`.

    The counts of a rename have no path behind the second tab, but two fields after it.
    """
    found: list[Change] = []
    lines: dict[bytes, Lines] = {}
    rest = iter(fields)
    for field in rest:
        if field.startswith(b":"):
            found.append(_change(field, rest))
        elif field:
            added, deleted, path = field.split(b"\t", 2)
            if not path:
                next(rest)
                path = next(rest)
            lines[path] = Lines(_count(added), _count(deleted))
    return found, lines


def _change(head: bytes, rest: Iterable[bytes]) -> Change:
    old_mode, new_mode, old_oid, new_oid, status = head[1:].decode().split(" ")
    names = iter(rest)
    old_path = next(names)
    path = next(names) if status[0] in "RC" else old_path
    return Change(
        status=status[0],
        old_mode=old_mode,
        new_mode=new_mode,
        old_oid=old_oid,
        new_oid=new_oid,
        path=path,
        old_path=old_path,
    )


def _count(text: bytes) -> int | None:
    return None if text == b"-" else int(text)


def _blobs(output: bytes, oids: Sequence[str]) -> dict[str, bytes]:
    """The answers of `cat-file --batch`, in the order asked; a missing one has no content."""
    found, at = {}, 0
    for oid in oids:
        end = output.find(b"\n", at)
        if end < 0:
            break
        head = output[at:end]
        at = end + 1
        if head.isdigit():
            found[oid] = output[at : at + int(head)]
            at += int(head) + 1
    return found
