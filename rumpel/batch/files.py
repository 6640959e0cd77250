"""Files of this machine that a task gets: which ones, and whether they are still the same."""

from __future__ import annotations

import hashlib
import io
import posixpath
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

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
    found = sorted(one for one in path.rglob("*") if one.is_file() and not one.is_symlink())
    if len(found) > MAX_FILES:
        raise ValueError(f"there are more than {MAX_FILES} files in it")
    for one in found:
        yield _file(one, posixpath.join(target, one.relative_to(path).as_posix()))


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

    Raises Conflict when a file is not what it was when the batch file was read, OSError.
    """
    buffer, size = io.BytesIO(), 0
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for one in files:
            data = Path(one.source).read_bytes()
            size += len(data)
            if _digest(data) != one.digest:
                raise Conflict(f"{one.source} was changed meanwhile", hint="run the batch again")
            if size > MAX_BYTES:
                raise Conflict(f"the files of a task are more than {MAX_BYTES >> 20} MiB")
            info = tarfile.TarInfo(posixpath.join(workspace, one.target).lstrip("/"))
            info.size, info.mode = len(data), 0o755 if one.is_executable else 0o644
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _file(path: Path, target: str) -> FileIn:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_BYTES >> 20} MiB")
    data = path.read_bytes()
    return FileIn(
        source=str(path.resolve()),
        target=target,
        digest=_digest(data),
        is_executable=bool(path.stat().st_mode & 0o100),
    )


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
