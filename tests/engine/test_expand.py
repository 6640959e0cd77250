"""Graphs that grow: barriers, lists known only at run time, graphs inside graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from rumpel.engine.events import Event, EventKind, NodeState
from rumpel.engine.execute import Engine
from rumpel.engine.graph import Graph, Handle
from rumpel.engine.operation import OK, Policy, gone
from rumpel.engine.plan import Verdict
from rumpel.errors import Bug
from tests.engine.fake import FAKE, Inputs, Operation, World, failure, graph_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    items: tuple[str, ...]


class Lister(Operation):
    """Finds out at run time what there is to do: reads a configuration, a task file."""

    async def run(self, ctx: Any, inputs: Any) -> Any:
        made = await FAKE.run(ctx, inputs)
        return Listed(items=tuple(made.value.strip("<>").split(",")))

    def check(self, world: Any, inputs: Any, output: Any) -> Any:
        world.probes += 1
        return OK if inputs.name in world.things else gone(inputs.name)


LISTER = Lister(KIND="list", Output=Listed)


def batch(text: str, *, operation: Operation = FAKE) -> Graph:
    """A list, one node for each item, and one that gathers what they made."""

    def follow(output: Listed) -> Graph:
        more = Graph("more")
        done: list[Handle] = [
            more.add(operation, f"fake/{item}", Inputs(name=item, text=item, one=""))
            for item in output.items
        ]
        up = tuple(handle.out("value") for handle in done)
        more.add(FAKE, "fake/all", Inputs(name="all", text="all", up=up))
        return more

    graph = Graph("batch")
    listed = graph.add(LISTER, "list/it", Inputs(name="it", text=text))
    graph.expand(listed, follow)
    return graph


async def test_a_list_is_mapped_when_it_is_known(engine: Engine, world: World) -> None:
    planned = engine.plan(batch("a,b"))
    assert planned.is_open
    assert planned.to_json()["nodes"][0]["is_open"]
    told: list[Event] = []
    result = await engine.run(batch("a,b"), emit=told.append)
    assert result.is_ok
    assert result.outputs["fake/all"].value == "<all<a><b>>"
    (grown,) = [event for event in told if event.kind is EventKind.RUN_EXPANDED]
    assert [node["id"] for node in grown.nodes] == ["fake/a", "fake/b", "fake/all"]


async def test_expanding_twice_is_the_same_graph(engine: Engine, world: World) -> None:
    await engine.run(batch("a,b"))
    world.started.clear()
    planned = engine.plan(batch("a,b"))
    assert planned.is_fresh
    assert not planned.is_open
    assert [*planned.nodes] == ["list/it", "fake/a", "fake/b", "fake/all"]
    assert (await engine.run(batch("a,b"))).is_ok
    assert world.started == []


async def test_an_added_item_runs_its_own_cone_only(engine: Engine, world: World) -> None:
    await engine.run(batch("a,b"))
    world.started.clear()
    assert (await engine.run(batch("a,b,c"))).is_ok
    assert world.started == ["it", "c", "all"]


async def test_what_follows_a_fresh_barrier_is_planned(engine: Engine, world: World) -> None:
    await engine.run(batch("a,b"))
    del world.things["b"]
    planned = engine.plan(batch("a,b"))
    verdicts = {node_id: found.verdict for node_id, found in planned.nodes.items()}
    assert verdicts == {
        "list/it": Verdict.FRESH,
        "fake/a": Verdict.FRESH,
        "fake/b": Verdict.RUN,
        "fake/all": Verdict.MAY_RUN,
    }


async def test_barriers_behind_barriers(engine: Engine, world: World) -> None:
    """A directory of directories: each item is a list of its own."""
    graph = Graph("nested")

    def outer(output: Listed) -> Graph:
        more = Graph("more")
        for item in output.items:
            handle = more.add(LISTER, f"list/{item}", Inputs(name=item, text=f"{item}1,{item}2"))
            more.expand(handle, inner)
        return more

    def inner(output: Listed) -> Graph:
        more = Graph("more")
        for item in output.items:
            more.add(FAKE, f"fake/{item}", Inputs(name=item, text=item))
        return more

    graph.expand(graph.add(LISTER, "list/top", Inputs(name="top", text="a,b")), outer)
    result = await engine.run(graph)
    assert result.is_ok
    assert sorted(result.states) == [
        *("fake/a1", "fake/a2", "fake/b1", "fake/b2", "list/a", "list/b", "list/top")
    ]
    assert engine.plan(graph).is_fresh


async def test_failures_reach_what_was_added(engine: Engine, world: World) -> None:
    world.errors["a"] = [failure()]
    result = await engine.run(batch("a,b"))
    assert result.states == {
        "list/it": NodeState.OK,
        "fake/a": NodeState.FAILED,
        "fake/b": NodeState.OK,
        "fake/all": NodeState.UPSTREAM_FAILED,
    }
    assert (await engine.run(batch("a,b"))).is_ok


async def test_what_stands_on_a_failure_before_it_is_added_fails_too(
    engine: Engine, world: World
) -> None:
    graph = graph_of({"early": ()})
    late = graph.add(LISTER, "list/it", Inputs(name="it", text="a"))

    def follow(output: Listed) -> Graph:
        more = graph_of({"early": ()})
        more.add(FAKE, "fake/x", Inputs(name="x", text="x"), after=[Handle("fake/early")])
        return more

    graph.expand(late, follow)
    world.errors["early"] = [failure()]
    world.turns["it"] = 50
    result = await engine.run(graph)
    assert result.states["fake/x"] is NodeState.UPSTREAM_FAILED


@pytest.mark.parametrize("trouble", ["raises", "cycle", "contradicts"])
async def test_a_bad_expansion_fails_its_barrier_alone(
    engine: Engine, world: World, trouble: str
) -> None:
    graph = graph_of({"other": ()})
    barrier = graph.add(LISTER, "list/it", Inputs(name="it", text="a"))

    def follow(output: Listed) -> Graph:
        if trouble == "raises":
            raise ValueError("odd list")
        more = Graph("more")
        if trouble == "cycle":
            inputs = Inputs(name="x", text="x")
            more.add(FAKE, "fake/x", inputs, after=[Handle("fake/x")])
        else:
            more.add(FAKE, "fake/other", Inputs(name="other", text="another"))
        return more

    graph.expand(barrier, follow)
    for _ in range(2):  # unknown at first, then known from the record: the same word
        result = await engine.run(graph)
        assert isinstance(result.errors["list/it"], Bug)
        assert result.states["list/it"] is NodeState.FAILED
        assert result.states["fake/other"] in (NodeState.OK, NodeState.CACHED)
    assert world.started.count("it") == 1


async def test_a_graph_inside_a_graph_keeps_its_name(engine: Engine, world: World) -> None:
    whole = Graph("recreate")
    whole.merge(graph_of({"save": ()}), group="snapshot")
    whole.merge(graph_of({"make": ()}), group="create")
    outer = Graph("batch")
    outer.merge(whole, group="pod a")
    nodes = {node["id"]: node["group"] for node in engine.plan(outer).to_json()["nodes"]}
    assert nodes == {"fake/save": "pod a/snapshot", "fake/make": "pod a/create"}
    told: list[Event] = []
    world.errors["save"] = [failure()]
    await engine.run(outer, emit=told.append)
    (failed,) = [event for event in told if event.kind is EventKind.FAILED]
    assert failed.to_json()["group"] == "pod a/snapshot"


async def test_fail_fast_holds_for_what_is_added_later(engine: Engine, world: World) -> None:
    graph = graph_of({"bad": ()})
    graph.merge(batch("a,b", operation=Operation(POLICY=Policy(slots=("x",)))))
    world.errors["bad"] = [failure()]
    world.turns["it"] = 50
    result = await engine.run(graph, fail_fast=True)
    assert result.states["list/it"] is NodeState.OK
    assert "a" not in world.started
    assert {result.states["fake/a"], result.states["fake/b"]} == {NodeState.CANCELLED}
