"""The proof that a commit came whole: what it takes for proven, and what it leaves to git."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpel.adapters import git_whole
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import WHO, commit_of, tree, write
from tests.adapters.git.test_import import load


def proven(pair: Pair, folder: Path, tip: str, held: str, *packed: str) -> bool:
    """Of the commit `tip` when these objects came in a pack, and `held` is whole."""
    (folder / "pack").mkdir(parents=True)
    text = "".join(f"{oid}\n" for oid in packed).encode()
    pair.pod.git("pack-objects", "-q", str(folder / "pack/pack"), input=text)
    objects = pair.pod.root / ".git/objects"  # has everything, which proves nothing
    return bool(git_whole.proven(str(folder), str(objects), [tip], [held]))


def new_objects(pair: Pair, tip: str, held: str) -> list[str]:
    listed = pair.pod.git("rev-list", "--objects", "--no-object-names", tip, f"^{held}")
    return listed.split()


async def test_proof(quick: Pair, tmp_path: Path) -> None:
    pod = quick.pod
    base = pod.oid("HEAD")
    first = pod.commit("one", {"src/app.py": "print(2)\n", "lib/a/b.txt": "b\n"})
    tip = pod.commit("two", {"lib/a/c.txt": "c\n"})
    objects = new_objects(quick, tip, base)
    assert proven(quick, tmp_path / "all", tip, base, *objects)
    assert proven(quick, tmp_path / "held", tip, tip, first)
    for number, oid in enumerate(objects):
        rest = [one for one in objects if one != oid]
        assert not proven(quick, tmp_path / f"without {number}", tip, base, *rest), oid
    assert not proven(quick, tmp_path / "older", tip, first, *new_objects(quick, tip, first)[:-1])
    assert not proven(quick, tmp_path / "stranger", tip, "1" * 40, *objects)


async def test_proof_of_a_merge_and_of_what_moved(quick: Pair, tmp_path: Path) -> None:
    pod = quick.pod
    base = pod.oid("HEAD")
    pod.git("switch", "-q", "-c", "side")
    side = pod.commit("side", {"side/s": "s\n"})
    pod.git("switch", "-q", "alice")
    pod.commit("main", {"src/app.py": "print(3)\n"})
    pod.git("merge", "-q", "--no-edit", "side")
    merge = pod.oid("HEAD")
    assert proven(quick, tmp_path / "merge", merge, base, *new_objects(quick, merge, base))
    # Its tree has a tree that only `side` has: known to be whole, or not.
    rest = new_objects(quick, merge, side)
    assert proven(quick, tmp_path / "known", side, base, *new_objects(quick, side, base))
    assert not proven(quick, tmp_path / "unknown", merge, base, *rest)
    pod.git("mv", "README.md", "moved.md")
    moved = pod.commit("moved")
    assert not proven(quick, tmp_path / "moved", moved, merge, *new_objects(quick, moved, merge))
    assert set((await load(quick)).branches) == {"alice", "side"}  # git has the last word
    assert quick.host.git("fsck", "--full", "--no-dangling") == ""


def whole(pair: Pair, tmp_path: Path, tip: str) -> bool:
    """Whether a commit on the host's branch is proven when all of it came."""
    base = pair.host.oid("HEAD")
    return proven(pair, tmp_path / tip, tip, base, *new_objects(pair, tip, base))


@pytest.mark.parametrize("mode", [b"100644", b"100664", b"100755", b"120000"])
async def test_modes_that_git_writes(quick: Pair, tmp_path: Path, mode: bytes) -> None:
    blob = write(quick.pod, "blob", b"x")
    below = tree(quick.pod, [(mode, b"f", blob), (b"160000", b"module", "1" * 40)])
    assert whole(quick, tmp_path, commit_of(quick.pod, tree(quick.pod, [(b"40000", b"d", below)])))


@pytest.mark.parametrize("mode", [b"40755", b"100600", b"160755", b"0", b"20000", b"100000644"])
async def test_other_modes_are_left_to_git(quick: Pair, tmp_path: Path, mode: bytes) -> None:
    """To git the first is a folder, which a blob cannot be."""
    blob = write(quick.pod, "blob", b"x")
    folder = tree(quick.pod, [(b"100644", b"a", blob), (mode, b"d", blob)])
    tip = commit_of(quick.pod, folder)
    names = (tip, folder, blob)
    assert not proven(quick, tmp_path / "odd", tip, quick.host.oid("HEAD"), *names)


