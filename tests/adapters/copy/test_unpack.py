"""Hostile tars are unpacked beneath their destination or refused; nothing else is touched."""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import beneath, tar_entries
from rumpel.adapters.placing import Placing
from rumpel.adapters.unpack import Found, Staging, Unpacking
from rumpel.errors import RumpelError
from tests.support import tars

Open = Callable[[int, bytes], int]
WAYS = {"walk": beneath.walk, **({"openat2": beneath.resolve} if beneath.has_openat2() else {})}


class Bytes:
    """A tar in memory, as the stream from a pod would give it."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def exactly(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise RumpelError("the tar ends in the middle")
        self.at += size
        return self.data[self.at - size : self.at]

    def pour(self, target: int, size: int) -> None:
        os.write(target, self.exactly(size))


class Folder:
    """An open one: its descriptor, as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> int:
        self.fd = os.open(self.path, os.O_RDONLY)
        return self.fd

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


class World:
    """A destination with things around it that are nobody's to touch."""

    def __init__(self, folder: Path) -> None:
        self.outside, self.into = folder, folder / "into"
        self.into.mkdir(parents=True)
        (folder / "canary").write_text("alive")
        (folder / "canary").chmod(0o640)
        os.utime(folder / "canary", (1, 1))
        (folder / "house").mkdir()
        self.before = self.around()

    def around(self) -> dict[str, tuple[int, int, int, float, bytes]]:
        """All beside the destination; what is in `into` is the test's to look at."""
        found = {}
        for path in [p for p in self.outside.rglob("*") if self.into not in (p, *p.parents)]:
            info = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (info.st_mode, info.st_ino, info.st_nlink, info.st_mtime, content)
        return found

    def unpack(self, tar: bytes, open_folder: Open, name: bytes = b"d") -> Found:
        with Folder(self.into) as folder, Staging(folder, open_folder) as staging:
            unpacking = Unpacking(staging)
            found = unpacking.run(Bytes(tar))
            Placing(unpacking, name).run()
            return found

    def check(self) -> list[Path]:
        """What is in the destination now, all of it harmless; around it nothing has changed."""
        assert self.around() == self.before
        inside = sorted(self.into.rglob("*"))
        for path in inside:
            mode = path.lstat().st_mode
            assert stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode), path
            assert path.is_symlink() or not mode & 0o7000, path
            assert path.relative_to(self.into).parts[0] == "d", path
        return inside


@pytest.fixture(params=WAYS)
def open_folder(request: pytest.FixtureRequest) -> Open:
    return WAYS[request.param]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "w")


FINE = {
    "a device", "a fifo", "setuid", "a setgid folder", "the same file twice", "control bytes",
    "a hard link to itself", "a link, then a file in its place", "long links in a chain",
    "a pax path for all", "a mark of ours", "a negative size",
    "a hard link to a link, then written",
}  # fmt: skip
"""Unpacked, in a harmless way; all others are refused."""


@pytest.mark.parametrize("name", tars.FIXED)
def test_hostile_tar(world: World, open_folder: Open, name: str) -> None:
    is_whole = name != "nothing" and not name.startswith("cut off")
    tar = tars.FIXED[name] + (tars.END if is_whole else b"")
    if name in FINE:
        world.unpack(tar, open_folder)
        assert world.check()
    else:
        with pytest.raises((RumpelError, OSError)) as refused:
            world.unpack(tar, open_folder)
        assert isinstance(refused.value, RumpelError), name
        assert world.check() == []


def test_what_is_left_out_is_told(world: World, open_folder: Open) -> None:
    tar = b"".join(
        tars.FIXED[name].removeprefix(tars.TOP if number else b"")
        for number, name in enumerate(("a device", "a fifo", "setuid"))
    )
    found = world.unpack(tar + tars.symlink(b"d/up", b"../..") + tars.END, open_folder)
    assert {what: count for what, (count, _) in found.remarks.items()} == {
        "devices are not copied": 2,
        "pipes are not copied": 1,
        "setuid, setgid and sticky bits were dropped": 1,
        "links that lead out of what was copied": 1,
    }


def test_generated_tars(tmp_path: Path, open_folder: Open) -> None:
    """One seed each: `generated(seed)` is the tar again."""
    unpacked = 0
    for seed in range(tars.GENERATED):
        world = World(tmp_path / str(seed))
        try:
            world.unpack(tars.generated(seed), open_folder)
            unpacked += 1
        except RumpelError:
            assert world.check() == [], seed
        assert isinstance(world.check(), list), seed
    assert tars.GENERATED / 20 < unpacked < tars.GENERATED / 2  # both get their share


def test_into_what_is_there(world: World, open_folder: Open) -> None:
    """Merged, never through a link, and all or nothing."""
    (world.into / "d").mkdir()
    (world.into / "d/f").write_text("old")
    (world.into / "d/l").symlink_to("../../house")
    plain = tars.TOP + tars.entry(b"d/f", data=b"new") + tars.entry(b"d/a/g", data=b"new")
    world.unpack(plain + tars.END, open_folder)
    assert (world.into / "d/f").read_text() + (world.into / "d/a/g").read_text() == "newnew"
    was = world.check()
    for hostile in (
        tars.entry(b"d/l/evil", data=b"evil"),
        tars.folder(b"d/f"),
        tars.entry(b"d/a"),
        tars.folder(b"d/l"),
    ):
        tar = tars.TOP + tars.entry(b"d/0", data=b"x") + hostile + tars.END
        with pytest.raises(RumpelError):
            world.unpack(tar, open_folder)
        assert world.check() == was
    world.unpack(tars.TOP + tars.entry(b"d/l", data=b"mine") + tars.END, open_folder)
    assert not (world.into / "d/l").is_symlink()
    world.check()


