"""Runs a graph for a client: the work belongs to the daemon, the client only watches.

A client that goes away leaves the work running; one that says `cancel` drops its run, and the
engine undoes what nobody else uses.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection

from rumpel.daemon import background
from rumpel.daemon.client import Client
from rumpel.daemon.nodes import subject_of
from rumpel.engine.events import Event
from rumpel.engine.execute import Engine, RunHandle, RunResult
from rumpel.engine.graph import Graph
from rumpel.errors import Interrupted


class Runner:
    """Counts what runs: parking and restarts wait until nothing does."""

    def __init__(self, engine: Engine, idle: asyncio.Event) -> None:
        """`idle` is set while no graph runs, but for long ones."""
        self.engine, self.idle = engine, idle
        self.idle.set()
        self._active: dict[asyncio.Task[RunResult], Graph] = {}
        self._long: set[asyncio.Task[RunResult]] = set()

    @property
    def active(self) -> int:
        return len(self._active)

    async def run(
        self,
        graph: Graph,
        client: Client,
        *,
        refresh: Collection[str] = (),
        is_long: bool = False,
    ) -> RunResult:
        """Raises Interrupted when the client cancelled; the undo has happened by then.

        `is_long`: it may take hours of doing nothing here, so whatever waits for idle times need
        not wait for it.
        """
        graph.subject = subject_of(graph.nodes)
        task = asyncio.get_running_loop().create_task(
            self.engine.run(
                graph,
                emit=client.on_event,
                is_interactive=client.request.tty,
                refresh=refresh,
            ),
            name=f"run {graph.verb}",
        )
        self._active[task] = graph
        if is_long:
            self._long.add(task)
        else:
            self.idle.clear()
        task.add_done_callback(self._ended)
        cancelled = asyncio.ensure_future(client.cancelled.wait())
        try:
            await asyncio.wait({task, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                raise Interrupted(f"{graph.verb} was cancelled: what had not ended yet is undone")
            return task.result()
        finally:
            cancelled.cancel()

    async def follow(
        self, graph: Graph, handle: RunHandle, *, emit: Callable[[Event], None]
    ) -> RunResult:
        """For nobody in particular, and for hours. Cancelled, it raises once all is undone."""
        graph.subject = subject_of(graph.nodes)
        task = asyncio.get_running_loop().create_task(
            self.engine.run(graph, emit=emit, run=handle), name=f"run {graph.verb}"
        )
        self._active[task] = graph
        self._long.add(task)
        task.add_done_callback(self._ended)
        return await task

    async def until_free(self, is_in_the_way: Callable[[Graph], bool]) -> None:
        """Wait for the runs of such graphs."""
        while busy := [task for task, graph in self._active.items() if is_in_the_way(graph)]:
            await asyncio.wait(busy)

    async def stop(self) -> None:
        """Cancel everything that runs and wait for the undo.

        What is told so again leaves its undo behind: closing the engine waits for that.
        """
        await background.end(self._active)

    def _ended(self, task: asyncio.Task[RunResult]) -> None:
        self._active.pop(task, None)
        self._long.discard(task)
        if not self._active.keys() - self._long:
            self.idle.set()
