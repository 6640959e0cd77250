"""Files of this machine that a task gets: which ones, and whether they are still the same."""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import pod_exclude
from rumpel.errors import Conflict

MAX_FILES = 10_000
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileIn:
    source: str
    """Absolute, here."""
    target: str
    """In the pod: absolute, or below the workspace."""
    digest: str
    is_executable: bool = False


def listed(folder: Path, given: str, target: str) -> Iterator[FileIn]:
    """A file, or all files of a folder; symbolic links are followed for the file only.

    Raises OSError, ValueError.
    """
    path = folder / given
    if not path.is_dir():
        yield _file(path, target)
        return
    found, size = list[Path](), 0
    for one in path.rglob("*"):
        about = one.lstat()
        if stat.S_ISREG(about.st_mode):
            found.append(one)
            size += about.st_size
        if len(found) > MAX_FILES:
            raise ValueError(f"there are more than {MAX_FILES} files in it")
        if size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MiB")
    for one in sorted(found):
        yield _file(one, posixpath.join(target, one.relative_to(path).as_posix()))


def read_bytes(path: Path, most: int) -> bytes:
    """Of a regular file: a device or a pipe could give bytes for ever, or never one.

    Raises OSError, ValueError.
    """
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no regular file")
        data = file.read(most + 1)
    if len(data) > most:
        size = f"{most >> 20} MiB" if most >= 1 << 20 else f"{most >> 10} KiB"
        raise ValueError(f"it is larger than {size}")
    return data


def _without_waiting(path: str, flags: int) -> int:
    """For a writer of a pipe."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def check_target(target: str) -> str:
    """Raises ValueError for one that leads out of the workspace."""
    clean = posixpath.normpath(target)
    if clean == ".." or clean.startswith("../"):
        raise ValueError(f"{target} is outside of the workspace")
    if ".git" in clean.split("/"):
        raise ValueError(f"{target} is in a git repository's own folder")
    return clean


def packed(files: Iterable[FileIn], workspace: str) -> bytes:
    """A tar with absolute targets, to be unpacked at `/` by the pod's user.

    Raises Conflict when a file is not what it was when the batch file was read.
    """
    buffer, size = io.BytesIO(), 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for one in files:
            try:
                data = read_bytes(Path(one.source), MAX_BYTES)
            except (OSError, ValueError) as error:
                raise Conflict(f"{one.source} cannot be read any more: {error}") from error
            size += len(data)
            if _digest(data) != one.digest:
                raise Conflict(f"{one.source} was changed meanwhile", hint="run the batch again")
            if size > MAX_BYTES:
                raise Conflict(f"the files of a task are more than {MAX_BYTES >> 20} MiB")
            info = tarfile.TarInfo(posixpath.join(workspace, one.target).lstrip("/"))
            info.size, info.mode = len(data), 0o755 if one.is_executable else 0o644
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def ignored(files: Iterable[FileIn]) -> str:
    """Lines for git's `info/exclude`: what a task was lent is not to be in its commits."""
    return pod_exclude.lines(one.target for one in files if not one.target.startswith("/"))


def _file(path: Path, target: str) -> FileIn:
    data = read_bytes(path, MAX_BYTES)
    return FileIn(
        source=str(path.resolve()),
        target=target,
        digest=_digest(data),
        is_executable=bool(path.stat().st_mode & 0o100),
    )


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
