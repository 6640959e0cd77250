"""`events`: what a person and a program see, and how it ends."""

from __future__ import annotations

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rumpel import protocol
from tests.e2e.cli_fake.conftest import Run, Serve
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.support.home import Home, program

BOX, HOOK = "container/local/4f0a/a", "lifecycle/local/4f0a/a/postCreateCommand"


def entry(seq: int, kind: str, node: str | None = None, **more: Any) -> dict[str, Any]:
    at = f"2001-01-02T03:04:{seq:02}.000+00:00"
    return {"seq": seq, "at": at, "kind": kind, "run": 7, "node": node, "pods": ["a"], **more}


ENTRIES = [
    entry(1, "run-began", verb="create"),
    entry(2, "node-running", BOX, attempt=1),
    entry(3, "node-ok", BOX, attempt=1, elapsed_s=0.24),
    entry(4, "node-failed", HOOK, attempt=2, message="exit code 1\x1b[2J\nmore"),
    entry(6, "commits", branches={"x\x1b": "f" * 40}, gone=["old"], more=2),
    entry(7, "run-ended", verb="create", state="failed", nodes={HOOK: "failed", "x": "blocked"}),
]


def tell(talk: Talk) -> None:
    talk.send(protocol.entries(ENTRIES, last=9))
    talk.result({"last": 9})


def test_one_line_for_each_event(serve: Serve, run: Run) -> None:
    daemon = serve(events=tell)
    shown = run("events", "a", "b", env={"TZ": "UTC"}).assert_ok()
    assert shown.stdout.splitlines() == [
        "     1  2001-01-02 03:04:01  a · create (7) · began",
        "     2  2001-01-02 03:04:02  a · container · running",
        "     3  2001-01-02 03:04:03  a · container · done (0.24 s)",
        "     4  2001-01-02 03:04:04  a · postCreateCommand · FAILED: exit code 1\\x1b[2J",
        "     6  2001-01-02 03:04:06  a · commits · x\\x1b at ffffffffff, old deleted, "
        "and 2 more branches",
        "     7  2001-01-02 03:04:07  a · create (7) · FAILED: postCreateCommand a",
    ]
    asked = {"since": None, "lines": 100, "follow": False, "names": ["a", "b"], "all": False}
    assert daemon.requests[0]["args"] == asked
    run("events", "-f", "--since", "3").assert_ok()
    assert daemon.requests[1]["args"] | {"since": 3, "follow": True} == daemon.requests[1]["args"]


def test_a_program_gets_one_envelope_or_one_a_line(serve: Serve, run: Run) -> None:
    serve(events=tell)
    assert run("events", "--json").assert_ok().data == ENTRIES
    lines = run("events", "-f", "--json").assert_ok().stdout.splitlines()
    assert [json.loads(line)["data"] for line in lines] == [[one] for one in ENTRIES]


def test_what_is_wrong_is_refused(serve: Serve, run: Run) -> None:
    serve()
    run("events", "--since", "3", "-n", "4").assert_error(2, "--since")
    run("events", "-n", "-4").assert_code(2)
    run("events", "Not_A_Pod").assert_error(2, "pod name")


class Following:
    """`rumpel events -f` with a daemon that tells something and then waits for `go`."""

    def __init__(self, serve: Serve, home: Home, *args: str) -> None:
        self.go, self.left = threading.Event(), threading.Event()

        def events(talk: Talk) -> None:
            talk.send(protocol.entries(ENTRIES[:3], last=8))
            self.go.wait(20)
            if talk.has_left(0.01):
                self.left.set()

        self.daemon = serve(events=events)
        argv = [*program(), "events", "-f", *args]
        self.process = home.start(argv, cwd=home.path)

    def lines(self, count: int) -> list[bytes]:
        assert self.process.stdout is not None
        return [self.process.stdout.readline() for _ in range(count)]


def test_it_ends_when_nobody_reads_any_more(serve: Serve, home: Home) -> None:
    """Also while nothing happens: `rumpel events -f | head -1` must not wait for one more."""
    following = Following(serve, home)
    following.lines(3)
    out, said = following.process.stdout, following.process.stderr
    assert out is not None
    assert said is not None
    out.close()
    assert following.process.wait(10) == 141
    assert said.read() == b""
    following.go.set()
    following.daemon.close()
    assert following.left.wait(10)


def test_ctrl_c_ends_it(serve: Serve, home: Home) -> None:
    following = Following(serve, home)
    following.lines(3)
    following.process.send_signal(signal.SIGINT)
    _, said = following.process.communicate(timeout=10)
    assert (following.process.returncode, said) == (130, b"interrupted\n")
    following.go.set()


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_lost_daemon_is_told_with_the_way_on(
    serve: Serve, home: Home, form: tuple[str, ...]
) -> None:
    following = Following(serve, home, "a", *form)
    following.lines(3)
    following.go.set()
    out, said = following.process.communicate(timeout=10)
    assert following.process.returncode == 1
    again = "rumpel events -f a --since 8"
    if form:
        error = json.loads(out)["error"]
        assert (error["code"], error["hint"]) == ("daemon-gone", again)
    else:
        assert f"try: {again}\n" in said.decode()


def test_it_sleeps_until_something_happens(serve: Serve, home: Home) -> None:
    following = Following(serve, home)
    following.lines(3)

    def turns() -> int:
        text = Path(f"/proc/{following.process.pid}/status").read_text()
        words = dict(line.split(":\t") for line in text.splitlines() if "ctxt" in line)
        return int(words["voluntary_ctxt_switches"])

    before = after = -1
    deadline = time.monotonic() + 10
    while after != before or before < 0:  # it has gone to sleep when it did nothing for a while
        assert time.monotonic() < deadline, "it wakes again and again"
        before = turns()
        time.sleep(0.7)  # no waiting for something: that nothing happens meanwhile is the test
        after = turns()
    following.go.set()
