"""The loop that runs in a pod: signals, ends of input, broken blocks."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rumpel.adapters.pod_link import program, program_file
from rumpel.adapters.stream import STDOUT
from rumpel.resources import resource_text
from tests.adapters.pod.support import (
    SHELLS,
    LocalStream,
    Pod,
    alive,
    boot,
    exited,
    git,
    kill_session,
)


@pytest.fixture
async def main(shell: str) -> AsyncIterator[LocalStream]:
    stream = await boot(shell, "main")
    yield stream
    await stream.close()
    kill_session(stream.process.pid)
    await stream.process.wait()


async def line(stream: LocalStream) -> bytes:
    """What the pod writes next (to its standard output)."""
    while True:
        async with asyncio.timeout(5):
            piece = await stream.read()
        assert piece is not None
        if piece[0] == STDOUT:
            return piece[1]


@pytest.mark.parametrize("state", ["reading", "at the end of its input", "while a block runs"])
async def test_main_ends_at_once_on_term(main: LocalStream, state: str) -> None:
    if state == "at the end of its input":
        await main.write_eof()
    if state == "while a block runs":
        await main.write(b"rp_setup 1; sleep 50\n.\nrp_setup 2\n.\n")
    await asyncio.sleep(0.3)
    assert main.process.returncode is None
    start = time.monotonic()
    main.process.send_signal(signal.SIGTERM)
    assert await exited(main.process) == 0
    assert time.monotonic() - start < 0.5


@pytest.mark.skipif(
    subprocess.run(["unshare", "-pf", "true"], capture_output=True, check=False).returncode != 0,
    reason="cannot make a PID namespace here",
)
async def test_as_process_1_it_ends_on_term(shell: str) -> None:
    """The kernel keeps signals without a handler from process 1."""
    process = await asyncio.create_subprocess_exec(
        "unshare",
        "-pf",
        "--kill-child",
        *SHELLS[shell],
        "-c",
        resource_text("pod_boot.sh"),
        "rumpel",
        "main",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'echo "pid $$"\n.\n@hello 7\n')
    assert b"pid 1\n" in await process.stdout.readuntil(b"pid 1\n")
    [child] = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    start = time.monotonic()
    os.kill(int(child), signal.SIGTERM)
    await exited(process)
    assert time.monotonic() - start < 0.5


async def test_exec_ends_with_its_input_and_leaves_nothing(shell: str) -> None:
    stream = await boot(shell, "exec")
    await stream.write(b"rp_x 1; sleep 51 & sleep 52\n.\n(sleep 53; sleep 54) & echo there\n.\n")
    assert await line(stream) == b"there\n"
    await stream.write_eof()
    await exited(stream.process)
    assert alive(stream.process.pid) == []
    await stream.close()


async def test_no_block_can_kill_the_loop(main: LocalStream) -> None:
    for block in (
        "rp_x 5 ' (",
        "exit 3",
        "set -u; echo $nope",
        "kill -9 $$x",
        "cd /nowhere",
        "cat",
    ):
        await main.write(f"{block}\n.\n".encode())
    await main.write(b"half a '\n\n@hello 9\n")
    text = b""
    while not (b"@rumpel 9 ok -\n" in text and b"@rumpel 5 err exit code" in text):
        text += await line(main)
    assert main.process.returncode is None


async def test_requests_leave_no_zombies(pod: Pod) -> None:
    await pod.start("main")
    for _ in range(30):
        await pod.ask("ok", "x")
    states = subprocess.run(
        ["ps", "-s", str(pod.stream.process.pid), "-o", "stat="],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert len(states) < 5, states


async def test_hello_is_answered_while_a_setup_runs(main: LocalStream) -> None:
    await main.write(b"rp_setup 1; sleep 50\n.\n@hello 8\n")
    text = b""
    while b"@rumpel 8 ok -\n" not in text:
        text += await line(main)


def test_scripts_are_posix() -> None:
    """Checked by shellcheck where there is one, by all shells' parsers anyway."""
    for name in ("pod_boot.sh", "pod_control.sh", "pod_hook.sh"):
        text = resource_text(name)
        for argv in SHELLS.values():
            if shutil.which(argv[0]):
                subprocess.run([*argv, "-n"], input=text, text=True, check=True)
        if shutil.which("shellcheck"):
            subprocess.run(
                ["shellcheck", "-s", "sh", "-e", "SC2034,SC2154", "-"],
                input=text,
                text=True,
                check=True,
            )


async def test_the_program_is_read_from_the_seed(pod: Pod, host: Path, seed: Path) -> None:
    """A shell reads its input byte by byte; what lies beside the seed is one read."""
    version, text = program(pod.settings)
    (seed / "rumpel").mkdir()
    (seed / program_file(version)).write_text(text)
    await pod.start()
    assert pod.stream.written < 500
    tip = git(host, "rev-parse", "main")
    assert await pod.setup(tip) == tip
