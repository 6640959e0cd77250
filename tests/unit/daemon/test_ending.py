"""An end that hangs: it is over all the same, and where it hung is written down."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import pytest

from rumpel.daemon import background, ending
from rumpel.daemon.runner import Runner
from rumpel.engine.execute import Engine, RunHandle
from rumpel.engine.graph import Graph

HANGS = """
import asyncio, threading
from rumpel.daemon import ending

async def stuck_task():
    await asyncio.Event().wait()

async def main():
    ending.bound(asyncio.get_running_loop(), 0.3)
    task = asyncio.create_task(stuck_task())
    await asyncio.sleep(0)
    threading.Event().wait()  # the loop itself

asyncio.run(main())
"""


def test_a_hung_end_is_ended(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", HANGS], env=env, timeout=60, check=False)
    assert done.returncode == ending.EXIT_CODE
    (crash,) = (tmp_path / "rumpel" / "crash").iterdir()
    told = crash.read_text()
    assert "did not end within 0.3 s" in told
    assert "stuck_task" in told, "which tasks were left"
    assert "threading.py" in told, "where the threads are"


def test_an_end_in_time_is_not_held_up(tmp_path: Path) -> None:
    script = HANGS.replace("0.3", "60").replace("threading.Event().wait()", "return #")
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, timeout=30, check=False)
    assert done.returncode == 0
    assert not (tmp_path / "rumpel" / "crash").exists()


def test_many_threads_do_not_block_what_tells_of_them(tmp_path: Path) -> None:
    """Where they are is more than a pipe holds."""
    deep = "def deep(n): threading.Event().wait() if n == 0 else deep(n - 1)"
    many = "for _ in range(100): threading.Thread(target=deep, args=(20,)).start()"
    script = HANGS.replace("async def main", f"{deep}\n\nasync def main")
    script = script.replace("    threading.Event()", f"    {many}\n    threading.Event()")
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, timeout=60, check=False)
    assert done.returncode == ending.EXIT_CODE
    (crash,) = (tmp_path / "rumpel" / "crash").iterdir()
    assert len(crash.read_text()) > 64 << 10


def test_an_end_without_a_turn_for_python(tmp_path: Path) -> None:
    """The lock of the interpreter is held for ever by something in C."""
    held = "(lambda r: r.match('a' * 64 + 'b'))(__import__('re').compile('(a*)*c'))"
    script = HANGS.replace("threading.Event().wait()", held)
    script = "import threading; from rumpel.daemon import ending; ending.LAST_S = 0.3\n" + script
    env = {**os.environ, "XDG_STATE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, timeout=60, check=False, capture_output=True
    )
    assert done.returncode == 1
    assert b"Timeout" in done.stderr


def test_what_is_spawned_at_the_end_ends_too() -> None:
    ended: list[str] = []

    async def waits(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    async def spawns(work: background.Background) -> None:
        try:
            await waits("first")
        finally:
            work.spawn(waits("spawned by what ends"), "late")

    async def main() -> set[asyncio.Task[None]]:
        async with background.Background() as work:
            work.spawn(spawns(work), "early")
            await asyncio.sleep(0)
        late = work.spawn(waits("after it"), "too late")
        await asyncio.wait({late}, timeout=10)
        assert late.cancelled()
        return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}

    assert asyncio.run(main()) == set()
    assert ended == ["first"], "the others never began"


class LosesTheFirst:
    """A cancel, as `wait_for` and task groups of Python 3.11 do."""

    def __init__(self) -> None:
        self.cancels = 0

    async def run(self, *_: object, **__: object) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancels += 1
                if self.cancels > 1:
                    raise


@pytest.mark.parametrize("whose", ["background", "runner"])
def test_a_lost_cancel_is_said_again(monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    monkeypatch.setattr(background, "AGAIN_S", 0.05)
    deaf = LosesTheFirst()

    async def of_background() -> None:
        async with background.Background() as work:
            work.spawn(deaf.run(), "deaf")
            await asyncio.sleep(0)

    async def of_runner() -> None:
        runner = Runner(cast("Engine", deaf), asyncio.Event())
        following = asyncio.create_task(
            runner.follow(Graph("create"), RunHandle(run_id=1, states={}), emit=print)
        )
        for _ in range(2):  # until it waits
            await asyncio.sleep(0)
        await runner.stop()
        assert not runner.active
        await asyncio.wait({following})

    async def main() -> None:
        async with asyncio.timeout(10):
            await (of_background() if whose == "background" else of_runner())

    asyncio.run(main())
    assert deaf.cancels == 2
