"""The client's side of the seat: signals at any moment of a tool, with a daemon at the other end
of a socket.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rumpel import protocol
from rumpel.cli import builtin_seat
from rumpel.cli.builtin_seat import Left, Over, Seat
from rumpel.cli.builtin_talk import alarm
from rumpel.client import Connection
from rumpel.errors import TimedOut

STARTED = {"name": "a", "pod_id": "1", "workspace": "/w", "about": ""}
ANSWER = {"event": "tool", "code": 0, "out": "aGk=", "err": "", "left_out": 0}
STOPPED = {"event": "tool", "stopped": True}
SIZE = 4 << 20


class Other:
    """The daemon's end: keeps what it is told, and does what a test says about it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.heard = sock, list[dict[str, Any]]()
        self.answers: Callable[[dict[str, Any]], None] = lambda message: None
        self.reads = threading.Event()
        self.reads.set()

    def serve(self) -> None:
        lines = protocol.Lines()
        while self.reads.wait(30) and (data := self.sock.recv(1 << 16)):
            for message in lines.feed(data):
                self.heard.append(message)
                self.answers(message)

    def tell(self, **message: object) -> None:
        self.sock.sendall(protocol.encode(message))


@pytest.fixture(name="ends")
def both_ends() -> Iterator[tuple[Seat, Other]]:
    here, there = socket.socketpair()
    other = Other(there)
    thread = threading.Thread(target=other.serve)
    thread.start()
    with Connection(here, "") as connection:
        yield Seat(connection, STARTED), other
    thread.join()
    there.close()


@pytest.fixture(autouse=True)
def as_in_a_terminal() -> Iterator[None]:
    """Whoever starts the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def tool(seat: Seat, data: bytes | None = None) -> bytes:
    return seat.run(["true"], input=data, timeout_s=5, keep=100).out


def does(message: dict[str, Any]) -> str:
    return str(message["do"])


def test_a_tool_is_stopped(ends: tuple[Seat, Other]) -> None:
    seat, other = ends

    def answers(message: dict[str, Any]) -> None:
        if does(message) == "tool" and message["id"] == 1:
            press()
        elif does(message) == "stop":
            other.tell(**STOPPED, id=1)
        else:
            other.tell(**ANSWER, id=message["id"])

    other.answers = answers
    with pytest.raises(KeyboardInterrupt) as caught:
        tool(seat)
    assert type(caught.value) is KeyboardInterrupt
    assert [does(one) for one in other.heard] == ["tool", "stop"]
    assert tool(seat) == b"hi", "the seat is as good as before"


def test_a_press_as_the_answer_comes(
    ends: tuple[Seat, Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every step between a message and its use: nobody waits for what was taken already."""
    seat, other = ends
    monkeypatch.setattr(builtin_seat, "STOP_S", 3.0)
    is_done = threading.Event()

    def answers(message: dict[str, Any]) -> None:
        if does(message) == "tool":
            other.tell(**ANSWER, id=message["id"])
            time.sleep(message["id"] % 40 * 2e-5)
            if not is_done.is_set():
                press()

    other.answers = answers
    began, interrupted = time.monotonic(), 0
    for _ in range(200):
        try:
            tool(seat)
            time.sleep(0.05)  # the press comes after it
        except KeyboardInterrupt:
            interrupted += 1
    is_done.set()
    assert interrupted == 200
    assert time.monotonic() - began < 60


def test_no_message_is_torn(ends: tuple[Seat, Other]) -> None:
    """It is larger than what the socket takes at once, and nobody reads at first."""
    seat, other = ends

    def answers(message: dict[str, Any]) -> None:
        if does(message) == "stop":
            other.tell(**STOPPED, id=1)

    other.answers = answers
    other.reads.clear()
    threading.Timer(0.2, press).start()
    threading.Timer(0.5, other.reads.set).start()
    with pytest.raises(KeyboardInterrupt):
        tool(seat, b"x" * SIZE)
    assert [does(one) for one in other.heard] == ["tool", "stop"]


def test_a_second_press_leaves(ends: tuple[Seat, Other]) -> None:
    seat, other = ends
    other.answers = lambda message: press()
    with pytest.raises(Left):
        tool(seat)
    assert [does(one) for one in other.heard] == ["tool", "stop"]


def test_the_time_is_over(ends: tuple[Seat, Other]) -> None:
    """And that is what is told, whatever is pressed meanwhile."""
    seat, other = ends

    def answers(message: dict[str, Any]) -> None:
        if does(message) == "stop":
            other.tell(**STOPPED, id=1)

    other.answers = answers
    with pytest.raises(Over), alarm(1):
        tool(seat)
    assert [does(one) for one in other.heard] == ["tool", "stop"]


def test_a_daemon_that_hangs(ends: tuple[Seat, Other], monkeypatch: pytest.MonkeyPatch) -> None:
    seat, other = ends
    monkeypatch.setattr(builtin_seat, "STOP_S", 0.3)
    other.answers = lambda message: press() if does(message) == "tool" else None
    with pytest.raises(TimedOut):
        tool(seat)


def test_a_press_that_is_ignored(ends: tuple[Seat, Other]) -> None:
    """As below nohup."""
    seat, other = ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def answers(message: dict[str, Any]) -> None:
        press()
        other.tell(**ANSWER, id=message["id"])

    other.answers = answers
    assert tool(seat) == b"hi"
    assert [does(one) for one in other.heard] == ["tool"]
