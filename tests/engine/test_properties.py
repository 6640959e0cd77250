"""Random graphs, random trouble: what must hold whatever happens."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumpel.cache.store import Store
from rumpel.engine.events import DONE, Event, EventKind, NodeState
from rumpel.engine.execute import Engine
from rumpel.engine.graph import Graph, Handle
from rumpel.engine.operation import Policy
from rumpel.engine.plan import Verdict
from rumpel.errors import Bug, HostUnreachable
from tests.engine.fake import Operation, World, failure, graph_of

Edges = dict[str, tuple[str, ...]]
FEW = settings(max_examples=int(os.environ.get("RUMPEL_EXAMPLES", "40")))
RETRYING = Operation(POLICY=Policy(retries=2, slots=("narrow",)))
PLAIN = Operation(POLICY=Policy(slots=("narrow", "wide")))


@st.composite
def graphs(draw: st.DrawFn, most: int = 9) -> tuple[Edges, Edges]:
    """Edges with values and edges of order alone, each towards earlier nodes."""
    names = [f"n{number}" for number in range(draw(st.integers(1, most)))]
    values: Edges = {}
    order: Edges = {}
    for place, name in enumerate(names):
        before = st.sampled_from(names[:place] or ["none"])
        values[name] = tuple(draw(st.lists(before, max_size=min(place, 3), unique=True)))
        order[name] = tuple(draw(st.lists(before, max_size=min(place, 1), unique=True)))
    return values, order


texts = st.dictionaries(
    st.sampled_from([f"n{number}" for number in range(9)]),
    st.sampled_from(["constant", "x", "y"]),
)
seeds = st.integers(0, 1 << 30)


def within(work: Callable[[Store, World], Awaitable[None]]) -> None:
    """Run `work` with a store and a world of its own, and time to get stuck."""

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.timeout(20), Store(Path(folder) / "s.db") as store:
                await work(store, World())

    asyncio.run(main())


def expected(edges: Edges, words: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, needs in edges.items():
        text = words.get(name, name)
        above = "".join(found[need] for need in needs)
        found[name] = "constant" if text == "constant" else f"<{text}{above}>"
    return found


def values(outputs: dict[str, Any]) -> dict[str, str]:
    return {node_id.removeprefix("fake/"): output.value for node_id, output in outputs.items()}


def shuffled(graph: Graph, rng: random.Random, world: World) -> Graph:
    world.turns = {node.inputs.name: rng.randint(0, 4) for node in graph.nodes.values()}
    return graph


@FEW
@given(graphs(), texts, texts, seeds)
def test_order_values_and_doing_nothing_twice(
    shape: tuple[Edges, Edges], first: dict[str, str], second: dict[str, str], seed: int
) -> None:
    edges, order = shape

    async def work(store: Store, world: World) -> None:
        engine = Engine(store, world)
        rng = random.Random(seed)
        for words in (first, second):
            told: list[Event] = []
            graph = shuffled(graph_of(edges, texts=words, after=order), rng, world)
            result = await engine.run(graph, emit=told.append)
            assert result.is_ok
            assert values(result.outputs) == expected(edges, words)
            assert world.things == expected(edges, words)
            in_order(graph, told)
            world.started.clear()
            again = graph_of(edges, texts=words, after=order)
            assert engine.plan(again).is_fresh
            assert (await engine.run(again)).is_ok
            assert world.started == []
        await engine.close()

    within(work)


def in_order(graph: Graph, told: list[Event]) -> None:
    """No node began before all it needs had ended well; each ended once."""
    done: set[str] = set()
    for event in told:
        if event.kind is EventKind.RUNNING:
            assert done >= set(graph.nodes[event.node_id].deps)
        elif event.kind in (EventKind.OK, EventKind.CACHED):
            assert event.node_id not in done
            done.add(event.node_id)


@FEW
@given(graphs(), texts, texts, seeds)
def test_a_plan_says_what_a_run_does(
    shape: tuple[Edges, Edges], first: dict[str, str], second: dict[str, str], seed: int
) -> None:
    edges, order = shape

    async def work(store: Store, world: World) -> None:
        engine, rng = Engine(store, world), random.Random(seed)
        some: Edges = {}
        for name, needs in edges.items():
            if rng.random() < 0.8 and set(needs) <= some.keys():
                some[name] = needs
        world.errors = {name: [failure()] for name in some if rng.random() < 0.1}
        await engine.run(graph_of(some, texts=first))
        world.errors.clear()
        for name in edges:
            if rng.random() < 0.15:
                world.things.pop(name, None)
        graph = graph_of(edges, texts=second, after=order)
        refresh = [node_id for node_id in graph.nodes if rng.random() < 0.1]
        plan = engine.plan(graph, refresh=refresh)
        world.started.clear()
        assert (await engine.run(graph, refresh=refresh)).is_ok
        ran = {f"fake/{name}" for name in world.started}
        will = {found.id for found in plan.nodes.values() if found.verdict is Verdict.RUN}
        may = {found.id for found in plan.nodes.values() if found.verdict is Verdict.MAY_RUN}
        assert will <= ran <= will | may
        assert len(world.started) == len(ran)
        assert all(found.reasons for found in plan.nodes.values() if found.id in will | may)
        assert world.things == expected(edges, second)
        await engine.close()

    within(work)


@FEW
@given(graphs(6), st.lists(texts, min_size=2, max_size=5), seeds)
def test_many_requests_with_trouble_converge(
    shape: tuple[Edges, Edges], wishes: list[dict[str, str]], seed: int
) -> None:
    """Failures, lost hosts, cancellations, the same nodes with other inputs, all at once."""
    edges, order = shape

    async def work(store: Store, world: World) -> None:
        rng = random.Random(seed)
        engine = Engine(store, world, slots={"narrow": 2, "wide": 3}, retry_delay_s=0.0001)
        operations = {name: RETRYING if rng.random() < 0.5 else PLAIN for name in edges}
        world.errors = {name: trouble(rng) for name in edges}
        world.turns = {name: rng.randint(0, 5) for name in edges}
        requests = []
        for words in wishes:
            graph = graph_of(edges, texts=words, after=order, operations=operations)
            requests.append(asyncio.ensure_future(engine.run(graph)))
            if rng.random() < 0.5:
                await asyncio.sleep(rng.random() * 0.002)
            if rng.random() < 0.4:
                rng.choice(requests).cancel()
        results = await asyncio.gather(*requests, return_exceptions=True)
        for words, result in zip(wishes, results, strict=True):
            if isinstance(result, BaseException):
                assert isinstance(result, asyncio.CancelledError)
                continue
            assert set(result.states.values()) <= set(NodeState)
            wanted = expected(edges, words)
            assert values(result.outputs).items() <= wanted.items()
            assert {state in DONE for state in result.states.values()} == {True} or result.errors
        assert engine.flights == {}
        assert store.intents == {}
        assert world.half == set()
        assert max((world.most[name] for name in edges), default=0) <= 1
        assert world.most["narrow"] <= 2
        assert world.most["wide"] <= 3
        world.errors.clear()
        last = graph_of(edges, texts=wishes[-1], after=order, operations=operations)
        assert (await engine.run(last)).is_ok
        assert world.things == expected(edges, wishes[-1])
        await engine.close()

    within(work)


def trouble(rng: random.Random) -> list[BaseException]:
    kinds: list[Callable[[], BaseException]] = [
        failure,
        lambda: HostUnreachable("away"),
        lambda: ValueError("odd"),
    ]
    return [rng.choice(kinds)() for _ in range(rng.randint(0, 2))] if rng.random() < 0.4 else []


@FEW
@given(graphs(), seeds)
def test_a_failure_changes_no_other_record(shape: tuple[Edges, Edges], seed: int) -> None:
    edges, _ = shape

    async def work(store: Store, world: World) -> None:
        rng = random.Random(seed)
        engine = Engine(store, world)
        await engine.run(graph_of(edges))
        before = {node_id: record.fp for node_id, record in store.records.items()}
        broken = rng.choice(list(edges))
        world.errors[broken] = [failure()]
        result = await engine.run(graph_of(edges), refresh=[f"fake/{broken}"])
        assert {node_id: record.fp for node_id, record in store.records.items()} == before
        marked = [node_id for node_id, record in store.records.items() if record.failure]
        assert marked == [f"fake/{broken}"]
        assert list(result.errors) == marked
        await engine.close()

    within(work)


@FEW
@given(st.integers(2, 8), st.integers(0, 7), seeds)
def test_a_cycle_is_refused_before_anything_runs(size: int, extra: int, seed: int) -> None:
    rng = random.Random(seed)
    names = [f"n{number}" for number in range(size)]
    ring = rng.sample(names, rng.randint(1, size))
    graph = Graph("test")
    for name in names:
        if name in ring:
            needs = [ring[ring.index(name) - 1]]
        else:
            needs = rng.sample(names, min(extra, size))
        inputs = graph_of({name: ()}).nodes[f"fake/{name}"].inputs
        graph.add(PLAIN, name, inputs, after=[Handle(need) for need in needs])

    async def work(store: Store, world: World) -> None:
        with pytest.raises(Bug, match="cycle") as caught:
            await Engine(store, world).run(graph)
        path = str(caught.value).split(": ")[1].split(" -> ")
        assert path[0] == path[-1]
        assert all(dep in graph.nodes[node_id].deps for dep, node_id in pairwise(path))
        assert world.started == []

    within(work)
