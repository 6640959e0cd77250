"""One random history of the engine: requests, cancellations, failures, drift, crashes, restarts.

What must hold is numbered as in the list of 15 invariants that the engine was designed by; most of
it is looked at when nothing runs (`settle`), some while it happens (`sim.py`). Replay one with
`PYTHONHASHSEED=N python -m tests.engine.history SEED`.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from rumpel.cache import events
from rumpel.engine import states
from rumpel.engine.events import Event, EventKind, NodeState
from rumpel.engine.execute import Engine
from rumpel.engine.graph import Graph, Handle
from rumpel.engine.plan import Verdict
from rumpel.errors import Bug, HostUnreachable, TimedOut
from tests.engine.shape import ITEMS, KINDS, Shape
from tests.engine.sim import (
    Crash,
    Disk,
    Inputs,
    Life,
    Loop,
    Odd,
    Watched,
    World,
    broken,
    disk,
)

LIMITS = {"h0/narrow": 1, "h1/narrow": 1, "h0/wide": 2, "h1/wide": 2}


@dataclass
class Request:
    task: asyncio.Task[Any]
    texts: dict[str, str]
    graph: Graph
    told: list[Event]
    may_fail: bool


class History:
    """`step(rng)` does one random thing; `end` brings it to rest and looks at everything."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.shape = Shape.of(rng)
        self.world = World(random.Random(rng.random()))
        self.connection = disk()
        self.texts: dict[str, str] = {}
        self.live: list[Request] = []
        self.trace: list[str] = []
        self.graves: list[set[asyncio.Task[Any]]] = []
        """Tasks of lives that ended: their coroutines must not be closed inside the next one."""
        self.is_troubled = False
        """Was anything made to fail since the last time it was at rest?"""
        self.origin = 0.0
        self.excused: set[str] = set()
        """Left half made by a crash: until somebody wants the node again."""
        self._born()

    def _born(self) -> None:
        self.loop = Loop()
        self.loop.now = self.origin
        self.life = Life(self.world, limits=LIMITS)
        self.store = Watched(
            Path("simulated"),
            now=lambda: 1e9 + self.loop.now,
            writer=Disk(self.connection, self.world.rng),
        )
        self.store.life, self.life.store = self.life, self.store
        self.engine = Engine(
            self.store, self.life, slots={"narrow": 1, "wide": 2}, retry_delay_s=0.5
        )
        self.wait(self._opened())

    async def _opened(self) -> None:
        await self.store.__aenter__()
        await self.engine.recover()

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    # What can happen

    def request(self, rng: random.Random) -> None:
        if len(self.live) >= 4:
            return
        if rng.random() < 0.4:
            name = rng.choice([*self.shape.needs, *ITEMS])
            self.texts[name] = rng.choice(("cc", "x", "pq", "pqr", "q"))
        only = self.shape.closed(rng) if rng.random() < 0.4 else None
        texts = dict(self.texts)
        graph = self.shape.graph(texts, only=only)
        refresh = [node_id for node_id in graph.nodes if rng.random() < 0.1]
        self.life.refreshed.update(refresh)
        told: list[Event] = []
        fail_fast = rng.random() < 0.2
        run = self.engine.run(
            graph,
            emit=told.append,
            refresh=refresh,
            is_interactive=rng.random() < 0.3,
            fail_fast=fail_fast,
        )
        task = self.loop.create_task(run)
        self.live.append(Request(task, texts, graph, told, self.is_troubled))

    def cancel(self, rng: random.Random) -> None:
        if self.live:
            rng.choice(self.live).task.cancel()

    def pass_time(self, rng: random.Random) -> None:
        self.wait(asyncio.sleep(rng.choice((0.0, 0.001, 0.5, 10.0, 100.0))))

    def trouble(self, rng: random.Random) -> None:
        """Errors of the next runs: what is retried, what is not, what no operation may raise."""
        self._troubled()
        kinds: tuple[Callable[[], BaseException], ...] = (
            broken,
            lambda: HostUnreachable("away"),
            lambda: Odd("odd"),
            lambda: TimedOut("slow"),
        )
        name = rng.choice([*self.shape.needs])
        if rng.random() < 0.3:
            self.world.slow.add(name)
        self.world.errors[name] = [rng.choice(kinds)() for _ in range(rng.randint(1, 3))]

    def drift(self, rng: random.Random) -> None:
        """Somebody does it by hand."""
        if self.world.things:
            name = rng.choice(sorted(self.world.things))
            if rng.random() < 0.5:
                del self.world.things[name]
            else:
                self.world.things[name] = "changed by hand"

    def go_down(self, rng: random.Random) -> None:
        self._troubled()
        self.world.is_down = True
        if rng.random() < 0.7:
            self.pass_time(rng)
            self.world.is_down = False

    def _troubled(self) -> None:
        self.is_troubled = True
        for request in self.live:
            request.may_fail = True

    def bad_graph(self, rng: random.Random) -> None:
        """14: refused before anything happens, by name."""
        before = len(self.world.started)
        graph = self.shape.graph(self.texts)
        needs = rng.choice([*graph.nodes])
        graph.add(KINDS[3], "x/bad", Inputs(name="bad"), after=[Handle("x/worse"), Handle(needs)])
        if rng.random() < 0.5:
            graph.add(KINDS[3], "x/worse", Inputs(name="worse"), after=[Handle("x/bad")])
        with pytest.raises(Bug, match="x/worse"):
            self.wait(self.engine.run(graph))
        assert "bad" not in self.world.started[before:]

    def crash(self, rng: random.Random) -> None:
        """After so many turns of the loop, wherever that is."""
        self.loop.turns_left = rng.choice((0, 1, 2, 3, 5, 8, 13, 21, 40))
        with suppress(Crash):
            self.wait(asyncio.sleep(rng.choice((0.0, 0.01, 5.0, 50.0))))
        self.die()

    def die(self) -> None:
        self.origin = self.loop.now
        self.excused |= self.world.half
        self.graves.append(self.loop.kill())
        self.live.clear()
        self.world.is_down = False
        self._born()

    STEPS = (
        *((request, 8), (pass_time, 4), (trouble, 2), (drift, 1), (cancel, 3)),
        *((crash, 2), (go_down, 1), (bad_graph, 1)),
    )

    def step(self, rng: random.Random) -> None:
        steps, weights = zip(*self.STEPS, strict=True)
        (chosen,) = rng.choices(steps, weights)
        self.do(chosen, rng)

    def do(self, chosen: Callable[[History, random.Random], None], rng: random.Random) -> None:
        self.trace.append(chosen.__name__)
        chosen(self, rng)
        if self.world.wrong:
            raise AssertionError("; ".join(self.world.wrong))

    # What must hold

    def settle(self) -> None:
        """Let everything end; then nothing may be left over."""
        self.world.is_down = False
        for request in self.live:
            self._ended(request)
        self.live.clear()
        self.world.errors.clear()
        self.world.slow.clear()
        self.is_troubled = False
        self.life.refreshed.clear()
        self.wait(self._rest())
        assert self.engine.flights == {}
        assert self.store.intents == {}, "7: an effect that nobody ended"
        assert self.engine._slots._queues == {}
        assert all(LIMITS[name] == free for name, free in self.engine._slots._free.items())
        assert set(self.life.running.values()) <= {0}
        self.excused &= self.world.half
        assert self.world.half == self.excused, "7: half made, and nobody undid it"
        self._log_agrees()

    def _ended(self, request: Request) -> None:
        try:
            result = self.wait(settled(request.task))
        except asyncio.CancelledError:
            return
        expected = self.shape.expected(request.texts)
        names = {node_id.removeprefix("x/") for node_id in result.states}
        values = {key.removeprefix("x/"): out.value for key, out in result.outputs.items()}
        assert values.items() <= expected.items(), "1, 6: other values than were asked for"
        assert request.may_fail or result.is_ok, f"7: {result.states} {result.errors}"
        assert names <= expected.keys()
        in_order(request)

    async def _rest(self) -> None:
        while self.engine._tasks:
            await asyncio.wait(self.engine._tasks)
        await self.store.query(lambda _: None)
        await asyncio.sleep(0)

    def _log_agrees(self) -> None:
        """11: what the events say is what the tables say; 15: attempts are numbered 1, 2, 3."""
        entries = events.after(self.connection, 0, limit=1_000_000)
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        attempts: dict[int, str] = {}
        ended: dict[int, str] = {}
        for entry in entries:
            if entry.kind.startswith("node-"):
                attempts[entry.data["attempt"]] = entry.kind.removeprefix("node-")
            elif entry.kind == "run-ended":
                ended[entry.run_id] = entry.data["state"]
        rows = self.connection.execute("SELECT id, node_id, number, state FROM attempt ORDER BY id")
        table = [tuple(row) for row in rows]
        assert attempts == {row[0]: row[3] for row in table}
        assert ended == dict(self.connection.execute("SELECT id, state FROM run").fetchall())
        number: dict[str, int] = {}
        for _, node_id, count, _ in table:
            assert count in (1, number.get(node_id, 0) + 1), f"15: {node_id} went on with {count}"
            number[node_id] = count

    def end(self) -> None:
        """3, 4, 5, 8: from wherever it is, one clean request makes the world as it should be."""
        self.settle()
        graph = self.shape.graph(self.texts)
        plan = self.engine.plan(graph)
        before = len(self.world.started)
        result = self.wait(self.engine.run(graph))
        assert result.is_ok, result.errors
        ran = {f"x/{name}" for name in self.world.started[before:]}
        found = plan.nodes.values()
        will = {one.id for one in found if one.verdict is Verdict.RUN}
        may = {one.id for one in found if one.verdict is Verdict.MAY_RUN}
        added = result.states.keys() - plan.nodes.keys()
        assert will <= ran <= will | may | added, "5: it ran other nodes than it said"
        assert not added or plan.is_open
        expected = self.shape.expected(self.texts)
        assert {name: self.world.things.get(name) for name in expected} == expected, "4, 8"
        assert not self.world.half & expected.keys(), "8: half made"
        self._again(graph)
        self.settle()
        self.wait(self._closed())
        if self.world.wrong:
            raise AssertionError("; ".join(self.world.wrong))

    def _again(self, graph: Graph) -> None:
        before = (len(self.world.started), self.world.writes, dict(self.store.records))
        result = self.wait(self.engine.run(graph))
        assert set(result.states.values()) == {NodeState.CACHED}, "3"
        assert before == (len(self.world.started), self.world.writes, dict(self.store.records)), "3"

    def bury(self) -> None:
        """Close what is left, when no life is there to be disturbed."""
        for task in {*chain(*self.graves), *self.loop.kill()}:
            with suppress(RuntimeError):  # the dead want to say something: their loop is closed
                task.get_coro().close()
        self.connection.close()

    async def _closed(self) -> None:
        await self.engine.close()
        await self.store.close()


