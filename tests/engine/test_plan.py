"""Deciding: what is fresh, what runs, and the reason that is given; graphs that are refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from rumpel.engine.events import NodeState
from rumpel.engine.execute import Engine
from rumpel.engine.graph import Graph
from rumpel.engine.operation import ReasonKind
from rumpel.engine.plan import Verdict
from rumpel.errors import Bug, HostUnreachable, NotFound
from tests.engine.fake import FAKE, Inputs, Operation, World, graph_of

DIAMOND: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


async def test_a_changed_input_runs_its_cone_and_stops_at_an_equal_output(
    engine: Engine, world: World
) -> None:
    texts = {"b": "constant"}
    chain: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("b",)}
    await engine.run(graph_of(chain, texts=texts))
    world.started.clear()
    result = await engine.run(graph_of(chain, texts={**texts, "a": "new"}))
    assert world.started == ["a", "b"]
    assert result.states["fake/c"] is NodeState.CACHED


async def test_what_is_gone_by_hand_is_made_again(engine: Engine, world: World) -> None:
    await engine.run(graph_of(DIAMOND))
    del world.things["c"]
    planned = engine.plan(graph_of(DIAMOND))
    assert planned["fake/c"].reasons[0].kind is ReasonKind.PROBE
    assert planned["fake/c"].reasons[0].subject == "c is not there"
    world.started.clear()
    await engine.run(graph_of(DIAMOND))
    assert world.started == ["c"]


async def test_an_unknown_world_blocks_and_destroys_nothing(engine: Engine, world: World) -> None:
    await engine.run(graph_of(DIAMOND))
    world.started.clear()
    world.is_down = True
    result = await engine.run(graph_of(DIAMOND))
    assert result.states["fake/a"] is NodeState.BLOCKED
    assert isinstance(result.errors["fake/a"], HostUnreachable)
    assert result.states["fake/d"] is NodeState.UPSTREAM_FAILED
    assert world.started == []


async def test_the_same_node_of_two_pods_belongs_to_none() -> None:
    graph = graph_of({"a": ()})
    inputs = Inputs(name="a", text="a")
    graph.add(FAKE, "fake/a", inputs, pod="one")
    assert graph.nodes["fake/a"].pod is None
    with pytest.raises(Bug, match="two different nodes"):
        graph.add(FAKE, "fake/a", Inputs(name="a", text="other"))


async def test_cycles_and_missing_nodes_are_named() -> None:
    graph = graph_of({"a": ()})
    other = graph_of({"x": ()})
    handle = other.add(FAKE, "fake/far", Inputs(name="far"))
    graph.add(FAKE, "fake/b", Inputs(name="b"), after=[handle])
    with pytest.raises(Bug, match="fake/b depends on fake/far"):
        graph.validate()
    graph.add(
        FAKE, "fake/far", Inputs(name="far"), after=[graph.add(FAKE, "fake/b", Inputs(name="b"))]
    )
    with pytest.raises(Bug, match="cycle: fake/b -> fake/far -> fake/b"):
        graph.validate()


async def test_a_probe_or_fingerprint_that_raises_costs_its_own_node(
    engine: Engine, world: World
) -> None:
    class Blind(Operation):
        def check(self, world: Any, inputs: Any, output: Any) -> Any:
            raise KeyError("x") if inputs.name == "a" else NotFound("no such thing")

    class Wrong(Operation):
        def fingerprint(self, inputs: Any) -> Any:
            raise TypeError("y")

    operations: dict[str, Operation] = {"a": Blind(), "b": Wrong()}
    graph = graph_of({"a": (), "b": (), "c": ()}, operations=operations)
    assert (await engine.run(graph)).states == {
        "fake/a": NodeState.OK,
        "fake/b": NodeState.FAILED,
        "fake/c": NodeState.OK,
    }
    plan = engine.plan(graph)
    assert [found.verdict for found in plan.nodes.values()] == [
        Verdict.BLOCKED,
        Verdict.BLOCKED,
        Verdict.FRESH,
    ]
    assert "KeyError" in plan["fake/a"].reasons[0].subject
    result = await engine.run(graph)
    assert result.states["fake/a"] is NodeState.BLOCKED
    assert isinstance(result.errors["fake/b"], Bug)


async def test_a_new_version_or_another_output_shape_runs_again(
    engine: Engine, world: World
) -> None:
    await engine.run(graph_of({"a": ()}))
    newer = {"a": Operation(VERSION=2)}
    reason = engine.plan(graph_of({"a": ()}, operations=newer))["fake/a"].reasons[0]
    assert (reason.kind, reason.before, reason.after) == (ReasonKind.VERSION, 1, 2)

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Other:
        name: str

    engine.store.records["fake/a"].fresh = None
    shaped = {"a": Operation(Output=Other)}
    found = engine.plan(graph_of({"a": ()}, operations=shaped))["fake/a"]
    assert found.verdict is Verdict.RUN
    assert "cannot be read" in found.reasons[0].subject


async def test_every_changed_component_is_named(engine: Engine) -> None:
    class Rich(Operation):
        def fingerprint(self, inputs: Any) -> Any:
            return {"config": {"run_args": inputs.up, "image": inputs.text}, "one": inputs.one}

    operations = {"a": Rich()}
    graph = Graph("test")
    graph.add(operations["a"], "n", Inputs(name="a", text="x", up=("--init",)))
    await engine.run(graph)
    for inputs, subjects in (
        (Inputs(name="a", text="x", up=("--init",)), []),
        (Inputs(name="a", text="y", up=("--init",)), ["config.image"]),
        (Inputs(name="a", text="x", up=()), ["config.run_args"]),
        (Inputs(name="a", text="z", up=("--init",), one="1"), ["config.image", "one"]),
    ):
        graph = Graph("test")
        graph.add(operations["a"], "n", inputs)
        found = engine.plan(graph)["n"]
        assert [reason.subject for reason in found.reasons] == subjects
        assert (found.verdict is Verdict.FRESH) == (not subjects)


async def test_a_stale_fingerprint_is_never_probed(engine: Engine, world: World) -> None:
    await engine.run(graph_of(DIAMOND))
    world.probes = 0
    engine.plan(graph_of(DIAMOND, texts={"a": "new"}))
    assert world.probes == 0
    engine.plan(graph_of(DIAMOND))
    assert world.probes == 4


async def test_a_wrong_output_field_is_a_bug_of_the_graph(engine: Engine) -> None:
    graph = Graph("test")
    first = graph.add(FAKE, "a", Inputs(name="a"))
    graph.add(FAKE, "b", Inputs(name="b", one=first.out("nonsense")))
    result = await engine.run(graph)
    assert "nonsense" in result.errors["b"].message


async def test_single_references_and_merged_graphs(engine: Engine, world: World) -> None:
    def pod(name: str) -> Graph:
        graph = Graph("create", subject=name)
        shared = graph.add(FAKE, "shared", Inputs(name="shared", text="s"), pod=name)
        own = graph.add(FAKE, f"own/{name}", Inputs(name=name, one=shared.out("value")), pod=name)
        graph.add(FAKE, f"end/{name}", Inputs(name=f"end-{name}"), after=[own], pod=name)
        return graph

    batch = Graph("create")
    for name in ("one", "two"):
        batch.merge(pod(name))
    result = await engine.run(batch)
    assert result.is_ok
    assert result.outputs["own/two"].value == "<<s>>"
    assert world.started.count("shared") == 1
    assert batch.nodes["shared"].pod is None
    assert batch.nodes["end/two"].pod == "two"
    assert {"from": "shared", "to": "own/one", "fields": ["value"]} in (
        engine.plan(batch).to_json()["edges"]
    )
    assert {"from": "own/one", "to": "end/one", "fields": []} in (
        engine.plan(batch).to_json()["edges"]
    )


@pytest.mark.parametrize("node_id", ["", "a b", "a=b", "a*", "a\n", "x" * 501])
def test_bad_node_ids_are_refused(node_id: str) -> None:
    with pytest.raises(Bug, match="node id"):
        Graph("test").add(FAKE, node_id, Inputs(name="a"))
