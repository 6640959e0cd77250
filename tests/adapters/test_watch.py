"""The watcher of files, beside what the loop does with its descriptor."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from rumpel.adapters import threads
from rumpel.adapters.watch import Watcher


async def test_a_closed_watcher_leaves_nothing_in_the_loop(tmp_path: Path) -> None:
    """Else the next pipe or socket of the same number never tells anybody anything."""
    watcher = await threads.call(Watcher, roots=[str(tmp_path)])
    number = watcher._fd
    at_event = asyncio.Event()

    async def follow() -> None:
        try:
            async for _ in watcher.changes(60):
                at_event.set()
                await asyncio.Event().wait()
        finally:
            watcher.close()

    task = asyncio.ensure_future(follow())
    await asyncio.sleep(0)  # it watches now
    (tmp_path / "file").write_text("x")
    async with asyncio.timeout(10):
        await at_event.wait()
    task.cancel()
    await asyncio.wait({task})
    reader, writer = os.pipe()
    os.dup2(reader, number)
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(number, told.set)
    try:
        os.write(writer, b"x")
        async with asyncio.timeout(10):
            await told.wait()
    finally:
        loop.remove_reader(number)
        for fd in {reader, writer, number}:
            os.close(fd)
