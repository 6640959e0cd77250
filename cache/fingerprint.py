"""Canonical hashing of values, files and folders.

A fingerprint must not depend on the order of a dict, the process, PYTHONHASHSEED or the machine;
so values are hashed as canonical JSON and folders by content, type and the executable bit.
"""

from __future__ import annotations

import functools
import os
import stat
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rumpel import jsonline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIGEST_BYTES: Final = 16
CHUNK_BYTES: Final = 1 << 20
RACY_NS: Final = 1_000_000_000
"""A file changed less than this before it was read may change again within one mtime tick."""

_encode = jsonline.encoder(sort_keys=True)


def canonical(value: Any) -> bytes:
    """`value` as JSON with one spelling. Tuples and lists are the same thing.

    Raises TypeError or ValueError for what JSON cannot say (sets, NaN, objects).
    """
    return _encode(value).encode("ascii")


def digest(value: Any) -> str:
    """blake2b-128 of the canonical JSON, in hex."""
    return blake2b(canonical(value), digest_size=DIGEST_BYTES).hexdigest()


def fingerprint(kind: str, version: int, components: bytes) -> str:
    """What a node depends on, in 32 characters: the operation, its version, its components.

    `components` is their canonical JSON, so that it is made once for hashing and for keeping.
    """
    return blake2b(_head(kind, version) + components, digest_size=DIGEST_BYTES).hexdigest()


@functools.cache
def _head(kind: str, version: int) -> bytes:
    return canonical([kind, version])


def keyed(secret: str, key: bytes) -> str:
    """A secret as a component: equal secrets agree, and the value cannot be guessed offline.

    `key` is at most 64 bytes, random, and never leaves the state folder.
    """
    return blake2b(secret.encode(), digest_size=DIGEST_BYTES, key=key).hexdigest()


class FileStamp(NamedTuple):
    mtime_ns: int
    size: int
    inode: int


def stamp(status: os.stat_result) -> FileStamp:
    return FileStamp(status.st_mtime_ns, status.st_size, status.st_ino)


class FileHashes:
    """Content hashes remembered by (path, mtime, size, inode).

    Blocking: call it from a worker thread. A hash taken within a second of the file's mtime is
    not remembered (git's "racily clean" rule), because an edit in the same tick would not show.
    """

    def __init__(self, *, limit: int = 100_000, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._known: dict[str, tuple[FileStamp, str]] = {}
        self._limit = limit
        self._clock_ns = clock_ns

    def get(self, path: str) -> str:
        """Hash of the content of `path`, which is followed when it is a link. Raises OSError."""
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - fstat and hash one descriptor
            before = stamp(os.fstat(file.fileno()))
            known = self._known.get(path)
            if known is not None and known[0] == before:
                return known[1]
            hasher = blake2b(digest_size=DIGEST_BYTES)
            while chunk := file.read(CHUNK_BYTES):
                hasher.update(chunk)
            after = stamp(os.fstat(file.fileno()))
        result = hasher.hexdigest()
        # A clock that was set back makes files look new: never trust a stamp from the future.
        if before == after and self._clock_ns() - after.mtime_ns > RACY_NS:
            if len(self._known) >= self._limit:
                self._known.clear()
            self._known[path] = (after, result)
        else:
            self._known.pop(path, None)
        return result

    def __len__(self) -> int:
        return len(self._known)


def tree_hash(root: str, *, skip: Callable[[str], bool], files: FileHashes) -> str:
    """Hash of what `root` holds: names, content, link targets, the executable bit.

    Not in it: times, owners, other mode bits, the absolute path, empty folders that are skipped.
    `skip` gets a path relative to `root` with `/`; a skipped folder is still walked, because a
    later rule (`!keep` in .dockerignore) may take a file inside it back. Blocking. Raises OSError.
    """
    hasher = blake2b(digest_size=DIGEST_BYTES)
    for relative, entry in _walk(root, ""):
        if not skip(relative):
            hasher.update(canonical([relative, *_describe(entry, files)]))
            hasher.update(b"\n")
    return hasher.hexdigest()


def _walk(root: str, prefix: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    with os.scandir(root) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        relative = f"{prefix}{entry.name}"
        yield relative, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{relative}/")


def _describe(entry: os.DirEntry[str], files: FileHashes) -> tuple[Any, ...]:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISLNK(status.st_mode):
        return ("link", os.readlink(entry.path))  # noqa: PTH115 - strings throughout
    if stat.S_ISDIR(status.st_mode):
        return ("folder",)
    if stat.S_ISREG(status.st_mode):
        return ("file", bool(status.st_mode & stat.S_IXUSR), files.get(entry.path))
    return ("special", stat.S_IFMT(status.st_mode))  # a socket or FIFO: reading it could hang
