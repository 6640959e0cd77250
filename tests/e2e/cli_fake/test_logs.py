"""`logs`: what a person and a program see."""

from __future__ import annotations

import json
from typing import Any

from rumpel import protocol
from rumpel.errors import NotFound
from tests.e2e.cli_fake.conftest import Run, Serve
from tests.e2e.cli_fake.fake_daemon import Talk

HOOK = "lifecycle/local/4f0a/a/postCreateCommand"
FAILED = {"message": "exit code 3\x1b[2J\nmore", "details": {}}


def piece(name: str, state: str, text: str = "", **more: Any) -> dict[str, Any]:
    return {"node": HOOK, "name": name, "pod": "a", "state": state, "text": text, **more}


KEPT = [
    piece("image", "ok", "pulling\r50 %\rdone\n", elapsed_s=2.0, ended_at="2001-01-01T00:00:00Z"),
    piece("clone", "ok", "", ended_at="2001-01-01T00:00:00Z"),
    piece(
        "postCreateCommand",
        "failed",
        "one\x1b[31m\ntwo\n",
        error=FAILED,
        elapsed_s=0.5,
        ended_at="2001-01-01T00:00:00Z",
    ),
]


def tell(talk: Talk) -> None:
    for one in KEPT:
        talk.send(protocol.output(one))
    talk.result(None)


def test_lines_carry_the_name_of_their_step(serve: Serve, run: Run) -> None:
    serve(logs=tell)
    shown = run("logs", "a").assert_ok()
    assert shown.stdout.splitlines() == [
        "image | done",
        "postCreateCommand | one\\x1b[31m",
        "postCreateCommand | two",
    ]
    assert shown.stderr == "postCreateCommand · FAILED (0.50 s): exit code 3\\x1b[2J\n"
    assert run("logs", "a", "-q").assert_ok().stderr == ""


def test_one_step_has_its_lines_alone(serve: Serve, run: Run) -> None:
    daemon = serve(logs=tell)
    said = run("logs", "a", "x", "-n", "9").assert_ok().stdout
    assert said.splitlines() == ["done", "one\\x1b[31m", "two"]
    asked = {"name": "a", "node": "x", "follow": False, "lines": 9}
    assert daemon.requests[0]["args"] == asked


def test_a_program_gets_what_is_kept_with_states(serve: Serve, run: Run) -> None:
    serve(logs=tell)
    assert run("logs", "a", "--json").assert_ok().data == KEPT
    lines = run("logs", "-f", "a", "--json").assert_ok().stdout.splitlines()
    assert [json.loads(line)["data"] for line in lines] == [[one] for one in KEPT]


def test_live_steps_tell_how_they_ended(serve: Serve, run: Run) -> None:
    def follow(talk: Talk) -> None:
        talk.send(protocol.output(piece("image", "running", "one\n")))
        talk.send(protocol.output(piece("image", "ok", elapsed_s=1.5)))
        talk.result(None)

    serve(logs=follow)
    shown = run("logs", "-f", "a").assert_ok()
    assert (shown.stdout, shown.stderr) == ("image | one\n", "image · done (1.50 s)\n")


def test_nothing_and_the_unknown_are_said(serve: Serve, run: Run) -> None:
    serve(logs=lambda talk: talk.result(None))
    assert run("logs", "a").assert_ok().stderr == "nothing was written\n"


def test_the_unknown_is_an_error_with_names(serve: Serve, run: Run) -> None:
    error = NotFound("there is no step 'x' that ran for a", hint="one of: clone, image")
    serve(logs=lambda talk: talk.fail(error))
    run("logs", "a", "x").assert_error(3, "no step 'x'", "one of: clone, image")
    assert run("logs", "a", "x", "--json", "-f").assert_code(3).json()["error"]["code"]
