"""What the published refs of a repository show, and whose refs are left alone."""

from __future__ import annotations

from rumpel.daemon.repos import RepoSync
from rumpel.model import RepoRef
from tests.adapters.git.conftest import Pair

PUB = "refs/remotes/rumpelpod/"
KEEP = "refs/rumpel/keep"


def sync_of(pair: Pair) -> RepoSync:
    ref = RepoRef.at(pair.repo.common_dir, str(pair.host.root))
    return RepoSync(ref, on_pushed=lambda *_: None, on_published=lambda _: None)


def loose(pair: Pair, subject: str, *parents: str) -> str:
    """A commit that no ref holds."""
    words = [word for parent in parents for word in ("-p", parent)]
    return pair.host.git("commit-tree", "HEAD^{tree}", *words, "-m", subject)


async def test_refs_of_pods_nobody_knows_stay(pair: Pair) -> None:
    """A copy of a repository, or one that was moved, has them."""
    old, own = loose(pair, "old"), pair.host.oid("HEAD")
    for name in ("y", "y@y", "topic@y"):
        pair.host.git("update-ref", f"{PUB}{name}", old)
    sync = sync_of(pair)
    await sync.publish("1", "x", {"x": own})
    await sync.publish("1", "x", {"x": old})
    await sync.withdraw("1")
    assert pair.host.published() == {"y": old, "y@y": old, "topic@y": old}
    assert pair.host.refs(KEEP) == {}


async def test_what_a_pod_of_the_same_name_had_is_held(pair: Pair) -> None:
    begun = pair.host.oid("HEAD")
    unmerged, other = loose(pair, "unmerged", begun), loose(pair, "other")
    pair.host.git("update-ref", f"{PUB}x", unmerged)
    pair.host.git("update-ref", f"{PUB}x@x", unmerged)
    pair.host.git("update-ref", f"{PUB}topic@x", other)
    sync = sync_of(pair)
    await sync.publish("1", "x", {"x": begun})
    assert pair.host.published() == {"x": begun, "x@x": begun}
    assert set(pair.host.refs(KEEP).values()) == {unmerged, other}


async def test_what_is_contained_in_its_successor_needs_no_ref(pair: Pair) -> None:
    begun = pair.host.oid("HEAD")
    later = loose(pair, "later", begun)
    pair.host.git("update-ref", f"{PUB}x", begun)
    await sync_of(pair).publish("1", "x", {"x": later})
    assert pair.host.published() == {"x": later, "x@x": later}
    assert pair.host.refs(KEEP) == {}


async def test_a_foreign_ref_in_the_way_makes_room_and_is_held(pair: Pair) -> None:
    old, own = loose(pair, "old"), pair.host.oid("HEAD")
    pair.host.git("update-ref", f"{PUB}fix/login@old", old)
    pair.host.git("update-ref", f"{PUB}other@old", old)
    sync = sync_of(pair)
    await sync.publish("1", "x", {"x": own})
    assert "fix/login@old" in pair.host.published()
    await sync.publish("2", "fix", {"fix": own})
    assert sorted(pair.host.published()) == ["fix", "fix@fix", "other@old", "x", "x@x"]
    assert list(pair.host.refs(KEEP).values()) == [old]


async def test_what_was_changed_by_hand_comes_back(pair: Pair) -> None:
    own, mine = pair.host.oid("HEAD"), loose(pair, "mine")
    sync = sync_of(pair)
    await sync.publish("1", "x", {"x": own})
    pair.host.git("update-ref", "-d", f"{PUB}x")
    pair.host.git("update-ref", f"{PUB}x@x", mine)
    await sync.check()
    assert pair.host.published() == {"x": own, "x@x": own}
    assert list(pair.host.refs(KEEP).values()) == [mine], "nothing is dropped from every ref"
