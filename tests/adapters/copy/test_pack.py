"""What is packed here is what other tars read, and what our own reader makes of it again."""

from __future__ import annotations

import io
import os
import shutil
import socket
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rumpel.adapters import beneath, pack, tar_entries
from rumpel.adapters.placing import Placing
from rumpel.adapters.unpack import Staging, Unpacking
from rumpel.errors import RumpelError
from tests.adapters.copy.test_unpack import Bytes, Folder

MARK = b"0123456789abcdef"


class Sink:
    """Keeps what is sent; `shorter`: of each large file so many bytes are missing."""

    def __init__(self, shorter: int = 0) -> None:
        self.data, self.shorter = bytearray(), shorter

    def send(self, data: bytes | bytearray) -> None:
        self.data += data

    def send_file(self, fd: int, size: int) -> int:
        found = os.pread(fd, size - self.shorter, 0)
        self.data += found
        return len(found)


def packed(path: Path, *, follows: bool = False) -> bytes:
    sink = Sink()
    packing = pack.Packing(sink)
    packing.add(os.fsencode(path), b"0", follows=follows)
    packing.end(MARK)
    return bytes(sink.data)


def seen(folder: Path) -> dict[bytes, tuple[str, int, bytes, int]]:
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        info = path.lstat()
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "file"
        content = os.fsencode(path.readlink()) if kind == "link" else b""
        content = path.read_bytes() if kind == "file" else content
        mode = 0 if kind == "link" else stat.S_IMODE(info.st_mode)
        name = os.fsencode(path.relative_to(folder))
        found[name] = (kind, mode, content, info.st_mtime_ns)
    return found


NAMES = st.binary(min_size=1, max_size=200).filter(
    lambda name: not {0, ord("/")} & set(name) and name not in (b".", b"..")
)
CONTENTS = st.tuples(st.binary(max_size=500), st.sampled_from([1, 1, 300])).map(
    lambda both: both[0] * both[1]
)
"""The large ones go another way."""
MODES = st.integers(0, 0o777)
LEAVES = st.one_of(
    st.tuples(st.just("file"), CONTENTS, MODES),
    st.tuples(st.just("link"), NAMES, st.just(0)),
)
TREES = st.recursive(LEAVES, lambda below: st.dictionaries(NAMES, below, max_size=4), max_leaves=12)


def build(path: Path, tree: Any, stamps: list[int]) -> None:
    if isinstance(tree, dict):
        path.mkdir()
        for name, below in tree.items():
            build(path / os.fsdecode(name), below, stamps)
    else:
        kind, content, mode = tree
        if kind == "link":
            path.symlink_to(os.fsdecode(content))
        else:
            path.write_bytes(content)
            path.chmod(mode)
    stamp = stamps[len(path.name) % len(stamps)]
    os.utime(path, ns=(stamp, stamp), follow_symlinks=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    tree=st.dictionaries(NAMES, TREES, max_size=5),
    stamps=st.lists(st.integers(0, 2**33 * 10**9), min_size=1, max_size=3),
)
def test_any_tree_comes_back(tmp_path: Path, tree: dict[bytes, object], stamps: list[int]) -> None:
    shutil.rmtree(tmp_path / "a", ignore_errors=True)
    shutil.rmtree(tmp_path / "b", ignore_errors=True)
    build(tmp_path / "a", tree, stamps)
    data = packed(tmp_path / "a")
    data = data[: data.rindex(MARK)] + bytes(1024)  # the mark is for the other side
    with Folder(tmp_path) as folder, Staging(folder, beneath.best()) as staging:
        unpacking = Unpacking(staging)
        unpacking.run(Bytes(data))
        Placing(unpacking, b"b").run()
    assert seen(tmp_path / "b") == seen(tmp_path / "a")


def test_others_read_it(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    (root / ("long" * 50)).mkdir(parents=True)
    (root / ("long" * 50) / ("name" * 50)).write_text("deep")
    (root / "f").write_text("f")
    (root / "g").hardlink_to(root / "f")
    (root / "l").symlink_to("to" * 100)
    os.utime(root / "f", ns=(10**18 + 250_000_000, 10**18 + 250_000_000))
    with tarfile.open(fileobj=io.BytesIO(packed(root))) as opened:
        found = {member.name: member for member in opened.getmembers()}
    assert found["0/" + "long" * 50 + "/" + "name" * 50].size == 4
    assert found["0/l"].linkname == "to" * 100
    assert (found["0/f"].mtime, found["0/g"].linkname) == (1_000_000_000.25, "0/f")
    assert MARK.decode() in found


def test_a_large_size_and_a_large_id_are_read(tmp_path: Path) -> None:
    head = pack._header(b"f", b"0", 1 << 40, 0o644, 0, owner=(1 << 30, 1 << 25))
    entry = tar_entries.read(Bytes(head))
    assert entry is not None
    assert (entry.size, entry.uid, entry.gid) == (1 << 40, 1 << 30, 1 << 25)
    info = tarfile.TarInfo.frombuf(head, "utf-8", "strict")
    assert (info.size, info.uid, info.gid) == (1 << 40, 1 << 30, 1 << 25)


def test_what_cannot_be_copied_is_told(tmp_path: Path) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "s"))
        packing = pack.Packing(Sink())
        packing.add(os.fsencode(root), b"0")
    ((what, (count, paths)),) = packing.remarks.items()
    assert (what, count) == (pack.SPECIAL, 2)
    assert [path.rpartition(b"/")[2] for path in paths] == [b"fifo", b"s"]


def test_a_file_that_became_shorter_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100_000)
    with pytest.raises(RumpelError, match="shorter"):
        pack.Packing(Sink(shorter=1)).add(os.fsencode(tmp_path / "f"), b"0")
    with pytest.raises(RumpelError, match="No such file"):
        pack.Packing(Sink()).add(os.fsencode(tmp_path / "nothing"), b"0")


def test_folders_that_lock_out_are_closed_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "tree/closed/deeper").mkdir(parents=True)
    (tmp_path / "tree/closed/deeper").chmod(0o500)
    (tmp_path / "tree/closed").chmod(0o555)
    data = packed(tmp_path / "tree")
    assert b"500\0./closed/deeper/\0" + b"555\0./closed/\0" in data
    with tarfile.open(fileobj=io.BytesIO(data)) as opened:
        assert {m.mode & 0o700 for m in opened.getmembers() if m.isdir()} == {0o700}
