"""enter without a terminal: bytes, exit codes, errors."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

from tests.e2e.cli_fake.conftest import Run, Serve
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.support.home import Home, program


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


def test_a_reader_that_leaves_early_ends_us_quietly(serve: Serve, home: Home, run: Run) -> None:
    left = threading.Event()

    def enter(talk: Talk) -> None:
        ours, theirs = socket.socketpair()
        talk.attach(theirs, tty=False)
        with ours:
            try:
                while True:
                    ours.sendall(b"\1\0\0\0\0\0\x10\0" + b"y" * 4096)
            except OSError:
                left.set()

    serve(enter=enter)
    script = "rumpel enter a -- yes | head -c 5; exit ${PIPESTATUS[0]}"
    process = home.start(["bash", "-c", script], cwd=home.path)
    out, err = process.communicate(timeout=15)
    assert (process.returncode, out, err) == (141, b"yyyyy", b"")
    assert left.wait(10)


def test_a_closed_stdin_is_an_empty_one(serve: Serve, home: Home, run: Run) -> None:
    serve(enter=lambda talk: talk.exec_plain(["cat"]) and None)
    process = home.start(["sh", "-c", "rumpel enter a -- cat <&- ; echo code $?"], cwd=home.path)
    out, err = process.communicate(timeout=15)
    assert (out, err) == (b"code 0\n", b"")


def test_end_of_input_reaches_the_command_while_it_still_writes(serve: Serve, run: Run) -> None:
    script = "import sys; data = sys.stdin.read(); print(len(data), flush=True); print('bye')"
    serve(enter=lambda talk: talk.exec_plain([sys.executable, "-c", script]) and None)
    assert run("enter", "a", "--", "wc", input="x" * 1000).assert_ok().stdout == "1000\nbye\n"


def test_a_command_that_does_not_read_is_no_obstacle(serve: Serve, run: Run) -> None:
    serve(enter=lambda talk: talk.exec_plain(["true"]) and None)
    run("enter", "a", "--", "true", input=b"x" * (4 << 20)).assert_ok()


def test_ctrl_c_is_passed_on_and_the_second_one_leaves(serve: Serve, home: Home) -> None:
    said: list[dict[str, Any]] = []
    attached, left = threading.Event(), threading.Event()

    def enter(talk: Talk) -> None:
        ours, theirs = socket.socketpair()
        talk.attach(theirs, tty=False)
        ours.sendall(b"\2\0\0\0\0\0\0\6ready\n")
        attached.set()
        with ours:
            said.append(talk.receive())
            if talk.has_left():
                left.set()

    serve(enter=enter)
    process = home.start([*program(), "enter", "a", "--", "sleep"], cwd=home.path)
    assert process.stderr is not None
    assert process.stderr.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    while not said:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert left.wait(10)
    assert said == [{"do": "signal", "signal": "INT"}]


def test_a_stopped_client_holds_up_only_itself(serve: Serve, home: Home, run: Run) -> None:
    serve(
        enter=lambda talk: talk.exec_plain(["cat", "/dev/zero"]) and None,
        list=lambda talk: talk.result([]),
    )
    process = home.start([*program(), "enter", "a", "--", "cat"], cwd=home.path)
    assert process.stdout is not None
    assert process.stdout.read(1) == b"\0"
    process.send_signal(signal.SIGSTOP)
    assert run("list").assert_ok().elapsed_s < 10
    process.kill()
    process.wait()


def test_bulk_output_is_not_slower_than_a_pipe_by_much(serve: Serve, run: Run) -> None:
    size = 200 << 20
    frame = b"\1\0\0\0\0\0\x80\0" + bytes(1 << 15)

    def enter(talk: Talk) -> None:
        ours, theirs = socket.socketpair()
        talk.attach(theirs, tty=False)
        with ours:
            for _ in range(size >> 15):
                ours.sendall(frame)
        talk.receive()
        talk.result({"exit_code": 0})

    serve(enter=enter)
    begun = time.monotonic()
    outcome = run("enter", "a", "--", "cat", "big").assert_ok()
    assert len(outcome.stdout_bytes) == size
    assert size / (time.monotonic() - begun) > 30e6  # a floor for a busy machine; 400 MB/s alone