async def test_odd_tree_in_a_parent_is_left_to_git(quick: Pair, tmp_path: Path) -> None:
    blob = write(quick.pod, "blob", b"x")
    parent = commit_of(quick.pod, tree(quick.pod, [(b"100600", b"f", blob)]))
    quick.pod.git("update-ref", "refs/heads/alice", parent)
    folder = tree(quick.pod, [(b"100644", b"f", blob)])
    tip = commit_of(quick.pod, folder)
    assert not proven(quick, tmp_path / "lent", tip, parent, tip, folder)


async def test_name_that_stands_twice_is_left_to_git(quick: Pair, tmp_path: Path) -> None:
    there, gone = write(quick.pod, "blob", b"there"), write(quick.pod, "blob", b"gone")
    folder = tree(quick.pod, [(b"100644", b"f", gone), (b"100644", b"f", there)])
    tip = commit_of(quick.pod, folder)
    base = quick.host.oid("HEAD")
    assert not proven(quick, tmp_path / "twice", tip, base, tip, folder, there)


async def test_content_is_not_read(quick: Pair, tmp_path: Path) -> None:
    """That a blob is there is enough, however large it would be: git has checked it."""
    base = quick.host.oid("HEAD")
    tip = quick.pod.commit("work", {"f": "".join(f"{number}\n" for number in range(10_000))})
    blob = quick.pod.oid("HEAD:f")
    assert whole(quick, tmp_path, tip)
    (pack,) = (tmp_path / tip / "pack").glob("*.pack")
    index = quick.pod.git("show-index", input=pack.with_suffix(".idx").read_bytes())
    (offset,) = (int(line.split()[0]) for line in index.splitlines() if blob in line)
    data = bytearray(pack.read_bytes())
    data[offset + 20 : offset + 40] = bytes(20)
    pack.chmod(0o644)
    pack.write_bytes(data)
    objects = str(quick.pod.root / ".git/objects")
    assert git_whole.proven(str(tmp_path / tip), objects, [tip], [base]) == {tip}


def wide(pair: Pair, width: int, number: int = 0) -> str:
    blob = write(pair.pod, "blob", b"x")
    names = (b"%06d-%d" % (index, number) for index in range(width))
    return tree(pair.pod, [(b"100644", name, blob) for name in names])


def on(pair: Pair, folder: str, *parents: str, more: str = "") -> str:
    named = "".join(f"parent {oid}\n" for oid in parents)
    text = f"tree {folder}\n{named}author {WHO}\ncommitter {WHO}\n\nx{more}\n"
    return write(pair.pod, "commit", text.encode())


async def test_tree_that_is_too_large(quick: Pair, tmp_path: Path) -> None:
    assert whole(quick, tmp_path, commit_of(quick.pod, wide(quick, 20_000)))
    assert not whole(quick, tmp_path, commit_of(quick.pod, wide(quick, 40_000)))


async def test_commit_that_is_too_large(quick: Pair, tmp_path: Path) -> None:
    base = quick.host.oid("HEAD")
    assert whole(quick, tmp_path, on(quick, wide(quick, 1), base, more="x" * (1 << 19)))
    assert not whole(quick, tmp_path, on(quick, wide(quick, 1), base, more="x" * (1 << 20)))


async def test_many_wide_trees_are_too_much_together(quick: Pair, tmp_path: Path) -> None:
    tip = quick.host.oid("HEAD")
    for number in range(3):
        tip = on(quick, wide(quick, 10_000, number), tip)
    assert not whole(quick, tmp_path, tip)


@pytest.mark.parametrize(("count", "is_so"), [(8, True), (9, False)])
async def test_many_parents(quick: Pair, tmp_path: Path, count: int, is_so: bool) -> None:
    base = quick.host.oid("HEAD")
    parents = [on(quick, wide(quick, 1), base, more=str(number)) for number in range(count)]
    assert whole(quick, tmp_path, on(quick, wide(quick, 1), *parents)) is is_so


async def test_time_is_bounded(
    quick: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = quick.pod.commit("work", {"f": "f\n"})
    monkeypatch.setattr(git_whole, "MAX_SECONDS", -1.0)
    assert not whole(quick, tmp_path, tip)
    assert (await load(quick)).branches == {"alice": tip}  # git says so
    assert quick.host.git("fsck", "--full", "--no-dangling") == ""


async def test_what_is_not_proven_comes_all_the_same(quick: Pair) -> None:
    base = quick.host.oid("HEAD")
    parents = [on(quick, wide(quick, 1), base, more=str(number)) for number in range(9)]
    tip = on(quick, wide(quick, 40_000), *parents)
    quick.pod.git("update-ref", "refs/heads/alice", tip)
    assert (await load(quick)).branches == {"alice": tip}
    assert quick.host.git("fsck", "--full", "--no-dangling") == ""
