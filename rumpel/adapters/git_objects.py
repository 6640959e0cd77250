"""Moving checked objects from a quarantine into the user's repository. Blocking.

Loose objects and packs are added, nothing there is ever replaced. A pack's index goes last:
before that git does not see the pack.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from rumpel.errors import RumpelError

FANOUT_CHARS = 2
PACK_ORDER = (".pack", ".rev", ".idx")
HEAD_BYTES = 64
INDEX_HEAD_BYTES = 8 + 256 * 4
"""Of a version 2 index: magic, version, and the fan-out, which ends with the number of objects."""
LARGE_OFFSET = 1 << 31
CANNOT_LINK = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EACCES, errno.ENOSYS}


def move(source: Path, target: Path) -> int:
    """Add all objects of `source` to `target`; answers how many files. Raises RumpelError."""
    count = 0
    try:
        mode = target.stat().st_mode & 0o2777
        for folder in _fanout(source):
            (target / folder.name).mkdir(mode=mode, exist_ok=True)
            for file in folder.iterdir():
                count += _add(file, target / folder.name / file.name)
        if not (source / "pack").is_dir():
            return count
        (target / "pack").mkdir(mode=mode, exist_ok=True)
        for suffix in PACK_ORDER:
            for file in (source / "pack").glob(f"pack-*{suffix}"):
                sync_file(file)
                count += _add(file, target / "pack" / file.name)
    except OSError as err:
        raise RumpelError(f"objects cannot be written to {target}: {err.strerror}") from err
    return count


def largest_loose(source: Path) -> int:
    """Size of the largest loose object once unpacked, from the headers alone."""
    sizes = (_loose_size(file) for folder in _fanout(source) for file in folder.iterdir())
    return max(sizes, default=0)


def longest_chain(index: Path, offsets: Sequence[int], bases: bytes) -> int:
    """The longest row of deltas at these offsets of a pack that name their bases."""
    data = index.read_bytes()
    count = int.from_bytes(data[INDEX_HEAD_BYTES - 4 : INDEX_HEAD_BYTES], "big")
    size = len(bases) // max(len(offsets), 1)
    names_end = INDEX_HEAD_BYTES + count * size
    places = names_end + count * 4  # behind the checksums
    large = places + count * 4
    base_of = {at: bases[i * size : (i + 1) * size] for i, at in enumerate(offsets)}
    name_at: dict[int, bytes] = {}
    for number in range(count):
        at = int.from_bytes(data[places + number * 4 : places + number * 4 + 4], "big")
        if at & LARGE_OFFSET:
            start = large + (at & ~LARGE_OFFSET) * 8
            at = int.from_bytes(data[start : start + 8], "big")
        if at in base_of:
            start = INDEX_HEAD_BYTES + number * size
            name_at[at] = data[start : start + size]
    parents = {name: base_of[at] for at, name in name_at.items()}
    return _longest(parents)


def _longest(parents: Mapping[bytes, bytes]) -> int:
    depths: dict[bytes, int] = {}
    for first in parents:
        row = []
        name = first
        while name in parents and name not in depths:
            row.append(name)
            depths[name] = 0  # met; a circle, which git would not have taken, ends here
            name = parents[name]
        depth = depths.get(name, 0)
        for name in reversed(row):
            depth += 1
            depths[name] = depth
    return max(depths.values(), default=0)


def take_packs(source: Path) -> list[bytes]:
    """What the packs of a folder hold, which then has none; for small ones."""
    found = [pack.read_bytes() for pack in (source / "pack").glob("pack-*.pack")]
    drop_packs(source)
    return found


def drop_packs(source: Path) -> None:
    shutil.rmtree(source / "pack", ignore_errors=True)


def sync_loose(objects: Path, oids: Iterable[str]) -> int:
    """Those of `oids` that are single files go to the disk now; answers how many. Blocking."""
    folders: set[Path] = set()
    count = 0
    for oid in oids:
        file = objects / oid[:FANOUT_CHARS] / oid[FANOUT_CHARS:]
        with contextlib.suppress(FileNotFoundError):
            sync_file(file)
            folders.add(file.parent)
            count += 1
    for folder in folders:
        sync_file(folder)
    return count


def _fanout(objects: Path) -> Iterator[Path]:
    for folder in objects.iterdir():
        if len(folder.name) == FANOUT_CHARS:
            yield folder


def sync_file(file: Path) -> None:
    """To the disk: git does the same for packs, but not for loose objects."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _add(file: Path, target: Path) -> int:
    """Link, or copy to another file system; 0 when it is there already."""
    try:
        os.link(file, target)
    except FileExistsError:
        return 0
    except OSError as err:
        if err.errno not in CANNOT_LINK:
            raise
        return _copy(file, target)
    return 1


def _copy(file: Path, target: Path) -> int:
    if target.exists():
        return 0
    # Git removes left-over files with this prefix by itself.
    handle, temporary = tempfile.mkstemp(prefix="tmp_obj_", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as out, file.open("rb") as data:
            shutil.copyfileobj(data, out, 1 << 20)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).chmod(0o444)
        Path(temporary).replace(target)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return 1


def _loose_size(file: Path) -> int:
    """From the header `blob 123\\0`, without unpacking the rest."""
    with file.open("rb") as data:
        start = zlib.decompressobj().decompress(data.read(HEAD_BYTES), HEAD_BYTES)
    return int(start.partition(b"\0")[0].partition(b" ")[2] or b"0")