async def settled(task: asyncio.Task[Any]) -> Any:
    return await task


def in_order(request: Request) -> None:
    """1: no node began before all it needs had ended well; 15: each ended once."""
    done: set[str] = set()
    nodes = dict(request.graph.nodes)
    for event in request.told:
        if event.kind is EventKind.RUNNING and event.node_id in nodes:
            assert done >= set(nodes[event.node_id].deps), f"1: {event.node_id} began too early"
        elif event.kind in (EventKind.OK, EventKind.CACHED):
            assert event.node_id not in done, f"15: {event.node_id} ended twice"
            done.add(event.node_id)


@contextmanager
def held_to_the_tables() -> Iterator[None]:
    """15: a state that no node may go to ends the history."""
    found: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "report", found.append)
        yield
    assert found == [], f"15: {found}"


def play(seed: int, *, steps: int = 14) -> None:
    """The whole history of a seed; an error says which one it was and what happened in it."""
    rng = random.Random(seed)
    history = History(rng)
    try:
        with held_to_the_tables():
            for _ in range(rng.randint(2, steps)):
                history.step(rng)
            history.end()
    except BaseException as error:
        order = os.environ.get("PYTHONHASHSEED", "unknown: try 0 to 99")
        error.add_note(f"seed {seed}: {', '.join(history.trace)}")
        error.add_note(f"PYTHONHASHSEED decides the order in sets: {order}")
        raise
    finally:
        history.bury()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        play(int(argument))
