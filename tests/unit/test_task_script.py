"""A program that goes on when nobody listens, as the script that runs it in a pod keeps it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from rumpel.resources import resource_text

LIMIT_S = 20.0


class Script:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "task"
        self.outside = folder

    def start(
        self, program: str, size: int, stdin: int = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        argv = [
            "/bin/sh",
            "-c",
            resource_text("pod_task.sh"),
            "rumpel",
            str(self.folder),
            str(size),
            "yes",
        ]
        return subprocess.Popen(
            [*argv, "sh", "-c", program],
            cwd=self.outside,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def run(self, program: str, given: bytes = b"", size: int | None = None) -> tuple[bytes, bytes]:
        process = self.start(program, len(given) if size is None else size)
        out, err = process.communicate(given, timeout=LIMIT_S)
        return out, err

    def wait_for(self, name: str) -> None:
        end = time.monotonic() + LIMIT_S
        while not (self.outside / name).exists():
            assert time.monotonic() < end
            time.sleep(0.01)  # nothing else tells of a file

    @property
    def said(self) -> bytes:
        return (self.folder / "out").read_bytes()


def test_once(tmp_path: Path) -> None:
    script = Script(tmp_path)
    _, err = script.run("cat; echo x >>tries; echo bad >&2; exit 7", b"hello")
    assert script.said == b"hello"
    assert err == b"5 7\nbad\n"
    out, err = script.run("echo again; echo x >>tries", b"hello")
    assert (out, err) == (b"hello", b"5 7\nbad\n")
    assert (tmp_path / "tries").read_text() == "x\n"
    assert not list(script.folder.glob("in*")), "what it was given is not kept"


def test_who_comes_later_is_listened_to(tmp_path: Path) -> None:
    """As long as what it was given is not read, an engine may break off what is said."""
    script = Script(tmp_path)
    script.run("echo out")
    with script.start("echo again", 1) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * (1 << 20))  # more than a pipe holds
        process.stdin.close()
        assert process.stdout.read() == b"out\n"


def test_a_part_of_the_input_begins_nothing(tmp_path: Path) -> None:
    script = Script(tmp_path)
    script.run("echo x >>tries", b"hel", size=5)
    assert not (tmp_path / "tries").exists()
    script.run("cat; echo x >>tries", b"hello")
    assert script.said == b"hello"


def test_it_goes_on_and_is_found_again(tmp_path: Path) -> None:
    script = Script(tmp_path)
    program = "echo one; touch begun; while [ ! -e go ]; do sleep 0.02; done; echo two"
    first = script.start(program, 0, subprocess.DEVNULL)
    script.wait_for("begun")
    first.kill()  # who reads; it keeps the pipe open by what it started
    first.wait()
    second = script.start("echo never", 0, subprocess.DEVNULL)
    assert second.stdout is not None
    assert second.stdout.readline() == b"one\n"
    (tmp_path / "go").touch()
    out, err = second.communicate(timeout=LIMIT_S)
    assert err == b"8 0\n"
    assert script.said == b"one\ntwo\n"
    assert b"one\ntwo\n".startswith(b"one\n" + out)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()


def test_one_that_was_killed_is_cut(tmp_path: Path) -> None:
    script = Script(tmp_path)
    first = script.start("echo $PPID >watcher; touch begun; sleep 100", 0, subprocess.DEVNULL)
    script.wait_for("begun")
    os.kill(int((tmp_path / "watcher").read_text()), signal.SIGKILL)
    _, err = first.communicate(timeout=LIMIT_S)
    assert err == b"0 cut\n"
    assert script.run("echo never")[1] == b"0 cut\n"
    os.killpg(first.pid, signal.SIGKILL)


def test_many_begin_one(tmp_path: Path) -> None:
    script = Script(tmp_path)
    running = [script.start("echo x >>tries; sleep 0.2; cat", 5) for _ in range(8)]
    ends = [process.communicate(b"hello", timeout=LIMIT_S)[1] for process in running]
    assert ends == [b"5 0\n"] * 8
    assert (tmp_path / "tries").read_text() == "x\n"
