"""Who watches the engine: hears of runs that go on, each thing once, and cannot break them."""

from __future__ import annotations

import asyncio

from rumpel.daemon.pieces import MOST_WAITING, Pieces
from rumpel.engine.events import Event, EventKind
from rumpel.engine.execute import Engine
from rumpel.engine.flight import Flight
from tests.engine.fake import World, failure, graph_of

PAIR: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",)}


async def held(engine: Engine, world: World) -> asyncio.Task[object]:
    """A run in the middle of `a`, which waits for its event."""
    world.holds["a"] = asyncio.Event()
    said = asyncio.Event()
    with engine.watch(lambda event: said.set() if event.kind is EventKind.LOG else None):
        running = asyncio.ensure_future(engine.run(graph_of(PAIR)))
        await said.wait()
    return running


async def test_a_run_that_goes_on_is_heard_and_seen(engine: Engine, world: World) -> None:
    running = await held(engine, world)
    heard: list[Event] = []
    with engine.watch(heard.append):
        (active,) = engine.runs.values()
        assert active.handle.states["fake/a"] == "running"
        world.holds["a"].set()
        await running
    kinds = [event.kind for event in heard if event.kind is not EventKind.LOG]
    assert kinds == [EventKind.OK, EventKind.RUNNING, EventKind.OK, EventKind.RUN_ENDED]
    assert not engine.runs
    await engine.run(graph_of({"c": ()}))
    assert heard[-1].kind is EventKind.RUN_ENDED
    assert all(event.node_id != "fake/c" for event in heard)


async def test_a_watcher_that_fails_is_dropped(engine: Engine, world: World) -> None:
    heard: list[Event] = []

    def fail(event: Event) -> None:
        heard.append(event)
        raise ValueError("no")

    with engine.watch(fail):
        assert (await engine.run(graph_of(PAIR))).is_ok
    assert len(heard) == 1


async def test_each_piece_is_told_once_whoever_waits(engine: Engine, world: World) -> None:
    running = await held(engine, world)
    pieces = Pieces(engine, lambda node_id: True)
    with engine.watch(pieces.hear):
        pieces.begin()
        joined = asyncio.ensure_future(engine.run(graph_of(PAIR)))
        await asyncio.sleep(0)
        world.errors["b"] = [failure("it broke")]
        world.holds["a"].set()
        await asyncio.gather(running, joined)
        found = pieces.take()
    told = [(one["node"], one["state"], one["text"]) for one in found]
    assert told == [
        ("fake/a", "running", "making a\n"),
        ("fake/a", "ok", ""),
        ("fake/b", "running", ""),
        ("fake/b", "running", "making b\n"),
        ("fake/b", "failed", ""),
    ]
    assert found[-1]["error"]["message"] == "it broke"
    assert pieces.heard == {"fake/a", "fake/b"}


async def test_a_slow_reader_is_told_what_it_missed(engine: Engine, world: World) -> None:
    running = await held(engine, world)
    pieces = Pieces(engine, lambda node_id: True)
    flight: Flight = engine.flights["fake/a"]
    with engine.watch(pieces.hear):
        for number in range(MOST_WAITING + 3):
            flight.log(f"line {number}")
        first, *rest = pieces.take()
        world.holds["a"].set()
        await running
    assert first["text"] == "(3 pieces left out: the reader was slow)\n"
    assert [rest[0]["text"], len(rest)] == ["line 3\n", MOST_WAITING]
