"""Files of dev container features: packed the same way wherever they come from, kept by digest.

A feature's files go from here into a build and are never unpacked on this machine. What comes from
a registry is hostile: plain files, folders and links that stay inside, of bounded size.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import posixpath
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from rumpel.errors import ConfigError, NotFound

MAX_BYTES = 256 << 20
MAX_FILES = 20_000
DIGEST = re.compile(r"[0-9a-f]{64}")
PREFIX = "f/"
"""Before each name in what is packed."""


class Store:
    """Packed features below one folder, by the SHA-256 of what was packed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, packed: bytes) -> str:
        """Its digest. Whole or not at all; the same again changes nothing."""
        digest = hashlib.sha256(packed).hexdigest()
        path = self.path(digest)
        try:
            if path.read_bytes() == packed:
                os.utime(path)  # it is needed: gc goes by its age
                return digest
        except OSError:
            pass  # it is not there, or cannot be read: it is written
        write(path, packed)
        return digest

    def path(self, digest: str) -> Path:
        if not DIGEST.fullmatch(digest):
            raise ValueError("no digest")
        return self.folder / f"{digest}.tar"

    def read(self, digest: str) -> bytes:
        """Raises NotFound; what was changed on the disk counts as gone."""
        try:
            packed = self.path(digest).read_bytes()
        except OSError:
            packed = b""
        if hashlib.sha256(packed).hexdigest() != digest:
            raise NotFound("the files of a feature are not there any more: ask again")
        return packed


def write(path: Path, content: bytes) -> None:
    """Whole or not at all, also when several do so at once. Blocking."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number, early = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        Path(early).replace(path)
    except BaseException:
        Path(early).unlink(missing_ok=True)
        raise


def store(cache: Path) -> Store:
    """Below the cache folder of this user."""
    return Store(cache / "features")


def pack(folder: Path) -> bytes:
    """The files of a folder. Raises OSError, ConfigError."""
    return _packed(_of_folder(folder), str(folder.name))


def repack(archive: bytes, name: str) -> bytes:
    """The files of an archive, plain or compressed. Raises ConfigError."""
    try:
        return _packed(_of_archive(_plain(archive, name), name), name)
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise ConfigError(f"feature {name}: its archive cannot be read: {error}") from error


def _plain(archive: bytes, name: str) -> bytes:
    """Uncompressed, within bounds: tarfile reads some headers whole, however long they are."""
    if not archive.startswith(b"\x1f\x8b"):
        return archive
    with gzip.open(io.BytesIO(archive)) as file:
        plain = file.read(MAX_BYTES + 1)
    if len(plain) > MAX_BYTES:
        raise ConfigError(f"feature {name} is larger than {MAX_BYTES >> 20} MiB")
    return plain


def member(packed: bytes, name: str) -> bytes | None:
    """A plain file of what was packed here; None when it is not there."""
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as tar:
        try:
            info = tar.getmember(f"{PREFIX}{name}")
        except KeyError:
            return None
        file = tar.extractfile(info) if info.isreg() else None
        return None if file is None else file.read()


Entry = tuple[str, int, str, bytes]
"""(name, mode, where a link leads, content)."""


def _packed(entries: Iterator[Entry], name: str) -> bytes:
    """Sorted, without times and owners: the same files are the same bytes."""
    buffer, size, known = io.BytesIO(), 0, dict[str, Entry]()
    for entry in entries:
        known[entry[0]] = entry
        size += len(entry[3])
        if size > MAX_BYTES:
            raise ConfigError(f"feature {name} is larger than {MAX_BYTES >> 20} MiB")
        if len(known) > MAX_FILES:
            raise ConfigError(f"feature {name} has more than {MAX_FILES} files")
    _refuse_below_links(known, name)
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, mode, link, content in sorted(known.values()):
            info = tarfile.TarInfo(f"{PREFIX}{path}")
            info.mode = mode
            if link:
                info.type, info.linkname = tarfile.SYMTYPE, link
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _refuse_below_links(known: Mapping[str, Entry], name: str) -> None:
    """Who unpacks it might follow one link to the next, and out."""
    links = {path for path, entry in known.items() if entry[2]}
    for path, (_, _, target, _) in known.items():
        ways = [path, posixpath.normpath(posixpath.join(posixpath.dirname(path), target))]
        parts = [way.split("/") for way in (ways if target else ways[:1])]
        above = {"/".join(way[:at]) for way in parts for at in range(1, len(way))}
        if not links.isdisjoint(above):
            raise ConfigError(f"feature {name}: {path} lies behind a link")


def _of_folder(folder: Path) -> Iterator[Entry]:
    for at, folders, names in os.walk(folder):
        for name in (*names, *folders):  # a link to a folder is among these
            path = Path(at, name)
            inside = path.relative_to(folder).as_posix()
            about = path.lstat()
            if stat.S_ISLNK(about.st_mode):
                yield inside, 0o777, _link(inside, str(path.readlink()), str(folder)), b""
            elif stat.S_ISREG(about.st_mode):
                if about.st_size > MAX_BYTES:
                    raise ConfigError(f"{path} is larger than {MAX_BYTES >> 20} MiB")
                yield inside, _mode(about.st_mode), "", path.read_bytes()


def _of_archive(archive: bytes, name: str) -> Iterator[Entry]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
        total = 0
        for number, info in enumerate(tar):
            if number > 2 * MAX_FILES:  # folders, too: a small archive can hold millions
                raise ConfigError(f"feature {name} has more than {MAX_FILES} files")
            path = posixpath.normpath(info.name)
            if info.isdir():
                continue
            if path.startswith(("/", "../")) or path in ("..", "."):
                raise ConfigError(f"feature {name}: {info.name!r} would lie outside of it")
            if info.issym():
                yield path, 0o777, _link(path, info.linkname, name), b""
            elif info.isreg():
                total += info.size
                if total > MAX_BYTES:  # before it is unpacked
                    raise ConfigError(f"feature {name} is larger than {MAX_BYTES >> 20} MiB")
                file = tar.extractfile(info)
                yield path, _mode(info.mode), "", b"" if file is None else file.read()
            else:
                raise ConfigError(f"feature {name}: {info.name!r} is no plain file")


def _link(path: str, target: str, name: str) -> str:
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    if target.startswith("/") or inside == ".." or inside.startswith("../"):
        raise ConfigError(f"feature {name}: the link {path} leads outside of it")
    return target


def _mode(mode: int) -> int:
    return 0o755 if mode & 0o111 else 0o644
