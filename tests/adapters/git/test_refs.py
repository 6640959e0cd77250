"""Published refs and keep refs in the user's repository."""

from __future__ import annotations

import pytest

from rumpel.adapters import git_refs
from rumpel.errors import Bug, RumpelError
from tests.adapters.git.conftest import Pair

PUB = "refs/remotes/rumpelpod/"
KEEP = "refs/rumpel/keep/pod-1/"


async def test_publish_creates_moves_and_deletes(pair: Pair) -> None:
    one, two = pair.host.oid("HEAD"), pair.host.commit("two")
    others = pair.host.refs()
    now = await git_refs.publish(pair.repo, {f"{PUB}a": one, f"{PUB}x@a": one}, {})
    assert pair.host.published() == {"a": one, "x@a": one}
    now = await git_refs.publish(pair.repo, {f"{PUB}a": two}, now)
    assert now == {f"{PUB}a": two}
    assert pair.host.published() == {"a": two}
    await git_refs.publish(pair.repo, {}, now)
    assert pair.host.refs() == others


async def test_folder_and_file_change_places(pair: Pair) -> None:
    oid = pair.host.oid("HEAD")
    now = await git_refs.publish(pair.repo, {f"{PUB}fix@a": oid}, {})
    now = await git_refs.publish(pair.repo, {f"{PUB}fix@a/b@c": oid}, now)
    assert pair.host.published() == {"fix@a/b@c": oid}
    await git_refs.publish(pair.repo, {f"{PUB}fix@a": oid}, now)
    assert pair.host.published() == {"fix@a": oid}


async def test_one_impossible_ref_does_not_hold_up_the_others(pair: Pair) -> None:
    oid = pair.host.oid("HEAD")
    good = {f"{PUB}p{number}": oid for number in range(9)}
    bad = {f"{PUB}missing": "1" * 40, f"{PUB}{'x' * 300}": oid, f"{PUB}a..b": oid}
    assert await git_refs.publish(pair.repo, {**good, **bad}, {}) == good
    assert pair.host.published() == {name.removeprefix(PUB): oid for name in good}


async def test_what_the_user_did_by_hand_is_put_right(pair: Pair) -> None:
    one, two = pair.host.oid("HEAD"), pair.host.commit("two")
    now = await git_refs.publish(pair.repo, {f"{PUB}a": one, f"{PUB}b": one}, {})
    pair.host.git("update-ref", "-d", f"{PUB}a")
    pair.host.git("update-ref", f"{PUB}b", two)
    await git_refs.publish(pair.repo, {}, now)
    assert pair.host.published() == {}


async def test_symbolic_ref_is_replaced_not_followed(pair: Pair) -> None:
    oid, other = pair.host.oid("HEAD"), pair.host.git("commit-tree", "HEAD^{tree}", "-m", "x")
    pair.host.git("symbolic-ref", f"{PUB}a", "refs/heads/main")
    await git_refs.publish(pair.repo, {f"{PUB}a": other}, {})
    assert pair.host.oid("refs/heads/main") == oid
    assert pair.host.published() == {"a": other}


@pytest.mark.parametrize(
    "name",
    [
        "refs/remotes/rumpelpod/../../heads/main",
        "refs/heads/main",
        "HEAD",
        "refs/remotes/origin/x",
        "refs/rumpelx",
    ],
)
async def test_no_other_ref_is_ever_written(pair: Pair, name: str) -> None:
    with pytest.raises(Bug):
        await git_refs.publish(pair.repo, {name: pair.host.oid("HEAD")}, {})


async def test_hooks_and_reflogs_play_no_part(pair: Pair) -> None:
    hook = pair.host.root / ".git/hooks/reference-transaction"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    oid = pair.host.oid("HEAD")
    await git_refs.publish(pair.repo, {f"{PUB}a": oid}, {})
    assert pair.host.published() == {"a": oid}
    assert not (pair.host.root / ".git/logs/refs/remotes").exists()


async def test_keep_holds_every_branch_and_what_was_held_before(pair: Pair) -> None:
    one, two = pair.host.oid("HEAD"), pair.host.commit("two")
    assert await git_refs.keep(pair.repo, "pod-1", {"a": one, "fix": one}) == 2
    assert await git_refs.keep(pair.repo, "pod-1", {"a": two, "fix/login": two}) == 2
    held = pair.host.refs(KEEP)
    assert held == {
        f"{KEEP}heads/a": two,
        f"{KEEP}heads/fix/login": two,
        f"{KEEP}old/{one}": one,
    }


async def test_what_was_held_is_not_let_go_when_it_cannot_be_held(pair: Pair) -> None:
    one, two = pair.host.oid("HEAD"), pair.host.commit("two")
    await git_refs.keep(pair.repo, "pod-1", {"a": one})
    (pair.host.root / f".git/{KEEP}old").mkdir()
    (pair.host.root / f".git/{KEEP}old/{one}.lock").touch()
    with pytest.raises(RumpelError, match="what was kept before"):
        await git_refs.keep(pair.repo, "pod-1", {"a": two})
    assert pair.host.refs(KEEP) == {f"{KEEP}heads/a": one}


async def test_keep_takes_names_no_file_can_have(pair: Pair) -> None:
    one, two = pair.host.oid("HEAD"), pair.host.commit("two")
    branches = {"x" * 300: one, "Main": one, "main": two, "d" * 250 + "/x": two}
    assert await git_refs.keep(pair.repo, "pod-1", branches) == 4
    assert set(pair.host.refs(KEEP).values()) == {one, two}


async def test_keep_says_what_it_could_not_keep(pair: Pair) -> None:
    with pytest.raises(RumpelError, match="branch 'gone' could not be kept"):
        await git_refs.keep(pair.repo, "pod-1", {"a": pair.host.oid("HEAD"), "gone": "2" * 40})
    assert f"{KEEP}heads/a" in pair.host.refs(KEEP)


async def test_kept_commits_survive_gc(pair: Pair) -> None:
    oid = pair.host.git("commit-tree", "HEAD^{tree}", "-m", "x")
    await git_refs.keep(pair.repo, "pod-1", {"a": oid})
    pair.host.git("gc", "-q", "--prune=now")
    assert pair.host.git("cat-file", "-t", oid) == "commit"


async def test_locks_of_a_killed_writer_go_and_others_stay(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_refs, "STALE_AFTER_S", 0.05)
    await git_refs.clear_locks(pair.repo)
    one, two = pair.host.oid("HEAD"), pair.host.commit("two")
    now = await git_refs.publish(pair.repo, {f"{PUB}a": one}, {})
    stale = pair.host.root / f".git/{PUB}a.lock"
    await git_refs.keep(pair.repo, "pod-1", {"a": one})
    kept = pair.host.root / f".git/{KEEP}heads/a.lock"
    foreign = pair.host.root / ".git/refs/heads/main.lock"
    for lock in (stale, kept, foreign):
        lock.write_text(f"{two}\n")
    await git_refs.clear_locks(pair.repo)
    assert foreign.exists()
    assert not stale.exists()
    assert not kept.exists()
    foreign.unlink()
    await git_refs.publish(pair.repo, {f"{PUB}a": two}, now)
    assert pair.host.published() == {"a": two}
