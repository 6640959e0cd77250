"""Ctrl-C: once leaves the work to the daemon, twice cancels it, and a person is told."""

from __future__ import annotations

import signal
import subprocess
import threading

import pytest

from rumpel.errors import Interrupted
from tests.e2e.cli_fake.conftest import Serve
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.support.home import Home, program


class Work:
    """A create that runs until told; what the client said about it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.said: list[str] = []
        self.has_left = threading.Event()

    def __call__(self, talk: Talk) -> None:
        talk.node("container/a", "running", title="Starting container", pod="a")
        self.begun.set()
        try:
            while True:
                self.said.append(talk.receive()["do"])
                if self.said[-1] == "cancel":
                    talk.node("container/a", "cancelled", title="Starting container", pod="a")
                    talk.fail(Interrupted("cancelled and rolled back"))
        except EOFError:
            self.has_left.set()


@pytest.fixture
def work(serve: Serve) -> Work:
    work = Work()
    serve(create=work, list=work)
    return work


def start(home: Home, work: Work, *args: str) -> subprocess.Popen[bytes]:
    process = home.start([*program(), *args], cwd=home.path)
    assert work.begun.wait(10)
    return process


def end(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    out, err = process.communicate(timeout=10)
    assert out == b""
    return process.returncode, err.decode()


def test_once_leaves_and_says_how_to_look(home: Home, work: Work) -> None:
    process = start(home, work, "create", "a")
    process.send_signal(signal.SIGINT)
    code, err = end(process)
    assert code == 130
    assert "press Ctrl-C again" in err
    assert "rumpel graph a" in err
    assert work.has_left.wait(10)
    assert work.said == ["detach"]


def test_twice_cancels_and_waits_for_the_roll_back(home: Home, work: Work) -> None:
    process = start(home, work, "create", "a")
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert b"press Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code, err = end(process)
    assert code == 130
    assert "rolling back" in err
    assert "Starting container · cancelled" in err
    assert work.said == ["cancel"]


def test_term_leaves_the_work_too(home: Home, work: Work) -> None:
    process = start(home, work, "create", "a")
    process.send_signal(signal.SIGTERM)
    code, err = end(process)
    assert code == 143
    assert "the work goes on" in err
    assert work.said == ["detach"]


def test_a_question_is_simply_interrupted(home: Home, work: Work) -> None:
    process = start(home, work, "list")
    process.send_signal(signal.SIGINT)
    code, err = end(process)
    assert code == 130
    assert err.endswith("interrupted\n")
    assert "Traceback" not in err
    assert work.has_left.wait(10)
    assert work.said == []
