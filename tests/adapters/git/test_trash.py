"""Snapshots and deleted pods in the user's repository: refs and objects, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import git_refs, git_snapshot, git_trash
from rumpel.adapters.git_trash import Deleted, DeletedModule
from rumpel.errors import Conflict, NotFound, RumpelError, UsageError
from rumpel.model import PortSpec
from tests.adapters.git.conftest import SHA256, Pair

POD = "a1b2c3d4"
OIDS = st.text("0123456789abcdef", min_size=40, max_size=40)
ENTRIES = st.builds(
    Deleted,
    pod=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
    pod_id=st.text("0123456789abcdef", min_size=1, max_size=16),
    host=st.sampled_from(["local", "ssh://x"]),
    base_branch=st.none() | st.text(max_size=20),
    base_oid=st.none() | OIDS,
    branches=st.dictionaries(st.text(max_size=20), OIDS, max_size=3),
    snapshot=st.none() | OIDS,
    deleted_at=st.floats(0, 1e10),
    expires_at=st.floats(0, 1e10),
    files=st.integers(0, 10**9),
    left=st.lists(st.text(max_size=20), max_size=3).map(tuple),
    modules=st.lists(
        st.builds(
            DeletedModule,
            key=st.text(max_size=20),
            work_tree=st.text(max_size=20),
            common_dir=st.text(max_size=20),
            branches=st.dictionaries(st.text(max_size=20), OIDS, max_size=3),
        ),
        max_size=3,
    ).map(tuple),
)
MODULE = DeletedModule(
    key="modules/lib", work_tree="/nowhere", common_dir="/nowhere/.git", branches={}
)


def entry(pair: Pair, **more: Any) -> Deleted:
    values: dict[str, Any] = {
        "pod": "p",
        "pod_id": POD,
        "host": "local",
        "base_branch": "main",
        "base_oid": pair.host.oid("main"),
        "branches": {"p": pair.host.oid("main")},
        "snapshot": None,
        "deleted_at": 1000.0,
        "expires_at": 2000.0,
        "forwards": (PortSpec(port=80, host="db", local=8080, label="web"),),
        "asked": {"memory": "4g"},
    }
    return Deleted(**values | more)


@given(ENTRIES)
def test_an_entry_reads_as_it_was_written(found: Deleted) -> None:
    assert git_trash.from_text(git_trash.to_text(found)) == found


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(str))
def test_what_is_no_entry_is_none(text: str) -> None:
    assert git_trash.from_text(text) is None


@pytest.mark.parametrize(
    "change",
    [
        ('"p"', '"../p"'),
        (f'"{POD}"', '"../x"'),
        ('"branches": {', '"branches": ["'),
        ('"snapshot": null', '"snapshot": "--all"'),
        ('"deleted_at": 1000.0', '"deleted_at": "soon"'),
        ('"port": 80', '"port": 80000'),
        ('"host": "db"', '"host": "-o x"'),
    ],
)
async def test_a_tampered_entry_is_none(pair: Pair, change: tuple[str, str]) -> None:
    text = git_trash.to_text(entry(pair))
    assert change[0] in text
    assert git_trash.from_text(text.replace(*change)) is None


@SHA256
async def test_the_way_of_a_pod_through_the_trash(pair: Pair) -> None:
    before = pair.host.refs()
    found = entry(pair)
    await git_trash.bury(pair.repo, found)
    await git_trash.bury(pair.repo, found)
    other = entry(pair, pod="q", pod_id="ff", deleted_at=3000.0)
    await git_trash.bury(pair.repo, other)
    pair.host.git("gc", "-q", "--prune=now")
    assert await git_trash.entries(pair.repo) == [other, found]
    assert git_trash.pick([other, found], "p") == found
    with pytest.raises(NotFound):
        git_trash.pick([other, found], "r")
    await git_trash.unbury(pair.repo, POD)
    never = entry(pair, pod_id="ee", modules=(MODULE,))
    await git_trash.expire(pair.repo, [other, never])
    assert await git_trash.entries(pair.repo) == []
    assert pair.host.refs() == before


async def test_snapshots_are_held_once_and_the_automatic_ones_are_few(pair: Pair) -> None:
    oid = pair.host.oid("main")
    manual = await git_trash.hold(pair.repo, POD, oid, kind="manual", at=5)
    made = [pair.host.commit(str(number)) for number in range(git_trash.MOST_AUTOMATIC + 3)]
    for number, other in enumerate(made):
        await git_trash.hold(pair.repo, POD, other, kind="stop", at=10 + number // 2)
    found = await git_trash.snapshots(pair.repo, POD)
    assert [item.oid for item in found] == [*made[:2:-1], oid]
    assert git_trash.choose(found, None, pod="p").oid == made[-1]
    assert git_trash.choose(found, oid[:8], pod="p") == manual
    with pytest.raises(NotFound):
        git_trash.choose(found, "0000000", pod="p")
    with pytest.raises(UsageError):
        git_trash.choose(found, "HEAD~1", pod="p")
    with pytest.raises(NotFound):
        git_trash.choose([], None, pod="p")


async def test_the_same_work_is_the_newest_again(pair: Pair) -> None:
    """Else what was found last could be let go of as the oldest."""
    oid, other = pair.host.oid("main"), pair.host.commit("other")

    async def held(oid: str, kind: str, at: int) -> list[tuple[str, int]]:
        made = await git_trash.hold(pair.repo, POD, oid, kind=kind, at=at)
        found = await git_trash.snapshots(pair.repo, POD)
        assert found[0] == made
        return [(item.kind, item.at) for item in found if item.oid == oid]

    assert await held(oid, "stop", 5) == [("stop", 5)]
    assert await held(oid, "stop", 5) == [("stop", 5)]
    assert await held(other, "stop", 6) == [("stop", 6)]
    assert await held(oid, "review", 7) == [("review", 7)]
    assert await held(oid, "delete", 8) == [("delete", 8)]
    assert await held(oid, "stop", 9) == [("stop", 9), ("delete", 8)]
    assert await held(oid, "delete", 10) == [("delete", 10)]


async def test_reviews_push_out_no_work_that_was_overwritten(pair: Pair) -> None:
    overwritten = await git_trash.hold(pair.repo, POD, pair.host.oid("main"), kind="restore", at=1)
    for number in range(git_trash.MOST_AUTOMATIC + 2):
        oid = pair.host.commit(str(number))
        await git_trash.hold(
            pair.repo, POD, oid, kind=("review", "stop")[number % 2], at=10 + number
        )
    found = await git_trash.snapshots(pair.repo, POD)
    assert len(found) == git_trash.MOST_AUTOMATIC + 1
    assert found[-1] == overwritten


async def test_a_branch_called_deleted_is_no_entry(pair: Pair, monkeypatch: Any) -> None:
    """A commit of any size: to read it with the entries would be the end of everybody's trash."""
    buried = entry(pair)
    await git_trash.bury(pair.repo, buried)
    oid = pair.host.commit("x" * 10_000)
    await git_refs.keep(pair.repo, "ff", {"deleted": oid, "a/deleted": oid})
    monkeypatch.setattr(git_snapshot, "MAX_TEXT_BYTES", 5_000)
    assert await git_trash.entries(pair.repo) == [buried]


