"""enter without a terminal: bytes, exit codes, errors."""

from __future__ import annotations

import hashlib
import os
import sys

from tests.e2e.cli_fake.conftest import Run, Serve
from tests.e2e.cli_fake.fake_daemon import Talk


def test_stdout_has_the_bytes_of_the_command_alone(serve: Serve, run: Run) -> None:
    script = "import sys; sys.stdout.write('out\\n'); sys.stderr.write('err\\n'); sys.exit(7)"

    def enter(talk: Talk) -> None:
        talk.node("container/a", "ok", title="Starting container", pod="a", elapsed_s=1)
        talk.exec_plain([sys.executable, "-c", script])

    daemon = serve(enter=enter)
    outcome = run("enter", "a", "--", "prog", "--flag").assert_code(7)
    assert outcome.stdout == "out\n"
    assert outcome.stderr == "a · Starting container · done (1.00 s)\nerr\n"
    assert daemon.requests[0]["args"]["argv"] == ["prog", "--flag"]
    assert daemon.requests[0]["tty"] is False


def test_piped_stdin_comes_back_unchanged(serve: Serve, run: Run) -> None:
    data = os.urandom(3 << 20)
    serve(enter=lambda talk: talk.exec_plain(["cat"]) and None)
    outcome = run("enter", "a", "--", "cat", input=data).assert_ok()
    assert hashlib.sha256(outcome.stdout_bytes).digest() == hashlib.sha256(data).digest()


def test_stray_words_are_an_error_that_shows_the_right_line(run: Run) -> None:
    run("enter", "a", "make").assert_error(2, "try: rumpel enter a -- make")
    refused = run("enter", "a", "--json").assert_code(2).json()
    assert refused["error"]["message"].startswith("enter has no --json")
    run("enter", "a", "--").assert_error(2, "no command after --")
