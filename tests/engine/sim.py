"""A whole life of the engine in one thread and no time: its world, its clock, its disk, its death.

Real are the engine, the store and SQLite; simulated are the clock (the loop jumps to the next
timer), the thread and the sync of the writer (a delay on the loop), the world, and a crash: the
loop stops after so many turns and all that was in RAM is gone.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heappop
from pathlib import Path
from typing import Any

from rumpel.cache.records import Attempt, Record
from rumpel.cache.schema import migrate
from rumpel.cache.store import Store
from rumpel.cache.writer import Queued, Writer, resolve, run_group
from rumpel.engine.operation import OK, Policy, Probe, ReasonKind, changed, gone, unknown
from rumpel.errors import RumpelError


class Crash(BaseException):
    """kill -9."""


class Stuck(AssertionError):
    """Somebody waits, and nothing will ever happen again."""


class Loop(asyncio.SelectorEventLoop):
    """Time passes only when there is nothing else to do."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns_left = -1
        super().__init__()

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined] # of BaseEventLoop
        while scheduled and scheduled[0]._cancelled:
            heappop(scheduled)._scheduled = False
            self._timer_cancelled_count -= 1  # type: ignore[attr-defined] # of BaseEventLoop
        if not self._ready and not self._stopping:  # type: ignore[attr-defined] # of BaseEventLoop
            if not scheduled:
                raise Stuck(f"{len(asyncio.all_tasks(self))} tasks wait for ever")
            self.now = max(self.now, scheduled[0]._when)
        if self.turns_left == 0:
            raise Crash
        self.turns_left -= 1
        super()._run_once()  # type: ignore[misc] # of BaseEventLoop

    def kill(self) -> set[asyncio.Task[Any]]:
        """What ran is gone, without a word. Keep the tasks, or their `finally` will run."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined] # of the C task
        self._ready.clear()  # type: ignore[attr-defined] # of BaseEventLoop
        self.close()
        return tasks


class Disk(Writer):
    """The writer of one life; what is committed is in `connection`, which outlives it."""

    def __init__(self, connection: sqlite3.Connection, rng: random.Random) -> None:
        super().__init__(Path("simulated"))
        self.connection, self.rng = connection, rng
        self.handed: list[Queued] = []
        self.is_busy = False

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    async def stop(self) -> None:
        await self.submit(lambda _: None)

    def _hand_over(self, batch: list[Queued]) -> None:
        self.handed += batch
        if not self.is_busy:
            self.is_busy = True
            self._loop.call_later(self.rng.choice((0.0, 0.001, 0.02)), self._sync)

    def _sync(self) -> None:
        batch, self.handed = self.handed, []
        asyncio._set_running_loop(None)  # elsewhere this is a thread, where one may block
        try:
            done = [self._in_words(one) for one in run_group(self.connection, batch)]
        finally:
            asyncio._set_running_loop(self._loop)
        self.commits += 1
        self.is_busy = False
        self._loop.call_soon(resolve, done)


def disk() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    return connection


@dataclass
class World:
    """What outlives the engine, what shall go wrong, and what was seen to be wrong."""

    rng: random.Random
    things: dict[str, str] = field(default_factory=dict)
    half: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)
    writes: int = 0
    is_down: bool = False
    errors: dict[str, list[BaseException]] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Life:
    """The world as one process sees it; `refreshed` are nodes that somebody asked to run anew."""

    world: World
    store: Store | None = None
    running: Counter[str] = field(default_factory=Counter)
    limits: Mapping[str, int] = field(default_factory=dict)
    refreshed: set[str] = field(default_factory=set)


class Watched(Store):
    """A failure must leave every other record as it is, and the good part of its own."""

    life: Life

    def fail_attempt(self, attempt: Attempt, **more: Any) -> asyncio.Future[None]:
        before = dict(self.records)
        written = super().fail_attempt(attempt, **more)
        for node_id, record in self.records.items():
            old = before.get(node_id)
            if node_id != attempt.node_id and record is not old:
                self.life.world.wrong.append(f"{attempt.node_id} failed and {node_id} changed")
            elif old is not None and good(old) != good(record):
                self.life.world.wrong.append(f"the failure of {node_id} lost its last good result")
        return written

    def begin_attempt(self, attempt: Attempt) -> asyncio.Future[None]:
        if any(reason["kind"] == ReasonKind.UNKNOWN for reason in attempt.reasons):
            self.life.world.wrong.append(f"{attempt.node_id} ran though its state was unknown")
        if not attempt.reasons:
            self.life.world.wrong.append(f"{attempt.node_id} ran without a reason")
        return super().begin_attempt(attempt)


def good(record: Record) -> tuple[Any, ...]:
    return (record.fp, record.output_text, record.components_text, record.version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    name: str
    text: str = ""
    up: tuple[str, ...] = ()
    host: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    value: str
    items: tuple[str, ...] = ()


@dataclass(eq=False)
class Making:
    """Makes a thing in two steps and adopts one that is as it should be."""

    KIND: str = "making"
    TITLE: str = "Making"
    VERSION: int = 1
    POLICY: Policy = Policy()  # noqa: RUF009 - a frozen value
    Inputs: type[Any] = Inputs
    Output: type[Any] = Output

    def fingerprint(self, inputs: Any) -> Mapping[str, Any]:
        return {"text": inputs.text, "up": inputs.up}

    def check(self, life: Any, inputs: Any, output: Any) -> Probe:
        world = life.world
        if world.is_down:
            return unknown("the world is down")
        value = world.things.get(inputs.name)
        if value is None:
            return gone(inputs.name)
        return OK if value == output.value else changed(inputs.name)

    async def run(self, ctx: Any, inputs: Any) -> Any:
        life, world, value = ctx.world, ctx.world.world, value_of(inputs)
        self._begun(life, ctx, inputs, value)
        held = (*(f"{inputs.host}/{name}" for name in self.POLICY.slots), inputs.name)
        life.running.update(held)
        for name in held:
            if life.running[name] > life.limits.get(name, 1):
                world.wrong.append(f"{life.running[name]} run at once in {name}")
        try:
            if world.things.get(inputs.name) != value:
                world.half.add(inputs.name)
                slow_s = 100.0 if inputs.name in world.slow else 10.0
                await asyncio.sleep(world.rng.choice((0.0, 0.01, 1.0, slow_s)))
            if world.errors.get(inputs.name):
                raise world.errors[inputs.name].pop()
        finally:
            life.running.subtract(held)
        if world.things.get(inputs.name) != value:
            world.things[inputs.name] = value
            world.writes += 1
        world.half.discard(inputs.name)
        return Output(value=value, items=tuple(inputs.text))

    async def undo(self, ctx: Any, inputs: Any) -> None:
        await asyncio.sleep(ctx.world.world.rng.choice((0.0, 0.5)))
        ctx.world.world.half.discard(inputs.name)

    def _begun(self, life: Any, ctx: Any, inputs: Any, value: str) -> None:
        """Was there any need? Not if the record is good, the world agrees and nobody asked."""
        life.world.started.append(inputs.name)
        record = life.store.records.get(ctx.node_id)
        if (
            record is not None
            and record.failure is None
            and record.components == {"text": inputs.text, "up": list(inputs.up)}
            and life.world.things.get(inputs.name) == record.output["value"] == value
            and ctx.node_id not in life.refreshed
            and self.POLICY.is_reused
        ):
            life.world.wrong.append(f"{ctx.node_id} ran without need")


def value_of(inputs: Any) -> str:
    """Deterministic; a text `c…` hides what came in, so that changes above are cut off."""
    return inputs.text if inputs.text.startswith("c") else f"<{inputs.text}{''.join(inputs.up)}>"


class Odd(ValueError):
    """What no operation should raise."""


def broken() -> RumpelError:
    return RumpelError("it broke")
