"""Running graphs: order, caching, failures, sharing, events."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rumpel.cache import events, runs
from rumpel.cache.store import Store
from rumpel.engine.events import Event, EventKind, NodeState
from rumpel.engine.execute import Engine
from rumpel.engine.graph import Graph
from rumpel.engine.operation import Policy, ReasonKind
from rumpel.engine.plan import Verdict
from rumpel.errors import Bug, CommandFailed, HostUnreachable, NotFound, TimedOut
from tests.engine.fake import Operation, Output, World, failure, graph_of

DIAMOND: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


async def test_runs_each_node_once_after_what_it_needs(engine: Engine, world: World) -> None:
    result = await engine.run(graph_of(DIAMOND))
    assert result.is_ok
    assert world.done[0] == "a"
    assert world.done[-1] == "d"
    assert sorted(world.done) == ["a", "b", "c", "d"]
    assert result.outputs["fake/d"].value == "<d<b<a>><c<a>>>"


async def test_a_second_run_does_nothing(engine: Engine, world: World) -> None:
    await engine.run(graph_of(DIAMOND))
    world.started.clear()
    result = await engine.run(graph_of(DIAMOND))
    assert set(result.states.values()) == {NodeState.CACHED}
    assert result.outputs["fake/d"].value == "<d<b<a>><c<a>>>"
    assert world.started == []


async def test_records_survive_a_restart(tmp_path: Path, world: World) -> None:
    for expected in (["a", "b", "c", "d"], []):
        world.started.clear()
        async with Store(tmp_path / "s.db") as store:
            engine = Engine(store, world)
            await engine.run(graph_of(DIAMOND))
            await engine.close()
        assert sorted(world.started) == expected


async def test_a_failure_stops_what_stands_on_it_and_nothing_else(
    engine: Engine, world: World
) -> None:
    world.errors["b"] = [failure("b broke")]
    result = await engine.run(graph_of({**DIAMOND, "e": ("c",)}))
    assert result.states == {
        "fake/a": NodeState.OK,
        "fake/b": NodeState.FAILED,
        "fake/c": NodeState.OK,
        "fake/d": NodeState.UPSTREAM_FAILED,
        "fake/e": NodeState.OK,
    }
    assert result.errors["fake/b"].message == "b broke"
    assert world.undone == ["b"]


async def test_the_next_request_resumes_at_the_failure(engine: Engine, world: World) -> None:
    world.errors["b"] = [failure()]
    await engine.run(graph_of(DIAMOND))
    planned = engine.plan(graph_of(DIAMOND))
    assert planned["fake/b"].reasons[0].kind is ReasonKind.FAILED
    assert planned["fake/b"].reasons[0].after == "it broke"
    assert planned["fake/a"].verdict is Verdict.FRESH
    world.started.clear()
    assert (await engine.run(graph_of(DIAMOND))).is_ok
    assert world.started == ["b", "d"]


async def test_a_failure_keeps_the_last_good_record(engine: Engine, world: World) -> None:
    await engine.run(graph_of({"a": ()}))
    world.errors["a"] = [failure()]
    await engine.run(graph_of({"a": ()}, texts={"a": "new"}))
    record = engine.store.records["fake/a"]
    assert record.output == {"value": "<a>", "noise": 0}
    assert record.failure is not None


async def test_an_exception_is_a_bug_of_that_node_alone(engine: Engine, world: World) -> None:
    world.errors["b"] = [ZeroDivisionError("oops")]
    result = await engine.run(graph_of(DIAMOND))
    assert isinstance(result.errors["fake/b"], Bug)
    assert "ZeroDivisionError: oops" in str(result.errors["fake/b"])
    assert result.states["fake/c"] is NodeState.OK


async def test_only_an_unreachable_host_is_tried_again(engine: Engine, world: World) -> None:
    patient = {"a": Operation(POLICY=Policy(retries=2))}
    world.errors["a"] = [HostUnreachable("down"), HostUnreachable("down")]
    assert (await engine.run(graph_of({"a": ()}, operations=patient))).is_ok
    assert world.started == ["a", "a", "a"]
    history = await engine.store.query(runs.attempts_of_nodes, ["fake/a"])
    assert [(item.number, item.state) for item in history] == [
        (3, "ok"),
        (2, "retried"),
        (1, "retried"),
    ]
    world.errors["a"] = [failure()]
    graph = graph_of({"a": ()}, operations=patient)
    result = await engine.run(graph, refresh=["fake/a"])
    assert result.states["fake/a"] is NodeState.FAILED
    assert len(world.started) == 4


async def test_a_node_has_only_its_time(engine: Engine, world: World) -> None:
    world.holds["a"] = asyncio.Event()
    hasty = {"a": Operation(POLICY=Policy(timeout_s=0.01))}
    result = await engine.run(graph_of({"a": ()}, operations=hasty))
    assert isinstance(result.errors["fake/a"], TimedOut)
    assert world.undone == ["a"]
    assert world.half == set()


async def test_refresh_runs_one_node(engine: Engine, world: World) -> None:
    await engine.run(graph_of(DIAMOND))
    world.started.clear()
    await engine.run(graph_of(DIAMOND), refresh=["fake/b"])
    assert world.started == ["b"]
    with pytest.raises(NotFound):
        await engine.run(graph_of(DIAMOND), refresh=["fake/nobody"])


async def test_fifty_requests_make_a_shared_node_once(engine: Engine, world: World) -> None:
    graphs = [graph_of({"shared": (), f"pod{n}": ("shared",)}) for n in range(50)]
    results = await asyncio.gather(*(engine.run(graph) for graph in graphs))
    assert all(result.is_ok for result in results)
    assert world.started.count("shared") == 1
    assert len(world.done) == 51


async def test_other_inputs_wait_and_are_decided_again(engine: Engine, world: World) -> None:
    first = graph_of({"a": ()}, texts={"a": "one"})
    second = graph_of({"a": ()}, texts={"a": "two"})
    third = graph_of({"a": ()}, texts={"a": "two"})
    results = await asyncio.gather(*map(engine.run, (first, second, third)))
    assert [result.outputs["fake/a"].value for result in results] == ["<one>", "<two>", "<two>"]
    assert world.done == ["a", "a"]
    assert world.most["a"] == 1


async def test_events_tell_the_story_to_both_listeners(store: Store, world: World) -> None:
    heard: list[Event] = []
    told: list[Event] = []
    engine = Engine(store, world, emit=heard.append)
    world.errors["b"] = [failure()]
    await engine.run(graph_of({"a": (), "b": ("a",), "c": ("b",)}), emit=told.append)
    assert heard == told
    assert [(event.kind, event.node_id) for event in told] == [
        (EventKind.RUN_PLANNED, ""),
        (EventKind.RUNNING, "fake/a"),
        (EventKind.LOG, "fake/a"),
        (EventKind.OK, "fake/a"),
        (EventKind.RUNNING, "fake/b"),
        (EventKind.LOG, "fake/b"),
        (EventKind.FAILED, "fake/b"),
        (EventKind.UPSTREAM_FAILED, "fake/c"),
        (EventKind.RUN_ENDED, ""),
    ]
    assert told[6].to_json()["error"]["message"] == "it broke"
    await engine.close()


async def test_a_node_takes_a_slot_of_each_class(store: Store, world: World) -> None:
    engine = Engine(store, world, slots={"build": 1})
    slow = Operation(POLICY=Policy(slots=("build", "host")))
    names = [f"n{n}" for n in range(12)]
    operations = dict.fromkeys(names, slow)
    world.turns = dict.fromkeys(names, 3)
    await engine.run(graph_of(dict.fromkeys(names, ()), operations=operations))
    assert world.most["build"] == 1
    quick = Operation(POLICY=Policy(slots=("host",)))
    operations = dict.fromkeys(names, quick)
    graph = graph_of(dict.fromkeys(names, ()), operations=operations)
    await engine.run(graph, refresh=graph.nodes.keys())
    assert world.most["host"] == 4
    await engine.close()


async def test_a_listener_that_breaks_does_not_break_the_run(engine: Engine, world: World) -> None:
    heard = []

    def listen(event: Event) -> None:
        heard.append(event)
        raise BrokenPipeError

    assert (await engine.run(graph_of(DIAMOND), emit=listen)).is_ok
    assert len(heard) == 1


async def test_details_that_are_not_json_do_not_lose_the_failure(
    engine: Engine, world: World
) -> None:
    world.errors["a"] = [CommandFailed("no", details={"set": {1}})]
    result = await engine.run(graph_of({"a": ()}))
    assert result.errors["fake/a"].details == {"set": {1}}
    record = engine.store.records["fake/a"]
    assert record.failure is not None
    assert record.failure["error"]["message"] == "no"


async def test_an_output_that_is_not_json_or_not_an_output_is_a_bug(
    engine: Engine, world: World
) -> None:
    class Odd(Operation):
        async def run(self, ctx: Any, inputs: Any) -> Any:
            return Output(value={1}) if inputs.name == "a" else None  # type: ignore[arg-type] # wrong on purpose

    graph = graph_of({"a": (), "b": ()}, operations=dict.fromkeys("ab", Odd()))
    result = await engine.run(graph)
    assert {type(error) for error in result.errors.values()} == {Bug}
    assert world.undone == ["a", "b"]
    assert engine.store.intents == {}


async def test_history_tells_what_ran_and_why(engine: Engine, world: World) -> None:
    world.errors["b"] = [failure()]
    result = await engine.run(graph_of(DIAMOND))
    (row,) = await engine.store.query(runs.recent_runs, subject="fake")
    assert (row.verb, row.state) == ("test", "failed")
    assert row.nodes == {node_id: str(state) for node_id, state in result.states.items()}
    entries = await engine.store.query(runs.attempts_of_run, row.id)
    assert [(entry.node_id, entry.state) for entry in entries] == [
        ("fake/a", "ok"),
        ("fake/b", "failed"),
        ("fake/c", "ok"),
    ]
    assert entries[0].log == "making a\n"
    assert entries[0].reasons[0]["kind"] == "never-ran"
    assert entries[1].error is not None
    entries_of_log = await engine.store.query(events.after, 0)
    assert sorted(entry.kind for entry in entries_of_log) == [
        *("node-failed", "node-ok", "node-ok"),
        *("node-running", "node-running", "node-running", "run-began", "run-ended"),
    ]
    assert {entry.run_id for entry in entries_of_log} == {row.id}
    ended = entries_of_log[-1]
    assert ended.data["state"] == "failed"
    assert ended.data["nodes"] == {"fake/b": "failed", "fake/d": "upstream-failed"}


async def test_an_empty_graph_is_done(engine: Engine) -> None:
    assert (await engine.run(Graph("test"))).is_ok


async def test_a_result_that_cannot_be_kept_is_a_failure(engine: Engine, world: World) -> None:
    await engine.store.query(
        lambda connection: connection.execute(
            "CREATE TEMP TRIGGER t BEFORE INSERT ON main.node"
            " WHEN new.id = 'fake/a' BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
    )
    graph = graph_of({"a": (), "b": ("a",), "c": ()})
    result = await engine.run(graph)
    assert result.states["fake/a"] is NodeState.FAILED
    assert "disk is full" in result.errors["fake/a"].message
    assert "b" not in world.started, "it began on something that is not durable"
    assert result.states["fake/c"] is NodeState.OK
    await engine.store.query(lambda connection: connection.execute("DROP TRIGGER t"))
    assert (await engine.run(graph)).is_ok


async def test_a_database_that_refuses_everything_fails_nodes_not_the_run(
    engine: Engine, world: World
) -> None:
    await engine.store.query(lambda connection: connection.execute("PRAGMA query_only=1"))
    result = await engine.run(graph_of(DIAMOND))
    assert result.states["fake/a"] is NodeState.FAILED
    assert "cannot be used" in result.errors["fake/a"].message
    assert world.started == []


async def test_events_are_json(engine: Engine, world: World) -> None:
    world.errors["b"] = [failure()]
    told: list[dict[str, Any]] = []
    graph = graph_of({"a": (), "b": ("a",), "c": ("b",)})
    await engine.run(graph, emit=lambda event: told.append(event.to_json()))
    assert json.loads(json.dumps(told)) == told
    assert told[0]["nodes"][0] == {
        "id": "fake/a",
        "kind": "fake",
        "title": "Making",
        "pod": None,
        "verdict": "run",
    }
    assert told[1]["reasons"][0]["kind"] == "never-ran"
    assert told[2]["text"] == "making a"
    assert told[-2] == {
        "kind": "node-upstream-failed",
        "run_id": 1,
        "node_id": "fake/c",
        "pod": None,
        "title": "Making",
        "elapsed_s": 0.0,
        "text": "fake/b",
    }
