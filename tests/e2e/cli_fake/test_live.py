"""What a person at a terminal sees while the daemon works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rumpel import config as settings
from rumpel import protocol
from rumpel.errors import CommandFailed, NotTrusted
from tests.e2e.cli_fake.conftest import Run, Serve, answers
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.e2e.cli_fake.terminal import Terminal
from tests.support.home import Home

Open = Callable[..., Terminal]
ROW = {"name": "a", "status": "running", "branch": "a", "commit": "1" * 40, "created": True}


@pytest.fixture
def terminal(home: Home) -> Open:
    def start(*args: str, **more: Any) -> Terminal:
        return Terminal(home, *args, cwd=home.path, **more)

    return start


def test_short_work_shows_only_its_result(serve: Serve, terminal: Open) -> None:
    def create(talk: Talk) -> None:
        talk.node("container/a", "running", title="Starting container", pod="a")
        talk.node("container/a", "ok", title="Starting container", pod="a", elapsed_s=0.01)
        talk.result([ROW])

    serve(create=create)
    shown = terminal("create", "a")
    assert shown.end() == 0
    assert shown.screen.splitlines() == [
        "NAME   STATUS    BRANCH   COMMIT       RESULT",
        "a      running   a        1111111111   created",
        "next: rumpel enter a",
    ]


def test_longer_work_is_alive_and_leaves_a_record(serve: Serve, terminal: Open) -> None:
    def create(talk: Talk) -> None:
        nodes = [{"id": "image", "verdict": "run"}, {"id": "container/a", "verdict": "may-run"}]
        talk.send(protocol.planned(1, nodes))
        talk.node("seed", "cached", title="Seeding repository")
        talk.node("image", "running", title="Preparing image")
        for number in range(14):
            talk.send(protocol.log("image", f"Step {number}/14 \x1b[31mred\n"))
            time.sleep(0.1)
        talk.node("image", "ok", title="Preparing image", elapsed_s=1.4)
        talk.send(protocol.notice("no devcontainer.json", level="warning"))
        talk.node("container/a", "running", title="Starting container", pod="a")
        time.sleep(0.4)
        talk.node("container/a", "ok", title="Starting container", pod="a", elapsed_s=0.4)
        talk.result([ROW])

    serve(create=create)
    shown = terminal("create", "a")
    shown.wait_for("Preparing image")
    shown.wait_for("Step 10/14 \\x1b[31mred")
    assert "0 of 2 steps done, 1 cached" in shown.screen
    assert all(len(line) < 80 for line in shown.screen.splitlines())
    shown.wait_for("1 of 2 steps done")
    assert shown.end() == 0
    assert shown.screen.splitlines() == [
        "warning: no devcontainer.json",
        "Preparing image · done (1.40 s)",
        "a · Starting container · done (0.40 s)",
        "NAME   STATUS    BRANCH   COMMIT       RESULT",
        "a      running   a        1111111111   created",
        "next: rumpel enter a",
    ]


def test_a_slow_answer_says_what_is_waited_for(serve: Serve, terminal: Open) -> None:
    def slow(talk: Talk) -> None:
        time.sleep(0.8)
        talk.result([])

    serve(list=slow)
    shown = terminal("list")
    shown.wait_for("waiting for the rumpel daemon")
    assert shown.end() == 0
    assert shown.screen.splitlines() == ["no pods yet: rumpel create NAME makes one"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("list", "no pods yet: rumpel create NAME makes one"),
        (
            "list --host ssh://build",
            "no pods on ssh://build: rumpel create NAME --host ssh://build makes one",
        ),
        ("ports", "no port is forwarded: rumpel forward-port POD:3000 does it"),
        ("ports a", "no port of a is forwarded: rumpel forward-port a:3000 does it"),
        ("undelete", "no deleted pod of this repository can be brought back"),
        ("snapshot --list a", "no snapshot is held: rumpel snapshot NAME takes one"),
    ],
)
def test_nothing_is_a_line_on_a_terminal_and_headers_in_a_pipe(
    serve: Serve, terminal: Open, run: Run, line: str, said: str
) -> None:
    nothing = answers([])
    serve(list=nothing, ports=nothing, undelete=nothing, snapshot=nothing)
    shown = terminal(*line.split())
    assert shown.end() == 0
    assert shown.screen.splitlines() == [said]
    piped = run(*line.split()).assert_ok()
    assert piped.stderr == ""
    assert piped.stdout.split()[0].isupper()


def test_a_setting_is_told_whole(serve: Serve, terminal: Open) -> None:
    patterns = [f"pattern-{number}" for number in range(20)]
    found = settings.resolve(flags={}, env={}, repo={"keepIgnored": patterns})
    serve(config=answers({"settings": found.to_json()}))
    shown = terminal("config", "--color", "never")
    assert shown.end() == 0
    printed = shown.raw.decode()
    lines = printed.split("\r\n")
    assert all(len(line) <= 80 for line in lines)
    assert "…" not in printed
    at = next(number for number, line in enumerate(lines) if line.startswith("defaultImage"))
    meant = " ".join([lines[at].partition("image of")[2], lines[at + 1].strip()])
    assert meant == " pods of a repository without devcontainer.json"
    assert all(pattern in printed for pattern in patterns)


def test_between_two_steps_the_last_one_is_told(serve: Serve, terminal: Open) -> None:
    gone_on = threading.Event()

    def create(talk: Talk) -> None:
        talk.node("container/a", "running", title="Starting container", pod="a")
        talk.node("container/a", "ok", title="Starting container", pod="a", elapsed_s=0.1)
        gone_on.wait(20)
        talk.result([ROW])

    serve(create=create)
    shown = terminal("create", "a")
    shown.wait_for("a · Starting container")
    shown.read(0.3)
    gone_on.set()
    assert shown.end() == 0
    assert b"waiting for the rumpel daemon" not in shown.raw


def test_an_error_is_told_once(serve: Serve, terminal: Open) -> None:
    error = CommandFailed("a failed: no such luck").to_json()

    def run_agent(talk: Talk) -> None:
        talk.node("run/local/4f0a/a", "running", title="Running Claude Code", pod="a")
        time.sleep(2)  # long enough to be looked at on a busy machine
        node = {"title": "Running Claude Code", "pod": "a", "elapsed_s": 2.0, "error": error}
        talk.node("run/local/4f0a/a", "failed", **node)
        talk.send(protocol.failure(error))

    serve(run=run_agent)
    shown = terminal("run", "a", "-p", "x")
    shown.wait_for("Running Claude Code")
    assert shown.end() == 6
    assert shown.screen.splitlines() == [
        "a · Running Claude Code · FAILED (2.00 s)",
        "error: a failed: no such luck",
    ]


def test_what_to_type_next_is_told_to_who_sits_there(serve: Serve, terminal: Open) -> None:
    result = {"name": "a", "agent": "codex", "state": "done", "text": "Fixed.", "arrived": []}
    serve(run=answers(result), send=answers({}), capture=answers({"text": "> _\n"}))
    for line, screen in (
        (
            ("run", "a", "-p", "x", "--agent", "codex"),
            [
                "Fixed.",
                "next: rumpel run a --agent codex --continue -p TASK",
                "      rumpel logs a run",
            ],
        ),
        (("send", "a", "x"), ["next: rumpel wait a; rumpel capture a"]),
        (("capture", "a"), ["> _", "next: rumpel send a TEXT; rumpel attach a"]),
    ):
        shown = terminal(*line)
        assert shown.end() == 0
        assert shown.screen.splitlines() == screen


def test_a_hundred_steps_fit_the_screen(serve: Serve, terminal: Open) -> None:
    def create(talk: Talk) -> None:
        for number in range(50):
            for state in ("running", "ok"):
                talk.node(f"n{number}", state, title=f"Old step {number}", elapsed_s=0.1)
        for number in range(50):
            talk.node(f"m{number}", "running", title=f"Step {number} " + "x" * 100, pod="a")
        time.sleep(4)  # long enough to be looked at on a busy machine
        talk.result([ROW])

    serve(create=create)
    shown = terminal("create", "a")
    shown.wait_for("50 of 100 steps done")
    shown.read(0.3)
    assert len(shown.screen.splitlines()) <= 23
    assert shown.end() == 0


def test_what_was_not_done_is_not_counted_as_done(serve: Serve, terminal: Open) -> None:
    def create(talk: Talk) -> None:
        for number, state in enumerate(("ok", "failed", "cancelled", "cancelled", "cached")):
            talk.node(f"n{number}", "running", title=f"Step {number}")
            talk.node(f"n{number}", state, title=f"Step {number}", elapsed_s=0.1)
        talk.node("last", "running", title="Rolling back")
        time.sleep(2)  # long enough to be looked at on a busy machine
        talk.result([ROW])

    serve(create=create)
    shown = terminal("create", "a")
    shown.wait_for("1 of 5 steps done, 1 failed, 2 cancelled, 1 cached")
    assert shown.end() == 0


def test_long_words_stay_on_the_screen(serve: Serve, terminal: Open) -> None:
    why = f"pod 'a' has {'many ' * 20}files"
    hint = "rumpel delete --force a   deletes it all the same (rumpel undelete gets it back)"
    serve(create=lambda talk: talk.fail(CommandFailed(why, hint=hint)))
    shown = terminal("create", "a")
    assert shown.end() == 6
    assert shown.screen.splitlines()[-3:] == [
        "  many many many many many many many many files",
        "try: rumpel delete --force a",
        "       deletes it all the same (rumpel undelete gets it back)",
    ]


def test_no_color_and_dumb_terminals(serve: Serve, terminal: Open) -> None:
    error = CommandFailed("build failed", details={"tail": "line"})
    serve(create=lambda talk: talk.fail(error))
    assert terminal_raw(terminal("create", "a")).count(b"\x1b[31m") == 1
    assert b"\x1b[" not in terminal_raw(terminal("create", "a", NO_COLOR="1"))
    assert b"\x1b[" not in terminal_raw(terminal("create", "a", TERM="dumb"))
    assert b"\x1b[31m" in terminal_raw(terminal("create", "a", "--color", "always", TERM="dumb"))
    assert b"\x1b[" not in terminal_raw(terminal("create", "a", "--color=never"))


def terminal_raw(shown: Terminal) -> bytes:
    assert shown.end() == 6
    return shown.raw


@pytest.mark.parametrize(("keys", "granted"), [("y\r", True), ("\r", False), ("\x04", False)])
def test_consent_is_asked_with_the_list(
    serve: Serve, terminal: Open, keys: str, granted: bool
) -> None:
    def create(talk: Talk) -> None:
        assert talk.request.ask
        items = [{"kind": "mount", "text": "bind mount of /home\x1b[2J"}]
        talk.send(protocol.consent("/src/app", items))
        assert talk.receive() == {"do": "consent", "granted": granted}
        talk.result([ROW]) if granted else talk.fail(NotTrusted("not allowed"))

    serve(create=create)
    shown = terminal("create", "a")
    shown.wait_for("Allow this for this repository? [y/N]")
    assert "  - bind mount of /home\\x1b[2J" in shown.screen
    shown.type(keys)
    assert shown.end() == (0 if granted else 4)


def test_a_question_can_be_interrupted(serve: Serve, terminal: Open) -> None:
    left = threading.Event()

    def create(talk: Talk) -> None:
        talk.send(protocol.consent("/src/app", [{"kind": "mount", "text": "x"}]))
        if talk.has_left():
            left.set()

    serve(create=create)
    shown = terminal("create", "a")
    shown.wait_for("[y/N]")
    shown.type("\x03")
    assert shown.end() == 130
    assert left.wait(10)


def test_list_fits_a_narrow_window_and_is_colored(serve: Serve, terminal: Open) -> None:
    pod = {**ROW, "name": "n" * 60, "status": "running", "git": {"ahead": 3, "behind": 4}}
    serve(list=lambda talk: talk.result([pod, {**pod, "status": "failed at postCreateCommand"}]))
    shown = terminal("list", "--all")
    assert shown.end() == 0
    assert all(len(line) <= 80 for line in shown.screen.splitlines())
    assert len(shown.screen.splitlines()) == 3
    assert b"\x1b[32mrunning\x1b[0m" in shown.raw


def test_long_sentences_break_between_words(serve: Serve, terminal: Open) -> None:
    path = "/very/long" * 10
    words = "word " * 30
    serve(create=lambda talk: talk.fail(CommandFailed(f"cannot read {path}: {words}end")))
    shown = terminal("create", "a")
    assert shown.end() == 6
    lines = shown.screen.splitlines()
    assert lines[0] == "error: cannot read"
    assert lines[-1].startswith("  word")
    assert lines[-1].endswith(" end")
