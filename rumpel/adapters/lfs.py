"""Git LFS on the host: pointers, and the store with the content they stand for. Blocking.

What a pod commits of a large file is a pointer of three lines; the content lies beside git's
objects, in `.git/lfs` of the common git dir or where `lfs.storage` says. git-lfs itself need not
be there. A name out of a pointer becomes a path only after it passed `Pointer.parse`. Sources:
git-lfs docs/spec.md, git-lfs-config(5).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from rumpel.adapters import git
from rumpel.errors import RumpelError

SPEC = b"version https://git-lfs.github.com/spec/v1\n"
POINTER = re.compile(
    re.escape(SPEC)
    + rb"(?:ext-[0-9]-[^\n ]{1,100} [^\n]{1,200}\n){0,10}"
    + rb"oid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]{0,17})\n?"
)
OID = re.compile(r"[0-9a-f]{64}")
MIN_POINTER_BYTES, MAX_POINTER_BYTES = 120, 1024
"""Of a pointer, as git-lfs reads them."""
PART_MARK = "-rumpel-"
STALE_PART_S = 3600.0


@dataclass(frozen=True, slots=True, order=True)
class Pointer:
    oid: str
    size: int

    @classmethod
    def parse(cls, data: bytes) -> Pointer | None:
        """None for what git-lfs would take for a file of the user."""
        found = POINTER.fullmatch(data)
        return cls(found[1].decode(), int(found[2])) if found else None

    @property
    def text(self) -> bytes:
        return SPEC + f"oid sha256:{self.oid}\nsize {self.size}\n".encode()

    def blob(self, object_format: str) -> str:
        """The name of the git object that holds this pointer."""
        return hashlib.new(
            object_format, b"blob %d\0" % len(self.text) + self.text, usedforsecurity=False
        ).hexdigest()


def may_point(size: int) -> bool:
    return MIN_POINTER_BYTES <= size < MAX_POINTER_BYTES


class Store:
    """The LFS objects of one repository."""

    def __init__(self, repo: git.Repo) -> None:
        configured = git.config_value(repo, "lfs.storage")
        # Relative to the git dir that all linked worktrees share; an absolute path stays.
        self.root = Path(repo.common_dir, os.path.expanduser(configured or "lfs"))  # noqa: PTH111 - a str
        self._like = Path(repo.objects_dir)

    @property
    def objects(self) -> Path:
        return self.root / "objects"

    def path(self, oid: str) -> Path:
        """Raises RumpelError for what is no oid."""
        if not OID.fullmatch(oid):
            raise RumpelError(f"{oid[:100]!r} is no name of an LFS object")
        return self.objects / oid[:2] / oid[2:4] / oid

    def has(self, pointer: Pointer) -> bool:
        """Whole, as far as its size tells; nobody writes under a final name (see `Part`)."""
        try:
            return self.path(pointer.oid).stat().st_size == pointer.size
        except OSError:
            return pointer.size == 0

    def all(self) -> Iterator[Pointer]:
        for folder in _entries(self.objects):
            for below in _entries(folder):
                for file in _entries(below):
                    if OID.fullmatch(file.name):
                        with contextlib.suppress(OSError):
                            yield Pointer(file.name, file.stat().st_size)

    @property
    def modes(self) -> tuple[int, int]:
        """(folder, file), as open as git's own objects are (core.sharedRepository)."""
        folder = self._like.stat().st_mode & 0o2777
        return folder, folder & 0o666 | 0o600

    def free_bytes(self) -> int:
        folder = self.root
        while not folder.is_dir():
            folder = folder.parent
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize


class Part:
    """An object that arrives: written beside, checked, synced, and then renamed into place."""

    def __init__(self, store: Store, pointer: Pointer) -> None:
        self._store, self._pointer = store, pointer
        self._hash = hashlib.sha256()
        folder = _made(store, store.root / "tmp")
        _drop_stale(folder)
        handle, name = tempfile.mkstemp(prefix=f"{pointer.oid}{PART_MARK}", dir=folder)
        self._path = Path(name)
        self._file: BinaryIO = os.fdopen(handle, "wb")
        self.written = 0

    def write(self, data: bytes) -> None:
        self._hash.update(data)
        self._file.write(data)
        self.written += len(data)

    def finish(self) -> None:
        """Raises RumpelError, and leaves nothing, when it is not what its name says."""
        target = self._store.path(self._pointer.oid)
        try:
            if self._hash.hexdigest() != self._pointer.oid:
                raise RumpelError(f"LFS object {self._pointer.oid[:12]} is not what its name says")
            self._file.flush()
            os.fchmod(self._file.fileno(), self._store.modes[1])
            os.fsync(self._file.fileno())
            _made(self._store, target.parent)
            self._path.replace(target)
            _sync_folder(target.parent)
        finally:
            self.drop()

    def drop(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def wanted(store: Store, repo: git.Repo, blobs: Iterable[str]) -> list[Pointer]:
    """Which objects of the store the git objects `blobs` point to.

    Asked the other way round: what each stored object's pointer would be called. So no blob is
    read, and what the host does not have is left out.
    """
    known = {pointer.blob(repo.object_format): pointer for pointer in store.all() if pointer.size}
    return sorted({known[blob] for blob in blobs if blob in known})


def read_pending(path: Path) -> dict[Pointer, str]:
    """Objects that branches of a pod point to and the host lacks, with the reason if known."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return {}
    fields = (line.split(" ", 2) for line in lines)
    return {
        Pointer(oid, int(size)): why
        for oid, size, why in fields
        if OID.fullmatch(oid) and size.isdigit()
    }


def write_pending(path: Path, found: Mapping[Pointer, str]) -> None:
    if not found:
        path.unlink(missing_ok=True)
        return
    lines = [f"{item.oid} {item.size} {' '.join(why.split())}\n" for item, why in found.items()]
    handle, temporary = tempfile.mkstemp(prefix="lfs-", dir=path.parent)
    with os.fdopen(handle, "w") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).replace(path)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _made(store: Store, folder: Path) -> Path:
    for part in (*reversed(folder.parents), folder):
        if not part.is_dir():
            part.mkdir(exist_ok=True)
            part.chmod(store.modes[0])
    return folder


def _drop_stale(folder: Path) -> None:
    """What a killed daemon left."""
    for file in folder.glob(f"*{PART_MARK}*"):
        with contextlib.suppress(OSError):
            if time.time() - file.stat().st_mtime > STALE_PART_S:
                file.unlink()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