class Swapper:
    """Somebody on this machine who puts links where folders are, as fast as they can."""

    def __init__(self, world: World) -> None:
        self.world, self.swaps = world, 0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Swapper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            for folder in self._targets():
                aside = folder.with_name(folder.name + "~")
                try:
                    folder.rename(aside)
                    folder.symlink_to(self.world.outside / "house")
                    self.swaps += 1
                    folder.unlink()
                    aside.rename(folder)
                except OSError:
                    continue  # it moved meanwhile

    def _targets(self) -> Iterator[Path]:
        yield self.world.into / "d/sub"
        for folder in self.world.into.glob(".rumpel-cp-*"):
            yield folder / "0/sub"
            yield folder / "0"


def test_folders_that_are_swapped_meanwhile(world: World, open_folder: Open) -> None:
    tar = tars.TOP + b"".join(
        tars.entry(b"d/%b/f%d" % (b"sub" if n % 2 else b"other", n), data=b"evil")
        for n in range(60)
    )
    (world.into / "d/sub").mkdir(parents=True)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    outcomes = {True: 0, False: 0}
    try:
        with Swapper(world) as swapper:
            for _ in range(300):
                try:
                    world.unpack(tar + tars.END, open_folder)
                    outcomes[True] += 1
                except (RumpelError, OSError):
                    outcomes[False] += 1
    finally:
        sys.setswitchinterval(interval)
    assert swapper.swaps > 50
    assert list((world.outside / "house").iterdir()) == []
    assert world.around() == world.before


def test_a_parent_that_is_a_link_is_never_opened(world: World, open_folder: Open) -> None:
    (world.into / "a/b").mkdir(parents=True)
    (world.into / "l").symlink_to("a")
    (world.into / "a/up").symlink_to("../..")
    with Folder(world.into) as root:
        os.close(open_folder(root, b"a/b"))
        os.close(open_folder(root, b""))
        for path in (b"l", b"l/b", b"a/up", b"a/up/house", b"..", b"a/../..", b"/", b"/tmp", b"no"):
            if path in (b"/", b"/tmp") and open_folder is beneath.walk:
                continue  # it has no root but its own
            with pytest.raises(OSError, match=r"."):
                os.close(open_folder(root, path))


def test_a_killed_one_is_cleared_away(world: World, open_folder: Open) -> None:
    named_alike = world.into / ".rumpel-cp-mine"
    named_alike.mkdir()
    left = world.into / ".rumpel-cp-0123456789abcdef/0/deep"
    left.mkdir(parents=True)
    (left / "link").symlink_to("../../..")
    with (
        Folder(world.into) as folder,
        Staging(folder, open_folder) as busy,
        Staging(folder, open_folder),
    ):
        assert (world.into / busy.name.decode()).exists()
        assert not left.exists()
    assert list(world.into.iterdir()) == [named_alike]
    assert world.around() == world.before


def test_a_deep_tree_is_unpacked_and_removed(world: World, open_folder: Open) -> None:
    for depth, is_fine in ((tar_entries.MAX_DEPTH, True), (tar_entries.MAX_DEPTH + 1, False)):
        path = b"d" + b"/x" * (depth - 1)
        tar = tars.TOP + tars.pax({b"path": path}) + tars.entry(b"d/x") + tars.END
        if is_fine:
            world.unpack(tar, open_folder)
            assert len(world.check()) == depth
            with Folder(world.into) as root:
                beneath.remove(root, b"d", open_folder)
        else:
            with pytest.raises(RumpelError, match="in more than"):
                world.unpack(tar, open_folder)
        assert list(world.into.iterdir()) == []


def test_many_files_cost_little_memory_and_few_descriptors(world: World, open_folder: Open) -> None:
    tar = tars.TOP + b"".join(
        tars.entry(b"d/%d/%d" % (n // 10, n), data=b"x" * 10) for n in range(3000)
    )
    before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    assert world.unpack(tar + tars.END, open_folder).files == 3000
    if before:
        assert len(list(Path("/proc/self/fd").iterdir())) == before


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 511), st.binary(min_size=1, max_size=12)), max_size=6
    ),
    before=st.sampled_from([b"", tars.pax({b"path": b"d/x"}), tars.long_name(b"d/y")]),
    records=st.binary(max_size=80),
)
def test_parser_says_what_it_cannot_read(
    changes: list[tuple[int, bytes]], before: bytes, records: bytes
) -> None:
    """Whatever is in a header with a good sum: an entry that leads nowhere else, or BadTar."""
    head = bytearray(tars.entry(b"d/f"))
    for at, value in changes:
        head[at : at + len(value)] = value[: 512 - at]
    data = before + tars.entry(b"pax", b"x", records) + tars.sealed(head) + tars.END
    try:
        entry = tar_entries.read(Bytes(data))
    except RumpelError:
        return
    if entry is not None:
        assert b".." not in entry.path.split(b"/")
        assert not entry.path.startswith(b"/")
        assert 0 <= entry.size <= tar_entries.MAX_SIZE
        assert 0 <= entry.mtime_ns <= tar_entries.LATEST_NS
        assert entry.mode <= 0o7777


def test_parser_reads_what_programs_write() -> None:
    entry = tar_entries.read(Bytes(tars.pax({b"mtime": b"1000000000.25"}) + tars.folder(b"./d/")))
    assert entry is not None
    assert (entry.path, entry.kind, entry.mtime_ns) == (b"d", b"5", 1_000_000_000_250_000_000)