def test_a_beginning_of_two_snapshots_is_not_enough() -> None:
    both = [
        git_trash.parse(f"refs/rumpel/keep/{POD}/snapshots/{at}-stop", f"abcd{at}" + "0" * 35)
        for at in (1, 2)
    ]
    found = [item for item in both if item is not None]
    assert len(found) == 2
    with pytest.raises(Conflict):
        git_trash.choose(found, "abcd", pod="p")


async def test_keeping_branches_leaves_the_rest_alone(pair: Pair) -> None:
    oid = pair.host.oid("main")
    made = await git_trash.hold(pair.repo, POD, oid, kind="delete", at=5)
    buried = entry(pair)
    await git_trash.bury(pair.repo, buried)
    await git_refs.keep(pair.repo, POD, {"p": pair.host.commit("next")})
    await git_refs.keep(pair.repo, POD, {"q": oid})
    assert await git_trash.snapshots(pair.repo, POD) == [made]
    assert await git_trash.entries(pair.repo) == [buried]


async def test_what_is_not_whole_is_not_held(pair: Pair) -> None:
    """A commit whose tree is not there: its pod must not go."""
    text = f"tree {'1' * 40}\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx\n".encode()
    oid = pair.host.git("hash-object", "-t", "commit", "-w", "--stdin", input=text)
    with pytest.raises(RumpelError):
        await git_trash.hold(pair.repo, POD, oid, kind="stop", at=5)
    assert await git_trash.snapshots(pair.repo, POD) == []


async def test_a_pod_nobody_could_look_into_keeps_the_work_that_is_known(pair: Pair) -> None:
    """A second delete must not empty the entry of the first one."""
    oid, work = pair.host.oid("main"), pair.host.commit("work")
    empty = entry(pair, left=("gone",))
    for was_seen in (True, False):
        assert await git_trash.with_known_work(pair.repo, empty, was_seen=was_seen) == empty
    held = await git_trash.hold(pair.repo, POD, oid, kind="stop", at=5)
    found = await git_trash.with_known_work(pair.repo, empty, was_seen=False)
    assert found.snapshot == held.oid
    assert await git_trash.with_known_work(pair.repo, empty, was_seen=True) == empty
    await git_trash.bury(pair.repo, entry(pair, snapshot=work, files=2, left=("huge",)))
    for was_seen in (True, False):
        found = await git_trash.with_known_work(pair.repo, empty, was_seen=was_seen)
        assert (found.snapshot, found.files, found.left) == (work, 2, ("huge", "gone"))
    gone = entry(pair, branches={})
    found = await git_trash.with_known_work(pair.repo, gone, was_seen=False)
    assert found.branches == empty.branches, "its published branches are withdrawn already"
    moved = entry(pair, branches={"p": oid})
    assert await git_trash.with_known_work(pair.repo, moved, was_seen=True) == moved
    await git_trash.hold(pair.repo, POD, work, kind="stop", at=3000)
    assert (await git_trash.with_known_work(pair.repo, gone, was_seen=False)).snapshot == work


async def test_an_old_snapshot_moves_no_branch_back(pair: Pair) -> None:
    old = pair.host.oid("main")
    pair.host.commit("snapshot", {"about": f"version=1\nhead=refs/heads/p\ntip={old}\nbranch=p\n"})
    snapshot = pair.host.oid("main")
    await git_trash.hold(pair.repo, POD, snapshot, kind="stop", at=5)
    there = entry(pair, branches={"p": old})
    assert (await git_trash.with_known_work(pair.repo, there, was_seen=False)).snapshot == snapshot
    newer = entry(pair, branches={"p": snapshot})
    assert await git_trash.with_known_work(pair.repo, newer, was_seen=False) == newer
