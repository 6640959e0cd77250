"""Cancelling: what nobody wants any more is undone, what others want goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from rumpel.cache import runs
from rumpel.cache.store import Store
from rumpel.engine.events import Event, EventKind, NodeState
from rumpel.engine.execute import Engine, RunHandle
from rumpel.engine.graph import Graph
from rumpel.engine.operation import Policy, ReasonKind
from rumpel.errors import HostUnreachable, Interrupted
from tests.engine.fake import Operation, World, failure, graph_of

PAIR: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",)}


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - there is no event for what is looked at
            await asyncio.sleep(0)


def start(engine: Engine, graph: Graph, **more: Any) -> asyncio.Task[Any]:
    return asyncio.ensure_future(engine.run(graph, **more))


async def stop(running: asyncio.Task[Any]) -> None:
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_cancel_undoes_and_the_next_request_resumes(engine: Engine, world: World) -> None:
    world.holds["b"] = asyncio.Event()
    handle = engine.open_run()
    told: list[Event] = []
    running = start(engine, graph_of(PAIR), run=handle, emit=told.append)
    await until(lambda: "b" in world.started)
    await stop(running)
    assert world.undone == ["b"]
    assert world.half == set()
    assert handle.states == {"fake/a": NodeState.OK, "fake/b": NodeState.CANCELLED}
    assert [event.node_id for event in told if event.kind is EventKind.CANCELLED] == ["fake/b"]
    assert told[-1].kind is EventKind.RUN_ENDED
    assert engine.store.intents == {}
    (row,) = await engine.store.query(runs.recent_runs)
    assert (row.state, row.nodes) == ("cancelled", {"fake/a": "ok", "fake/b": "cancelled"})
    reason = engine.plan(graph_of(PAIR))["fake/b"].reasons[0]
    assert (reason.kind, reason.subject) == (ReasonKind.FAILED, "cancelled")
    world.holds.clear()
    assert (await engine.run(graph_of(PAIR))).is_ok
    assert world.started == ["a", "b", "b"]


async def test_shared_work_goes_on_for_the_others(engine: Engine, world: World) -> None:
    world.holds["a"] = asyncio.Event()
    requests = [start(engine, graph_of(PAIR)) for _ in range(50)]
    await until(lambda: "a" in world.started)
    for request in requests[:49]:
        await stop(request)
    assert world.undone == []
    world.holds["a"].set()
    assert (await requests[49]).is_ok
    assert world.started == ["a", "b"]


async def test_the_last_one_to_leave_cancels(engine: Engine, world: World) -> None:
    world.holds["a"] = asyncio.Event()
    requests = [start(engine, graph_of(PAIR)) for _ in range(3)]
    await until(lambda: "a" in world.started)
    for request in requests:
        await stop(request)
    assert world.undone == ["a"]
    assert engine.flights == {}


async def test_nobody_joins_what_is_being_undone(engine: Engine, world: World) -> None:
    world.holds["a"] = asyncio.Event()
    first = start(engine, graph_of(PAIR))
    await until(lambda: "a" in world.started)
    first.cancel()
    await until(lambda: engine.flights["fake/a"].is_closing)
    world.holds.clear()
    second = await engine.run(graph_of(PAIR))
    assert second.is_ok
    assert world.undone == ["a"]
    assert world.started == ["a", "a", "b"]
    assert world.things["a"] == "<a>"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_before_its_first_step_a_node_leaves_no_trace(engine: Engine, world: World) -> None:
    running = start(engine, graph_of(PAIR))
    await until(lambda: engine.flights)
    await stop(running)
    assert world.started == world.undone == []
    assert engine.flights == {}
    assert "fake/a" not in engine.store.records


async def test_a_run_cancelled_while_it_is_written_down_tells_its_end(
    engine: Engine, world: World
) -> None:
    """Whoever follows it would wait for ever."""
    world.holds["b"] = asyncio.Event()
    told: list[Event] = []
    running = start(engine, graph_of(PAIR), emit=told.append)
    await until(lambda: "b" in world.started)
    gate = threading.Event()
    held = asyncio.ensure_future(engine.store.query(lambda _: gate.wait(5)))
    (run,) = engine.runs.values()
    world.holds["b"].set()
    await until(run.finished.is_set)
    await asyncio.sleep(0)
    running.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [event.kind for event in told].count(EventKind.RUN_ENDED) == 1
    assert told[-1].kind is EventKind.RUN_ENDED
    assert await held


async def test_a_second_cancel_does_not_wait_for_the_undo(engine: Engine, world: World) -> None:
    class Slow(Operation):
        async def undo(self, ctx: Any, inputs: Any) -> None:
            await asyncio.sleep(0.2)
            await super().undo(ctx, inputs)

    world.holds["a"] = asyncio.Event()
    running = start(engine, graph_of({"a": ()}, operations={"a": Slow()}))
    await until(lambda: "a" in world.started)
    running.cancel()
    await asyncio.sleep(0.01)
    started = time.monotonic()
    await stop(running)
    assert time.monotonic() - started < 0.15
    assert world.undone == []
    await until(lambda: world.undone == ["a"])
    await until(lambda: not engine.flights)


async def test_an_undo_has_a_deadline(store: Store, world: World) -> None:
    class Stuck(Operation):
        async def undo(self, ctx: Any, inputs: Any) -> None:
            await asyncio.Event().wait()

    engine = Engine(store, world, undo_timeout_s=0.02)
    world.holds["a"] = asyncio.Event()
    running = start(engine, graph_of({"a": ()}, operations={"a": Stuck()}))
    await until(lambda: "a" in world.started)
    await stop(running)
    (entry,) = await store.query(runs.attempts_of_nodes, ["fake/a"])
    assert entry.state == "cancelled"
    assert "could not be removed" in entry.log
    await engine.close()


async def test_cancel_in_a_queue_and_between_attempts(store: Store, world: World) -> None:
    engine = Engine(store, world, slots={"one": 1}, retry_delay_s=60)
    single = Operation(POLICY=Policy(slots=("one",), retries=3))
    world.holds["a"] = asyncio.Event()
    operations = dict.fromkeys("ab", single)
    first = start(engine, graph_of({"a": ()}, operations=operations))
    await until(lambda: "a" in world.started)
    second = start(engine, graph_of({"b": ()}, operations=operations))
    await until(lambda: "fake/b" in engine.flights)
    await asyncio.sleep(0)
    await stop(second)
    assert "fake/b" not in store.records
    world.errors["a"] = [HostUnreachable("gone away")]
    world.holds["a"].set()
    await until(lambda: world.errors["a"] == [])
    await asyncio.sleep(0.01)
    await stop(first)
    assert world.undone == ["a"]
    assert world.half == set()
    failed = store.records["fake/a"].failure
    assert failed is not None
    assert failed["state"] == "retried"
    world.holds.clear()
    assert (await engine.run(graph_of({"a": ()}, operations=operations))).is_ok
    await engine.close()


async def test_a_later_attempt_undoes_what_an_earlier_one_half_made(
    store: Store, world: World
) -> None:
    """Also when it is cancelled before its own effect (found by seed 98743 of the histories)."""
    engine = Engine(store, world, retry_delay_s=0.0)
    world.errors["a"] = [HostUnreachable("away")]
    graph = graph_of({"a": ()}, operations={"a": Operation(POLICY=Policy(retries=1))})
    begin, attempts = store.begin_attempt, list[Any]()

    def begun(attempt: Any) -> asyncio.Future[None]:
        attempts.append(attempt)
        if len(attempts) == 2:
            running.cancel()
        return begin(attempt)

    store.begin_attempt = begun  # type: ignore[method-assign] # the moment between intent and effect
    running = start(engine, graph)
    await until(lambda: running.done())
    assert [attempt.number for attempt in attempts] == [1, 2]
    assert world.started == ["a"]
    assert world.undone == ["a"]
    assert world.half == set()
    await engine.close()


async def test_a_cancelled_error_of_its_own_is_a_bug(engine: Engine, world: World) -> None:
    world.errors["a"] = [asyncio.CancelledError()]
    result = await engine.run(graph_of(PAIR))
    assert result.states["fake/a"] is NodeState.FAILED
    assert result.errors["fake/a"].code == "bug"


async def test_cancelling_one_of_two_waiting_for_a_node(engine: Engine, world: World) -> None:
    world.holds["a"] = asyncio.Event()
    first = start(engine, graph_of({"a": ()}, texts={"a": "one"}))
    await until(lambda: "a" in world.started)
    second = start(engine, graph_of({"a": ()}, texts={"a": "two"}))
    third = start(engine, graph_of({"a": ()}, texts={"a": "three"}))
    await asyncio.sleep(0)
    await stop(second)
    world.holds["a"].set()
    await asyncio.gather(first, third)
    assert world.things["a"] == "<three>"
    assert world.started == ["a", "a"]


async def test_close_cancels_undoes_and_refuses(store: Store, world: World) -> None:
    engine = Engine(store, world)
    world.holds["b"] = asyncio.Event()
    running = start(engine, graph_of({**PAIR, "c": ("b",)}))
    await until(lambda: "b" in world.started)
    await engine.close()
    result = await running
    assert result.states == {
        "fake/a": NodeState.OK,
        "fake/b": NodeState.CANCELLED,
        "fake/c": NodeState.UPSTREAM_FAILED,
    }
    assert world.undone == ["b"]
    with pytest.raises(Interrupted):
        await engine.run(graph_of(PAIR))


async def test_one_cancelled_request_delays_no_failure(engine: Engine, world: World) -> None:
    world.holds["a"] = asyncio.Event()
    world.errors["a"] = [failure()]
    first, second = (start(engine, graph_of(PAIR)) for _ in range(2))
    await until(lambda: "a" in world.started)
    await stop(first)
    world.holds["a"].set()
    assert (await second).states["fake/a"] is NodeState.FAILED


async def test_a_handle_shows_states_while_it_runs(engine: Engine, world: World) -> None:
    world.holds["a"] = asyncio.Event()
    handle: RunHandle = engine.open_run()
    running = start(engine, graph_of(PAIR), run=handle)
    await until(lambda: "a" in world.started)
    assert handle.states == {"fake/a": NodeState.RUNNING, "fake/b": NodeState.WAITING}
    assert handle.plan is not None
    world.holds["a"].set()
    assert (await running).run_id == handle.run_id


async def test_a_cancellation_does_not_end_the_undo_of_a_failure(
    engine: Engine, world: World
) -> None:
    class Slow(Operation):
        async def undo(self, ctx: Any, inputs: Any) -> None:
            undoing.set()
            await asyncio.sleep(0.01)
            await super().undo(ctx, inputs)

    undoing = asyncio.Event()
    world.errors["a"] = [failure()]
    running = start(engine, graph_of({"a": ()}, operations={"a": Slow()}))
    await undoing.wait()
    await stop(running)
    assert world.undone == ["a"]
    assert engine.store.intents == {}
    (entry,) = await engine.store.query(runs.attempts_of_nodes, ["fake/a"])
    assert entry.state == "failed"


async def test_nothing_new_starts_while_it_closes(store: Store, world: World) -> None:
    engine = Engine(store, world)
    world.holds["a"] = asyncio.Event()
    first = start(engine, graph_of({"a": ()}, texts={"a": "one"}))
    await until(lambda: "a" in world.started)
    second = start(engine, graph_of({"a": ()}, texts={"a": "two"}))
    await asyncio.sleep(0)
    await engine.close()
    for request in (first, second):
        assert (await request).states == {"fake/a": NodeState.CANCELLED}
    assert world.started == ["a"]
