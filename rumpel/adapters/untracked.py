"""Files of a work tree that git does not track, on their way into a pod: which, and as a tar.

They are read beneath the top of the work tree through no symbolic link, whoever moves things about
meanwhile. A link is a file like any other, with what it says: it is never followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass
from pathlib import Path

from rumpel import text
from rumpel.adapters import beneath, git, git_run, threads
from rumpel.adapters.named import is_named
from rumpel.adapters.pack import OPEN
from rumpel.adapters.pool_file import PoolFile
from rumpel.adapters.tar_copy import joined
from rumpel.adapters.tar_stream import Entry, chunks
from rumpel.adapters.unpack import within_git
from rumpel.errors import ConfigError, RumpelError

MAX_FILES, MAX_BYTES = 10_000, 1 << 30
LIST_TIMEOUT_S = 120.0
MAX_LIST_BYTES = 64 << 20
ROOT = "0"
"""What the tar calls the top of the work tree (`pod_receive.sh`)."""
FEWER = "name fewer files in copyIn, or have postCreateCommand make them in the pod"
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV, errno.ENXIO)
"""It is there no more, or a link is in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    names: tuple[str, ...] = ()
    """From the top of the work tree, sorted; bytes that are no UTF-8 as `os.fsdecode` has them."""
    repositories: tuple[str, ...] = ()
    """What a pattern names and is a repository of its own: that is not copied."""
    links_out: tuple[str, ...] = ()
    """Those of the names that are links to somewhere else."""
    unmatched: tuple[str, ...] = ()
    """Patterns that name nothing of all this."""


async def named(work_tree: str, common_dir: str, patterns: tuple[str, ...]) -> Found:
    """Files that patterns name, ignored or not; git's own are never among them.

    Raises ConfigError for too many of them, RumpelError for one that cannot be read.
    """
    repo = await threads.call(git.reopen, work_tree, common_dir)
    done = await git_run.run(
        repo.git_dir,
        f"--work-tree={repo.work_tree}",
        *("ls-files", "-z", "--others", "--", *_pathspecs(patterns)),
        timeout_s=LIST_TIMEOUT_S,
        env=git_run.own_env(),
        cwd=repo.work_tree,
        max_output_bytes=MAX_LIST_BYTES,
    )
    return await threads.call(_judged, repo.work_tree, done.stdout.split(b"\0"), patterns)


def _pathspecs(patterns: Iterable[str]) -> list[str]:
    """What can match, so that git need not print all there is; `_judged` decides."""
    found = []
    for pattern in patterns:
        if set("[]\\") & set(pattern):
            return ["."]
        name = pattern.removeprefix("/")
        found += [f":(top){name}", f":(top){name}/*"]
        if "/" not in pattern:
            found += [f":(top)*/{name}", f":(top)*/{name}/*"]
    return found


def _judged(work_tree: str, listed: list[bytes], patterns: tuple[str, ...]) -> Found:
    names, repositories, links_out, size = list[str](), list[str](), list[str](), 0
    for path in sorted(listed):
        clean = path.rstrip(b"/")
        if not path or within_git(clean) or not is_named(clean, patterns):
            continue
        if clean != path:
            repositories.append(os.fsdecode(clean))
            continue
        place = os.fsencode(work_tree) + b"/" + path
        try:
            info = os.lstat(place)
        except OSError:
            continue
        if stat.S_ISREG(info.st_mode):
            if not os.access(place, os.R_OK):
                raise unreadable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
            size += info.st_size
        elif _leads_out(place, path):
            links_out.append(os.fsdecode(path))
        names.append(os.fsdecode(path))
        check(len(names), size)
    found = [os.fsencode(name) for name in (*names, *repositories)]
    return Found(
        names=tuple(names),
        repositories=tuple(repositories),
        links_out=tuple(links_out),
        unmatched=tuple(
            one for one in patterns if not any(is_named(path, (one,)) for path in found)
        ),
    )


def _leads_out(place: bytes, path: bytes) -> bool:
    try:
        link = os.fsencode(Path(os.fsdecode(place)).readlink())
    except OSError:
        return False
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    return target.startswith((b"/", b"../")) or target == b".."


