"""A person talks with the built-in agent: what ends it, and what they are told of a model."""

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
from rumpel.builtin.model import ModelError
from rumpel.cli import builtin_chat, builtin_talk
from rumpel.cli.builtin_seat import Seat
from rumpel.cli.builtin_talk import Talk, Wanted
from rumpel.cli.options import Options
from rumpel.client import Connection
from rumpel.errors import Interrupted
from tests.support.fake_models import Answer, Fault, Models

KEY = "canary-key-of-a-model-78"
SEAT = {"name": "a", "pod_id": "ab34", "workspace": "/w", "about": ""}
DONE = {"code": 0, "out": "", "err": "", "left_out": 0}


class Daemon:
    """Speaks for the daemon at the other end of a connection, in a thread of its own."""

    def __init__(self, on_tool: Callable[[Daemon, dict[str, Any]], None]) -> None:
        ours, self.sock = socket.socketpair()
        self.connection = Connection(ours, "/a/socket")
        self.on_tool = on_tool
        self.heard: list[str] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def send(self, message: dict[str, Any]) -> None:
        self.sock.sendall(protocol.encode(message))

    def close(self) -> None:
        self.connection.close()
        self._thread.join(10)
        self.sock.close()

    def _serve(self) -> None:
        lines = protocol.Lines()
        while data := self.sock.recv(1 << 16):
            for message in lines.feed(data):
                self.heard.append(message["do"])
                if message["do"] == "leave":
                    self.send(protocol.result({"name": "a", "state": message["state"]}))
                elif message["do"] in ("tool", "stop"):
                    self.on_tool(self, message)


def _answers(daemon: Daemon, message: dict[str, Any]) -> None:
    daemon.send({"event": "tool", "id": message["id"], **DONE})


def _interrupts(daemon: Daemon, message: dict[str, Any]) -> None:
    """The files for agents are read; then the person presses Ctrl-C twice, and nothing answers."""
    if message.get("id") == 1:
        _answers(daemon, message)
    else:
        os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    made = Daemon(_answers)
    yield made
    made.close()


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """What is written there is typed by the person."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as stdin, os.fdopen(writer, "wb", buffering=0):
        monkeypatch.setattr("sys.stdin", stdin)
        yield writer


def test_the_time_of_a_talk_ends(server: Models, daemon: Daemon, typed: int) -> None:
    late = threading.Timer(8.0, os.write, (typed, b"/quit\n"))
    late.start()
    begun = time.monotonic()
    try:
        wanted = Wanted(env=server.env(KEY), timeout_s=1)
        told = builtin_chat.chat(daemon.connection, SEAT, wanted, Options())
    finally:
        late.cancel()
    assert time.monotonic() - begun < 6.0
    assert told["error"]["code"] == "timeout"
    assert told["error"]["message"] == "the time for this, 1.00 s, is over"
    assert signal.getsignal(signal.SIGALRM) is not None
    assert daemon.heard[-1] == "leave"


def test_a_second_ctrl_c_waits_for_nothing(server: Models, daemon: Daemon, typed: int) -> None:
    daemon.on_tool = _interrupts
    server.play(Answer(calls=(("bash", {"command": "sleep 99"}),)))
    os.write(typed, b"Do it\n")
    begun = time.monotonic()
    with pytest.raises(Interrupted, match="was ended in pod a"):
        builtin_chat.chat(daemon.connection, SEAT, Wanted(env=server.env(KEY)), Options())
    assert time.monotonic() - begun < 10.0
    assert daemon.heard[-2:] == ["tool", "stop"]


def _talk(server: Models, daemon: Daemon, model: str) -> Talk:
    wanted = Wanted(env=server.env(KEY), model=model)
    talk = Talk(seat=Seat(daemon.connection, SEAT), wanted=wanted, tell=lambda event: None)
    talk.open()
    return talk


def test_what_to_look_at_and_to_type(server: Models, daemon: Daemon) -> None:
    talk = _talk(server, daemon, "anthropic/my-gateway-model")
    server.play(Fault(status=401), Answer(text="Fine."), Fault(status=413))
    with pytest.raises(ModelError) as caught:
        talk.turn("Do it")
    assert caught.value.hint == "look at ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN"
    kept: list[bool] = []
    assert talk.turn("Do it", lambda: kept.append(True)).is_ok
    assert kept == [True]
    with pytest.raises(ModelError) as caught:
        talk.turn("More")
    assert str(caught.value.hint).startswith("--new begins another conversation")
    server.play(Fault())
    talk.turn("More")
    told = builtin_talk.last(talk, {"state": "done", "text": ""}, None)
    assert told["warnings"] == ["an answer broke off: more tokens were used than are told"]
