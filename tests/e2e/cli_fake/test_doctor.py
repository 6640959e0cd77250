"""`doctor`: what a person and a program see, and what it says of the daemon itself."""

from __future__ import annotations

from typing import Any

from rumpel import __version__, protocol
from rumpel.errors import Bug
from tests.e2e.cli_fake.conftest import Run, Serve, answers
from tests.support.home import Home


def row(state: str, text: str = "words\x1b[2J", hint: str | None = None) -> dict[str, Any]:
    return {"check": "disk", "state": state, "text": text, "hint": hint}


STATUS = answers({"version": __version__, "pid": 7})


def test_findings_and_what_to_type(serve: Serve, run: Run, home: Home) -> None:
    found = [row("ok"), row("warning", hint="docker system df")]
    serve(doctor=answers(found), daemon_status=STATUS)
    home.socket.chmod(0o600)
    shown = run("doctor").assert_ok().stdout.splitlines()
    assert shown == [
        f"ok       daemon      version {__version__}, process 7",
        "ok       disk        words\\x1b[2J",
        "warning  disk        words\\x1b[2J",
        "                     try: docker system df",
        f"ok       socket      {home.socket}, for you alone",
    ]
    assert run("doctor", "-q").assert_ok().stdout.splitlines() == shown[2:4]
    data = run("doctor", "--json").assert_ok().data
    assert data[1:3] == found


def test_a_problem_ends_with_one(serve: Serve, run: Run, home: Home) -> None:
    serve(doctor=answers([row("problem")]), daemon_status=answers({"version": "0.0", "pid": 7}))
    home.socket.chmod(0o666)
    shown = run("doctor").assert_error(1, "error: 2 problems")
    assert f"this is rumpel {__version__}" in shown.stdout
    assert f"try: chmod 600 {home.socket}" in shown.stdout
    envelope = run("doctor", "--json").assert_code(1).json()
    assert envelope["error"]["message"] == "2 problems"
    assert len(envelope["data"]) == 3


def test_what_cannot_be_asked_is_an_error(serve: Serve, run: Run) -> None:
    broken = protocol.failure(Bug("doctor failed because of a bug").to_json())
    serve(doctor=lambda talk: talk.send(broken), daemon_status=STATUS)
    run("doctor").assert_error(70, "because of a bug")


def test_a_daemon_that_cannot_start_is_a_problem(run: Run, home: Home) -> None:
    (home.path / "state/rumpel").write_text("in the way")
    shown = run("doctor").assert_error(1, "problem")
    assert shown.stdout.startswith("problem  daemon ")
