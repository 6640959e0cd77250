"""The everyday import: one git process on the host, and a proof of our own that it is whole."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from rumpel.adapters import git_whole
from tests.adapters.git.conftest import Pair
from tests.adapters.git.test_import import load


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the verb of each git that rumpel starts."""
    log, folder = tmp_path / "called", tmp_path / "bin"
    folder.mkdir()
    wrapper = folder / "git"
    wrapper.write_text(
        f"#!/bin/sh\nfor word; do case $word in -*|*=*) ;; *) echo $word >>{log}; break;; esac; "
        f'done\nexec {shutil.which("git")} "$@"\n'
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    log.touch()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def verbs(called: Path) -> list[str]:
    return [verb for verb in called.read_text().split() if verb != "upload-pack"]


async def test_one_process_for_a_commit(quick: Pair, called: Path) -> None:
    quick.pod.commit("first of its own")
    await load(quick)
    called.write_text("")
    oid = quick.pod.commit("work", {"src/app.py": "print(2)\n", "new/deep/file": "new\n"})
    assert (await load(quick)).branches == {"alice": oid}
    assert verbs(called) == ["index-pack"]
    assert quick.host.git("fsck", "--full", "--no-dangling") == ""


async def test_no_process_when_nothing_moved_or_the_host_has_it(quick: Pair, called: Path) -> None:
    oid = quick.pod.commit("work")
    await load(quick)
    called.write_text("")
    quick.pod.git("branch", "other")
    assert (await load(quick)).branches == {"alice": oid, "other": oid}
    assert verbs(called) == []
    quick.pod.git("branch", "-D", "-q", "other")
    assert (await load(quick)).branches == {"alice": oid}
    assert verbs(called) == ["update-ref"]  # what `other` was is kept


async def test_amended_commit_takes_two_questions(quick: Pair, called: Path) -> None:
    old = quick.pod.commit("work", {"a": "1\n"})
    await load(quick)
    called.write_text("")
    quick.pod.git("commit", "-q", "--amend", "--allow-empty", "-m", "better")
    assert (await load(quick)).branches == {"alice": quick.pod.oid("alice")}
    assert "fetch" not in verbs(called)
    assert list(quick.host.refs("refs/rumpel")) == [f"refs/rumpel/keep/pod-1/old/{old}"]


async def test_branch_far_behind_is_left_to_git(quick: Pair, called: Path) -> None:
    """The host's branches went on, and the pod knows none: git finds what both have."""
    base = quick.host.oid("main")
    for number in range(3):
        quick.host.commit(f"host {number}", {"README.md": f"{number}\n"})
    assert quick.pod.oid("alice") == base
    oid = quick.pod.commit("work", {"b": "2\n"})
    assert (await load(quick)).branches == {"alice": oid}
    assert "fetch" in verbs(called)


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