def check(count: int, size: int) -> None:
    """Raises ConfigError."""
    if count > MAX_FILES:
        raise ConfigError(f"copyIn names more than {MAX_FILES:,} files", hint=FEWER)
    if size > MAX_BYTES:
        raise ConfigError(f"copyIn names more than {text.size(MAX_BYTES)} of files", hint=FEWER)


async def tar(
    work_tree: str, names: Iterable[str], mark: str, gone: list[str]
) -> AsyncGenerator[bytes, None]:
    """Of these files, with the folders they are in; `mark` is last. Those that are there no more
    are added to `gone`.

    Raises tar_stream.Changed for one that changes meanwhile, RumpelError, ConfigError.
    """
    found = _entries(work_tree, names, mark, gone)
    try:
        async with contextlib.aclosing(found), contextlib.aclosing(chunks(found)) as pieces:
            async for piece in joined(pieces):
                yield piece
    except OSError as error:
        why = error.strerror or str(error)
        raise RumpelError(f"files of {text.safe(work_tree)} cannot be read: {why}") from error


async def _entries(
    work_tree: str, names: Iterable[str], mark: str, gone: list[str]
) -> AsyncGenerator[Entry, None]:
    reading = _Reading()
    line = threads.Line(reading.close)
    try:
        await line.call(reading.open, work_tree)
        yield Entry(ROOT)
        async for entry in _each(reading, line, names, gone):
            yield entry
    finally:
        line.close()
    yield Entry(mark, b"")


async def _each(
    reading: _Reading, line: threads.Line, names: Iterable[str], gone: list[str]
) -> AsyncIterator[Entry]:
    folders = set[bytes]()
    for name in names:
        path = os.fsencode(name)
        entry = await line.call(reading.file, path)
        if entry is None:
            gone.append(name)
            continue
        for folder in _above(path):
            if folder not in folders:
                folders.add(folder)
                yield await line.call(reading.folder, folder)
        reading.give()
        yield entry


def _above(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


class _Reading:
    """`open` it, `close` it. Blocking, but for `give`."""

    def __init__(self) -> None:
        self._open = beneath.best()
        self._root = self._file = -1
        self._count = self._size = 0

    def open(self, work_tree: str) -> None:
        self._root = os.open(work_tree, beneath.FOLDER)

    def give(self) -> None:
        """The last file is another's to close, from now on."""
        self._file = -1

    def close(self) -> None:
        for fd in (self._root, self._file):
            if fd >= 0:
                os.close(fd)

    def folder(self, path: bytes) -> Entry:
        """Its owner may write it, as `git clone` leaves them."""
        mode = 0o755
        with contextlib.suppress(OSError):
            fd = self._open(self._root, path)
            mode = stat.S_IMODE(os.fstat(fd).st_mode) & 0o777 | 0o700
            os.close(fd)
        return Entry(f"{ROOT}/{os.fsdecode(path)}", mode=mode)

    def file(self, path: bytes) -> Entry | None:
        """None: it is gone."""
        above, _, name = path.rpartition(b"/")
        try:
            folder = self._open(self._root, above)
            try:
                return self._entry(folder, name, f"{ROOT}/{os.fsdecode(path)}")
            finally:
                os.close(folder)
        except OSError as error:
            if error.errno in GONE:
                return None
            raise unreadable(path, error) from error

    def _entry(self, folder: int, name: bytes, shown: str) -> Entry | None:
        info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            link = os.fsdecode(os.readlink(name, dir_fd=folder))
            return Entry(shown, link=link, mtime=int(info.st_mtime))
        if not stat.S_ISREG(info.st_mode):
            return None
        self._file = os.open(name, OPEN, dir_fd=folder)
        info = os.fstat(self._file)
        if not stat.S_ISREG(info.st_mode):
            os.close(self._file)
            self._file = -1
            return None
        self._count, self._size = self._count + 1, self._size + info.st_size
        check(self._count, self._size)
        mode = stat.S_IMODE(info.st_mode) & 0o777
        return Entry(shown, PoolFile(self._file), mode, mtime=int(info.st_mtime))


def unreadable(path: bytes, error: OSError) -> RumpelError:
    shown = text.safe(os.fsdecode(path))
    return RumpelError(
        f"{shown} cannot be copied into the pod: {error.strerror}",
        hint="make it readable for you, or take it out of copyIn",
    )
