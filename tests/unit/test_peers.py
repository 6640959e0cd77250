"""Which refs go where when pods are told of each other."""

from __future__ import annotations

from rumpel.daemon import peers


def test_whose_a_published_name_is() -> None:
    names = ("fix", "fix@fix", "topic/one@fix", "a@b@fix", "main%2Fx@fix")
    assert {peers.owner(name) for name in names} == {"fix"}


def test_a_pod_is_told_what_moved() -> None:
    known = {"a": "1", "gone@b": "2", "same@b": "3"}
    wanted = {"a": "4", "same@b": "3", "new@b": "5"}
    assert peers.changes(known, wanted) == [
        "delete refs/remotes/rumpelpod/gone@b",
        "update refs/remotes/rumpelpod/a 4",
        "update refs/remotes/rumpelpod/new@b 5",
    ]
    assert peers.changes(wanted, wanted) == []


def test_deletions_are_pushed_first_and_many_in_parts() -> None:
    wanted = {f"b{number}@x": "1" for number in range(peers.MAX_REFS_A_PUSH + 1)}
    first, second, third = peers.refspecs({"b": "0"}, wanted)
    assert first == [":refs/rumpelpod/b"]
    assert len(second) == peers.MAX_REFS_A_PUSH
    assert third == [f"+1:refs/rumpelpod/b{peers.MAX_REFS_A_PUSH}@x"]
    assert list(peers.refspecs(wanted, wanted)) == []


def test_a_pod_is_shown_all_but_its_own() -> None:
    everything = {"fix": "1", "topic@fix": "2", "other": "3", "topic@other": "4"}
    assert peers.others("fix", everything) == {"other": "3", "topic@other": "4"}
    assert peers.others("fix", {"fix": "1"}) == {}
