"""`run`: what a person and a program see of an agent at work."""

from __future__ import annotations

import json
import signal
import threading
from typing import Any

import pytest

from rumpel import protocol
from rumpel.errors import CommandFailed, Interrupted
from tests.e2e.cli_fake.conftest import Run, Serve
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.support.home import Home, program

NODE = "run/local/4f0a/a"
RESULT: dict[str, Any] = {
    "kind": "result",
    "name": "a",
    "agent": "claude",
    "state": "done",
    "session": "s1",
    "text": "It is\nfixed.\x1b[2J",
    "turns": 3,
    "cost_usd": 0.0123,
    "tokens_in": 1200,
    "tokens_cached": 900,
    "tokens_out": 340,
    "duration_s": 75.0,
    "arrived": [{"branch": "a", "commit": "0123456789abcdef", "commits": 2}],
    "dirty": 1,
    "refused": [],
}


def says(talk: Talk, kind: str, line: str, **more: Any) -> None:
    talk.send(protocol.said({"kind": kind, **more}, line))


def work(talk: Talk) -> None:
    says(talk, "start", "", session="s1", model="m")
    talk.send(protocol.log(NODE, "I look.", pod="a"))
    says(talk, "text", "I look.", text="I look.")
    says(talk, "tool", "> Bash  ls\x07", name="Bash", detail="ls")
    says(talk, "usage", "", of="m1", usage={"input": 1})
    says(talk, "text", RESULT["text"], text=RESULT["text"])


def well(talk: Talk) -> None:
    work(talk)
    talk.result(RESULT)


def badly(talk: Talk) -> None:
    work(talk)
    error = CommandFailed("Claude Code failed in pod a: it used up its turns", hint="rumpel x")
    talk.fail(error, data=RESULT | {"state": "failed", "text": "", "arrived": [], "dirty": 0})


def test_the_result_is_on_stdout_and_all_else_is_not(serve: Serve, run: Run) -> None:
    daemon = serve(run=well)
    shown = run("run", "a", "-p", "Fix it", "--max-turns", "9", "--timeout", "2m").assert_ok()
    assert shown.stdout == "It is\nfixed.\\x1b[2J\n"
    assert shown.stderr.splitlines() == [
        "I look.",
        "> Bash  ls\\x07",
        "a · done in 1 min 15 s, 3 turns, 1200 tokens in, 340 out, $0.0123",
        "a · 2 commits arrived on a, now at 0123456789",
        "a · 1 file is not committed",
        "next: rumpel review a",
    ]
    assert daemon.requests[0]["args"] == {
        **dict.fromkeys(("dollars", "config")),
        "name": "a",
        "agent": "claude",
        "prompt": "Fix it",
        "argv": [],
        "continue": False,
        "turns": 9,
        "timeout_s": 120,
        "trust": False,
        "memory": None,
        "secrets_file": None,
        "cpus": None,
    }
    quiet = run("run", "a", "-q", "-p", "-", input="Fix it\n").assert_ok()
    assert (quiet.stdout, quiet.stderr) == (shown.stdout, "")
    assert daemon.requests[1]["args"]["prompt"] == "Fix it\n"


def test_a_failure_keeps_what_was_said_last(serve: Serve, run: Run) -> None:
    serve(run=badly)
    shown = run("run", "a", "-p", "x").assert_error(6, "it used up its turns", "try: rumpel x")
    assert shown.stdout == ""
    assert "fixed." in shown.stderr
    assert "next:" not in shown.stderr


def test_a_program_gets_an_event_a_line_and_the_result_last(serve: Serve, run: Run) -> None:
    serve(run=badly)
    shown = run("run", "a", "-p", "x", "--json").assert_code(6)
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    kinds = [line["data"]["kind"] for line in lines]
    assert kinds == ["start", "text", "tool", "usage", "text", "result"]
    assert [line["error"] is None for line in lines] == [True] * 5 + [False]
    assert lines[2]["data"] == {"kind": "tool", "name": "Bash", "detail": "ls"}
    assert shown.stderr == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "what is the agent to do?"),
        (("-p", " \n"), "the prompt is empty"),
        (("-p", "-"), "the prompt is empty"),
        (("-p", "x", "--max-turns", "0"), "--max-turns"),
        (("-p", "x", "--max-cost", "-1"), "--max-cost"),
        (("-p", "x", "--max-cost", "0.0"), "--max-cost"),
        (("-p", "x", "--max-cost", "nan"), "--max-cost"),
        (("-p", "x", "--timeout", "8d"), "--timeout"),
        (("-p", "x", "--timeout", "5x"), "--timeout"),
        (("-p", "x", "--timeout", "m"), "--timeout"),
    ],
)
def test_a_wrong_line_is_refused_before_anything_starts(
    serve: Serve, run: Run, words: tuple[str, ...], said: str
) -> None:
    daemon = serve(run=well)
    run("run", "a", *words).assert_error(2, said)
    assert daemon.requests == []


def test_the_first_interrupt_ends_the_agent(serve: Serve, home: Home) -> None:
    begun, said = threading.Event(), list[str]()

    def at_work(talk: Talk) -> None:
        begun.set()
        said.append(talk.receive()["do"])
        talk.fail(Interrupted("Claude Code was ended in pod a", hint="rumpel review a"))

    serve(run=at_work)
    process = home.start([*program(), "run", "a", "-p", "x"], cwd=home.path)
    assert begun.wait(10)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, said) == (130, b"", ["cancel"])
    assert b"ending the agent; press Ctrl-C again to not wait" in err
    assert b"was ended in pod a" in err
