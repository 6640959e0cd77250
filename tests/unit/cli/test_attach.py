"""Docker's frames, cut anywhere, become the right bytes on the right stream."""

from __future__ import annotations

import socket
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rumpel import client
from rumpel.cli import attach

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=10)


@given(FRAMES, st.lists(st.integers(1, 25), min_size=1))
def test_frames_survive_any_cutting(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(bytes([kind, 0, 0, 0]) + len(p).to_bytes(4, "big") + p for kind, p in frames)
    frames_of = attach.Frames()
    found = {1: b"", 2: b""}
    at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        for target, parts in frames_of.feed(data[at : at + size]):
            found[target] += b"".join(parts)
        at, turn = at + size, turn + 1
    for kind in (1, 2):
        assert found[kind] == b"".join(payload for k, payload in frames if k == kind)


def test_neighbours_of_one_stream_are_written_together() -> None:
    one = b"\1\0\0\0\0\0\0\1a"
    (target, parts), *rest = attach.Frames().feed(one * 3)
    assert (target, [bytes(part) for part in parts], rest) == (1, [b"a"] * 3, [])


def test_descriptors_that_nobody_took_are_closed() -> None:
    ours, theirs = socket.socketpair()
    passed, kept = socket.socketpair()
    with client.Connection(theirs, "x") as connection, ours, kept:
        message: dict[str, Any] = {"event": "attach"}
        socket.send_fds(ours, [b'{"event":"attach"}\n'], [passed.fileno()])
        passed.close()
        assert connection.receive() == message
        assert len(connection.descriptors) == 1
        connection.close()
        kept.settimeout(5)
        assert kept.recv(1) == b""
