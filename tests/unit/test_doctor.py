"""What `doctor` makes of what it finds."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from rumpel.daemon import doctor, doctor_git

MIRROR = [("remote.backup.url", "/x"), ("remote.backup.mirror", "true")]


@pytest.mark.parametrize(
    ("refspec", "is_covered"),
    [
        ("refs/heads/*:refs/heads/*", False),
        ("+refs/heads/*:refs/remotes/origin/*", False),
        ("main", False),
        (":", False),
        ("", False),
        ("refs/*:refs/*", True),
        ("+refs/*:refs/*", True),
        ("refs/remotes/*:refs/heads/*", True),
        ("refs/remotes/rumpelpod/a", True),
        ("refs/rumpel/*:refs/rumpel/*", True),
        ("refs/r*:refs/x*", True),
    ],
)
def test_a_push_is_known_that_takes_refs_of_pods(refspec: str, is_covered: bool) -> None:
    assert doctor_git.covers([refspec], place=0) is is_covered
    rows = doctor_git.dangers([("remote.o.push", refspec)])
    assert [row[0] for row in rows] == ["warning"] * is_covered


def test_what_is_excepted_is_not_taken() -> None:
    excepted = ["^refs/rumpel/*", "^refs/remotes/rumpelpod/*"]
    assert doctor_git.covers(["refs/*", excepted[0]], place=0)
    assert not doctor_git.covers(["refs/*", *excepted], place=0)


def test_mirrors_are_named_with_what_to_type() -> None:
    ((state, words, hint, _),) = doctor_git.dangers(MIRROR)
    assert (state, hint) == ("warning", "git config --unset-all remote.backup.mirror")
    assert "backup" in words
    assert doctor_git.dangers([("remote.backup.mirror", "false")]) == []
    ((state, _, hint, _),) = doctor_git.dangers([("remote.rumpelpod.url", "/x")])
    assert (state, hint) == ("problem", "git remote rename rumpelpod other")


def test_a_mirroring_fetch_loses_refs_and_the_hint_ends_that(tmp_path: Path) -> None:
    """Not only by the words: git is asked what it does."""

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], cwd=tmp_path, capture_output=True, check=True)
        return done.stdout.decode()

    git("init", "-q", ".")
    git("commit", "-q", "--allow-empty", "-m", "x")
    git("checkout", "-q", "--detach")  # else git refuses to fetch into the branch
    git("clone", "-q", "--bare", ".", "o.git")
    git("remote", "add", "--mirror=fetch", "o", str(tmp_path / "o.git"))
    entries = [("remote.o.fetch", git("config", "remote.o.fetch").strip())]
    ((state, _, hint, _),) = doctor_git.dangers(entries)
    assert state == "problem"
    git("update-ref", "refs/rumpel/keep/1/heads/a", "HEAD")
    git("fetch", "-q", "--prune", "o")
    assert "refs/rumpel" not in git("for-each-ref"), "so it is a danger"
    git("update-ref", "refs/rumpel/keep/1/heads/a", "HEAD")
    assert hint is not None
    subprocess.run(shlex.split(hint), cwd=tmp_path, check=True)
    git("fetch", "-q", "--prune", "o")
    assert "refs/rumpel" in git("for-each-ref")


def test_refs_without_a_pod_are_found() -> None:
    names = ("a", "main@a", "fix%2Fx@a", "b", "main@b", "odd")
    refs = [f"refs/remotes/rumpelpod/{name}" for name in names]
    assert doctor_git.foreign(refs, {"a", "b"})[0][1].startswith("1 ref ")
    assert doctor_git.foreign(refs[:-1], {"a", "b"}) == []
    held = ["refs/rumpel/keep/1/heads/a", "refs/rumpel/keep/2/deleted", "refs/rumpel/x"]
    assert "refs/rumpel/x" in doctor_git.ownerless(held, {"1", "2"})[0][1]
    assert doctor_git.ownerless(held[:-1], {"1", "2"}) == []


def test_a_name_that_a_pod_chose_is_one_word_of_a_hint() -> None:
    name = "refs/remotes/rumpelpod/a;touch${IFS}x;`id`@gone"
    ((_, _, hint, _),) = doctor_git.foreign([name], {"a"})
    assert hint is not None
    assert shlex.split(hint) == ["git", "update-ref", "-d", name]
    held = "refs/rumpel/keep/9/heads/a;id"
    ((_, _, hint, _),) = doctor_git.ownerless([held], {"1"})
    assert hint == f"git log '{held}'"


def test_room_is_judged() -> None:
    states = [doctor.room("docker", "/x", size << 30).state for size in (0, 2, 9)]
    assert states == ["problem", "warning", "ok"]
    assert doctor.room("docker", "/x", 9 << 30).hint is None
