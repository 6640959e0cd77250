"""What is lent to an agent in a pod, as the script that runs there keeps it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpel.resources import resource_text


class Script:
    """The script of sessions, in a home of its own, with a `screen` that says what runs."""

    def __init__(self, folder: Path) -> None:
        self.home, self.bin = folder / "home", folder / "bin"
        self.bin.mkdir()
        screen = self.bin / "screen"
        screen.write_text(f"#!/bin/sh\n[ -e {folder}/alive ]\n")
        screen.chmod(0o755)
        self.alive = folder / "alive"

    def lend(self, content: str, when: str) -> str:
        argv = ["/bin/sh", "-c", resource_text("pod_session.sh"), "rumpel", "lend", str(self.home)]
        env = {"PATH": f"{self.bin}:/usr/bin:/bin"}
        done = subprocess.run(
            [*argv, "claude", ".credentials.json", when],
            input=content,
            env=env,
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
        return done.stdout.strip()

    @property
    def place(self) -> Path:
        return self.home / "claude/.credentials.json"


@pytest.fixture(name="script")
def session_script(tmp_path: Path) -> Iterator[Script]:
    script = Script(tmp_path)
    (script.home / ".screen").mkdir(parents=True)
    yield script
    if script.place.is_symlink():
        kept = script.place.readlink()
        kept.unlink(missing_ok=True)
        kept.parent.rmdir()


def test_what_is_lent_lies_in_memory_and_is_replaced_whole(script: Script) -> None:
    assert script.lend("one", "always") == "lent"
    assert script.place.is_symlink()
    kept = script.place.readlink()
    assert kept.parts[:3] == ("/", "dev", "shm")
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    inode = kept.stat().st_ino
    script.alive.touch()
    (script.home / ".screen").mkdir(parents=True, exist_ok=True)
    assert script.lend("two", "alive") == "lent"
    assert (script.place.readlink(), script.place.read_text()) == (kept, "two")
    assert kept.stat().st_ino != inode, "who reads it sees the one or the other"
    assert [path.name for path in kept.parent.iterdir()] == [".credentials.json"]


def test_what_is_lent_goes_with_its_agent(script: Script) -> None:
    script.lend("one", "always")
    kept = script.place.readlink()
    assert script.lend("two", "alive") == "none"
    assert not kept.exists()
    assert not script.place.is_symlink()
    kept.parent.rmdir()


def test_a_link_to_elsewhere_is_not_followed(script: Script, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    script.place.parent.mkdir(parents=True)
    script.place.symlink_to(victim)
    assert script.lend("one", "always") == "lent"
    assert victim.read_text() == "mine"
    assert script.place.read_text() == "one"


def test_who_signed_in_in_the_pod_stays_so(script: Script) -> None:
    script.place.parent.mkdir(parents=True)
    own = '{"claudeAiOauth": {"accessToken": "a", "refreshToken": "r"}}'
    script.place.write_text(own)
    assert script.lend("one", "always") == "own"
    assert script.place.read_text() == own


@pytest.mark.parametrize("own", ["", '{"accessToken": "a", "refreshToken": ""}'])
def test_a_tool_that_is_signed_in_is_not_the_agent(script: Script, own: str) -> None:
    script.place.parent.mkdir(parents=True)
    oauth = f'"claudeAiOauth": {own}, ' if own else ""
    script.place.write_text(f'{{{oauth}"mcpOAuth": {{"x": {{"refreshToken": "r"}}}}}}')
    assert script.lend("one", "always") == "lent"
    assert script.place.read_text() == "one"


def test_a_sign_in_over_many_lines_stays(script: Script) -> None:
    script.place.parent.mkdir(parents=True)
    own = json.dumps({"claudeAiOauth": {"scopes": ["a"], "refreshToken": "r"}}, indent=2)
    script.place.write_text(own)
    assert script.lend("one", "always") == "own"
    assert script.place.read_text() == own


def test_a_pod_that_puts_a_fifo_there_holds_nobody(script: Script) -> None:
    assert script.lend("one", "always") == "lent"
    os.mkfifo(f"{script.place.readlink()}.new")
    assert script.lend("two", "always") == "lent"
    assert script.place.read_text() == "two"
