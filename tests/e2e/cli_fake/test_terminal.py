"""enter on a terminal: raw both ways, resized with it, and always given back."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rumpel import protocol
from rumpel.errors import NotFound
from tests.e2e.cli_fake.conftest import Serve
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.e2e.cli_fake.terminal import Terminal
from tests.support.home import Home

Open = Callable[..., Terminal]


@pytest.fixture
def terminal(home: Home) -> Open:
    def start(*args: str, **more: Any) -> Terminal:
        return Terminal(home, *args, cwd=home.path, **more)

    return start


def is_cooked(shell: Terminal) -> bool:
    """Echo, line editing and Ctrl-C as a shell left them?"""
    mode = termios.tcgetattr(shell.child.child_fd)
    wanted = termios.ECHO | termios.ICANON | termios.ISIG
    return bool(mode[3] & wanted == wanted and mode[1] & termios.OPOST)


def child_of(shell: Terminal) -> int:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(shell.child.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(found.stdout.split()[0])


class Exec:
    """A handler for enter that runs argv on a terminal; keeps what the client said."""

    def __init__(self, *argv: str) -> None:
        self.argv = argv
        self.said: list[dict[str, Any]] = []

    def __call__(self, talk: Talk) -> None:
        self.said = talk.exec_tty(self.argv)


def test_a_shell_echoes_itself_and_ends_with_its_code(serve: Serve, terminal: Open) -> None:
    daemon = serve(enter=Exec("sh", "-c", "stty -echo; read line; echo got $line; exit 5"))
    shell = terminal("enter", "a")
    time.sleep(0.3)
    shell.type("hello\r")
    shell.wait_for("got hello")
    assert shell.end() == 5
    request = daemon.requests[0]
    assert request["tty"] is True
    assert (request["args"]["rows"], request["args"]["cols"]) == (24, 80)
    assert request["args"]["term"] == "xterm-256color"


def test_ctrl_c_goes_to_the_pod_and_the_terminal_comes_back(serve: Serve, terminal: Open) -> None:
    serve(enter=Exec("sh", "-c", "trap 'echo caught; exit 3' INT; echo ready; sleep 20 & wait"))
    shell = terminal(argv=["sh", "-c", "rumpel enter a; echo code $?; sleep 0.2"])
    shell.wait_for("ready")
    assert not is_cooked(shell)
    shell.type("\x03")
    shell.wait_for("code 3")
    assert "caught" in shell.screen
    assert is_cooked(shell)
    shell.end()


def test_what_is_typed_early_is_not_lost(serve: Serve, terminal: Open) -> None:
    def slow(talk: Talk) -> None:
        time.sleep(0.5)
        talk.exec_tty(["sh", "-c", "read line; echo early $line"])

    serve(enter=slow)
    shell = terminal("enter", "a")
    shell.type("bird\r")
    shell.wait_for("early bird")
    assert shell.end() == 0


def test_the_pod_follows_the_size_of_the_window(serve: Serve, terminal: Open) -> None:
    handler = Exec("sh", "-c", "echo ready; read line")
    serve(enter=handler)
    shell = terminal("enter", "a")
    shell.wait_for("ready")
    shell.child.setwinsize(40, 100)
    time.sleep(0.2)
    shell.type("x\r")
    assert shell.end() == 0
    assert {"do": "resize", "rows": 40, "cols": 100} in handler.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_killed_client_gives_the_terminal_back(
    serve: Serve, terminal: Open, number: signal.Signals
) -> None:
    serve(enter=Exec("sh", "-c", "echo ready; read line"))
    shell = terminal(argv=["bash", "-m", "-c", "rumpel enter a; echo code $?; sleep 0.2"])
    shell.wait_for("ready")
    os.kill(child_of(shell), number)
    shell.wait_for(f"code {128 + number}")
    assert is_cooked(shell)
    shell.end()


def test_a_stopped_and_continued_client_is_raw_again(serve: Serve, terminal: Open) -> None:
    serve(enter=Exec("sh", "-c", "echo ready; read line; echo got $line"))
    script = "rumpel enter a; echo stopped; stty sane; fg; echo code $?"
    shell = terminal(argv=["bash", "-m", "-c", script])
    shell.wait_for("ready")
    os.kill(child_of(shell), signal.SIGSTOP)
    shell.wait_for("stopped")
    shell.wait_for("rumpel enter a")
    time.sleep(0.3)
    assert not is_cooked(shell)
    shell.type("again\r")
    shell.wait_for("got again")
    shell.wait_for("code 0")
    shell.end()


def test_the_session_survives_the_daemon(serve: Serve, terminal: Open) -> None:
    """The stream is ours; the exit code comes from the daemon's successor."""
    ours, theirs = socket.socketpair()
    left = threading.Event()

    def enter(talk: Talk) -> None:
        talk.attach(theirs, tty=True)
        talk.sock.close()
        left.set()

    def code(talk: Talk) -> None:
        assert talk.request.args == {"exec": "e1"}
        talk.result({"exit_code": 9}, exit_code=9)

    serve(enter=enter, exec_exit=code)
    shell = terminal("enter", "a")
    assert left.wait(10)
    time.sleep(0.2)
    ours.sendall(b"still here")
    shell.wait_for("still here")
    ours.close()
    assert shell.end() == 9
    assert b"\x1b[?25h" in shell.raw


def test_a_pod_deleted_meanwhile_is_an_error_after_its_output(serve: Serve, terminal: Open) -> None:
    ours, theirs = socket.socketpair()

    def enter(talk: Talk) -> None:
        talk.attach(theirs, tty=True)
        talk.send(protocol.notice("the pod was deleted"))
        ours.sendall(b"last words\r\n")
        ours.close()
        assert talk.receive() == {"do": "exit"}
        talk.fail(NotFound("pod a is gone"))

    serve(enter=enter)
    shell = terminal("enter", "a")
    assert shell.end() == 3
    assert shell.screen.splitlines() == [
        "last words",
        "the pod was deleted",
        "error: pod a is gone",
    ]


def test_output_of_a_fast_talker_is_complete(serve: Serve, terminal: Open) -> None:
    serve(enter=Exec("sh", "-c", "seq 1 20000; echo the end"))
    shell = terminal("enter", "a", "--", "seq")
    shell.wait_for("the end")
    assert shell.end() == 0
    assert b"19999\r\n20000\r\nthe end" in shell.raw
