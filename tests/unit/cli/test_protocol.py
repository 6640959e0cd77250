"""The wire: messages survive any cutting, bad ones are refused by name."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import protocol
from rumpel.errors import UsageError

MESSAGES = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers() | st.none()),
    max_size=6,
)


@given(MESSAGES, st.lists(st.integers(1, 30), min_size=1))
def test_lines_survive_any_cutting(messages: list[dict[str, Any]], cuts: list[int]) -> None:
    data = b"".join(protocol.encode(message) for message in messages)
    lines, found, at, turn = protocol.Lines(), list[dict[str, Any]](), 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += lines.feed(data[at : at + size])
        at, turn = at + size, turn + 1
    assert found == messages
    assert not lines


@pytest.mark.parametrize("line", [b"[1]", b"nope", b"\xff", b"{", b"[" * 100_000])
def test_what_is_no_object_is_refused(line: bytes) -> None:
    with pytest.raises(UsageError):
        protocol.decode(line)


def test_an_endless_line_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_LINE_BYTES", 1000)
    lines = protocol.Lines()
    for _ in range(3):
        lines.feed(b"x" * 300)
    with pytest.raises(UsageError):
        lines.feed(b"x" * 300)


def request(**changes: Any) -> dict[str, Any]:
    message = protocol.request("create", {"names": ["a"]}, cwd="/w", env={"A": "\udcff"})
    wire: dict[str, Any] = json.loads(protocol.encode(message))
    return {**wire, **changes}


def test_a_request_has_every_argument_and_its_environment() -> None:
    checked = protocol.Request(request())
    assert checked.args["names"] == ("a",)
    assert checked.args["count"] is None
    assert checked.args["trust"] is False
    assert checked.env == {"A": "\udcff"}
    assert (checked.cwd, checked.proto, checked.host) == ("/w", protocol.PROTO, None)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"verb": "dance"}, "dance"),
        ({"verb": None}, "verb"),
        ({"args": {"nmaes": []}}, "nmaes"),
        ({"args": {"names": "a"}}, "names"),
        ({"args": {"count": True}}, "count"),
        ({"proto": [1]}, "proto"),
        ({"cwd": 3}, "cwd"),
        ({"env": []}, "env"),
    ],
)
def test_a_malformed_request_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        protocol.Request(request(**changes))


def test_versions_meet_in_the_newest_common_one() -> None:
    assert protocol.negotiate(protocol.PROTO) == protocol.PROTO[1]
    assert protocol.negotiate((1, 99)) == protocol.PROTO[1]
    assert protocol.negotiate((98, 99)) is None


def test_only_verbs_that_substitute_see_the_whole_environment() -> None:
    env = {"SECRET": "1", "DOCKER_HOST": "x", "RUMPEL_DEBUG": "1"}
    assert protocol.wanted_env("list", env) == {"DOCKER_HOST": "x", "RUMPEL_DEBUG": "1"}
    assert protocol.wanted_env("enter", env) == env
