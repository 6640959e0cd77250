"""Policies: retries, reuse, slots of a host, what goes first, stopping at a failure."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from rumpel.cache import runs
from rumpel.cache.store import Store
from rumpel.engine.events import Event, EventKind, NodeState
from rumpel.engine.execute import Engine
from rumpel.engine.graph import Graph
from rumpel.engine.operation import Policy, ReasonKind
from rumpel.engine.plan import Verdict
from rumpel.engine.retry import Retry, delay_s, rule_of
from rumpel.errors import CommandFailed, HostUnreachable, Interrupted, RumpelError, TimedOut
from rumpel.tasks import lifecycle
from tests.engine.fake import Inputs, Operation, World, failure, graph_of


class HostBusy(HostUnreachable):
    pass


RULES = {HostUnreachable: Retry(2), TimedOut: Retry(1, first_s=0.0)}


def test_the_nearest_class_of_an_error_decides() -> None:
    assert rule_of(RULES, HostBusy("x")) == Retry(2)
    assert rule_of({**RULES, HostBusy: Retry(5)}, HostBusy("x")) == Retry(5)
    assert rule_of(RULES, failure()) is None
    assert rule_of(3, HostBusy("x")) == Retry(3)
    assert rule_of(3, TimedOut("x")) is None


def test_a_command_of_the_user_never_runs_twice_unasked() -> None:
    everything = {RumpelError: Retry(9)}
    assert rule_of(everything, CommandFailed("exit 1")) is None
    assert rule_of(everything, Interrupted("cancelled")) is None
    assert rule_of(lifecycle.POLICY.retries, HostUnreachable("gone in the middle")) == Retry(0)


def test_delays_double_within_their_bounds() -> None:
    rule = Retry(9, most_s=4.0)
    for number, whole in ((1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 4.0), (900, 4.0)):
        found = [delay_s(rule, number, first_s=0.5) for _ in range(50)]
        assert whole / 2 <= min(found)
        assert max(found) <= whole
        assert len(set(found)) > 1, "without jitter all nodes come back at once"
    assert delay_s(Retry(1, first_s=60.0), 1, first_s=0.5) >= 30.0


async def test_each_class_has_its_own_number_of_attempts(engine: Engine, world: World) -> None:
    patient = {"a": Operation(POLICY=Policy(retries=RULES))}
    world.errors["a"] = [HostBusy("1"), TimedOut("2")]
    result = await engine.run(graph_of({"a": ()}, operations=patient))
    assert isinstance(result.errors["fake/a"], TimedOut), "its one retry was used up by then"
    history = await engine.store.query(runs.attempts_of_nodes, ["fake/a"])
    assert [(item.number, item.state) for item in history] == [(2, "failed"), (1, "retried")]
    world.errors["a"] = [TimedOut("1"), HostBusy("2")]
    assert (await engine.run(graph_of({"a": ()}, operations=patient))).is_ok


async def test_each_attempt_has_its_own_time(engine: Engine, world: World) -> None:
    policy = Policy(timeout_s=0.02, retries={TimedOut: Retry(1, first_s=0.0)})
    world.holds["a"] = asyncio.Event()
    operations = {"a": Operation(POLICY=policy)}
    result = await engine.run(graph_of({"a": ()}, operations=operations))
    assert isinstance(result.errors["fake/a"], TimedOut)
    assert world.started == ["a", "a"]
    assert world.undone == ["a"], "once, at the end: the second attempt meets what the first left"


async def test_what_is_never_reused_runs_each_time(engine: Engine, world: World) -> None:
    operations = {"a": Operation(POLICY=Policy(is_reused=False))}
    edges: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",)}
    for _ in range(2):
        assert (await engine.run(graph_of(edges, operations=operations))).is_ok
    assert world.started == ["a", "b", "a"], "b has the same input, so it is not run again"
    planned = engine.plan(graph_of(edges, operations=operations))
    assert planned["fake/a"].reasons[0].kind is ReasonKind.ALWAYS
    assert planned["fake/b"].verdict is Verdict.MAY_RUN


async def test_what_is_too_old_is_made_anew(tmp_path: Path, world: World) -> None:
    now = 1000.0
    operations = {"a": Operation(POLICY=Policy(max_age_s=60.0))}
    graph = graph_of({"a": (), "b": ("a",)}, operations=operations)
    async with Store(tmp_path / "s.db", now=lambda: now) as store:
        engine = Engine(store, world)
        await engine.run(graph)
        now = 1060.0
        assert engine.plan(graph).is_fresh
        now = 1061.0
        (reason,) = engine.plan(graph)["fake/a"].reasons
        assert (reason.kind, reason.before, reason.after) == (ReasonKind.AGE, 61, 60.0)
        await engine.run(graph)
        assert world.started == ["a", "b", "a"]
        now = 500.0  # somebody set the clock back
        assert engine.plan(graph).is_fresh
        await engine.close()


async def test_a_policy_of_one_node_is_no_part_of_its_fingerprint(
    engine: Engine, world: World
) -> None:
    await engine.run(graph_of({"a": ()}))
    graph = Graph("test")
    inputs = Inputs(name="a", text="a")
    graph.add(Operation(), "fake/a", inputs, policy=Policy(timeout_s=1.0, max_age_s=3600.0))
    assert engine.plan(graph).is_fresh


@dataclass(frozen=True, slots=True, kw_only=True)
class HostInputs(Inputs):
    host: str = ""


async def test_a_class_is_counted_for_each_host(store: Store, world: World) -> None:
    engine = Engine(store, world, slots={"build": 2, "small/build": 1})
    graph = Graph("test")
    for number in range(9):
        host = "small" if number % 3 == 0 else "large"
        operation = Operation(POLICY=Policy(slots=("build",)), Inputs=HostInputs, TITLE=host)
        name = f"{host}{number}"
        world.turns[name] = 3
        graph.add(operation, f"fake/{name}", HostInputs(name=name, text=name, host=host))
    told: list[Event] = []
    await engine.run(graph, emit=told.append)
    running = {"small": 0, "large": 0}
    most = dict(running)
    for event in told:
        if event.kind in (EventKind.RUNNING, EventKind.OK):
            running[event.title] += 1 if event.kind is EventKind.RUNNING else -1
            most[event.title] = max(most[event.title], running[event.title])
    assert most == {"small": 1, "large": 2}
    assert {event.text for event in told if event.kind is EventKind.WAITING} == {
        "small/build",
        "large/build",
    }
    await engine.close()


async def test_a_person_is_served_before_a_batch(store: Store, world: World) -> None:
    engine = Engine(store, world, slots={"one": 1})
    single = Operation(POLICY=Policy(slots=("one",)))
    batch = [f"n{number}" for number in range(5)]
    world.holds["n0"] = asyncio.Event()
    graph = graph_of(dict.fromkeys(batch, ()), operations=dict.fromkeys(batch, single))
    slow = asyncio.ensure_future(engine.run(graph))
    while not world.started:  # noqa: ASYNC110 - a fake world tells nobody
        await asyncio.sleep(0)
    both = graph_of({"n3": (), "mine": ()}, operations={"n3": single, "mine": single})
    quick = asyncio.ensure_future(engine.run(both, is_interactive=True))
    await asyncio.sleep(0)
    world.holds["n0"].set()
    assert (await quick).is_ok
    assert (await slow).is_ok
    assert world.started == ["n0", "n3", "mine", "n1", "n2", "n4"]
    await engine.close()


async def test_the_longest_way_goes_first(store: Store, world: World) -> None:
    """From history: `long` is last in the graph, but a slow node stands behind it."""
    engine = Engine(store, world, slots={"one": 1})
    single = Operation(POLICY=Policy(slots=("one",)))
    edges: dict[str, tuple[str, ...]] = {"x": (), "y": (), "long": (), "end": ("long",)}
    operations = dict.fromkeys(edges, single)
    await engine.run(graph_of(edges, operations=operations))
    for name, seconds in (("x", 5.0), ("y", 7.0), ("long", 1.0), ("end", 60.0)):
        store.records[f"fake/{name}"].elapsed_s = seconds
    world.started.clear()
    await engine.run(
        graph_of(edges, operations=operations), refresh=[f"fake/{name}" for name in edges]
    )
    # The first one found the slot free; the others were asked for while it ran.
    assert world.started == ["x", "long", "end", "y"]
    await engine.close()


async def test_fail_fast_begins_nothing_more_and_ends_what_runs(store: Store, world: World) -> None:
    engine = Engine(store, world, slots={"two": 2})
    pair = Operation(POLICY=Policy(slots=("two",)))
    edges: dict[str, tuple[str, ...]] = {"bad": (), "slow": (), "queued": (), "after": ("slow",)}
    operations = dict.fromkeys(edges, pair)
    world.errors["bad"] = [failure()]
    world.turns["slow"] = 30
    result = await engine.run(graph_of(edges, operations=operations), fail_fast=True)
    assert result.states == {
        "fake/bad": NodeState.FAILED,
        "fake/slow": NodeState.OK,
        "fake/queued": NodeState.CANCELLED,
        "fake/after": NodeState.CANCELLED,
    }
    assert result.errors["fake/after"].message == "another step failed"
    assert world.undone == ["bad"]
    kept = await engine.run(graph_of(edges, operations=operations))
    assert kept.is_ok
    assert "slow" not in world.started[2:], "what had begun was worth its while"
    await engine.close()


async def test_what_fail_fast_cancelled_is_not_ended_twice(engine: Engine, world: World) -> None:
    """Else the run ends while something of it still runs (found by seed 78178 of the histories)."""
    edges: dict[str, tuple[str, ...]] = {"bad": (), "short": (), "long": (), "after": ("short",)}
    world.errors["bad"] = [failure()]
    world.turns |= {"short": 20, "long": 60}
    result = await engine.run(graph_of(edges), fail_fast=True)
    assert result.states == {
        "fake/bad": NodeState.FAILED,
        "fake/short": NodeState.OK,
        "fake/long": NodeState.OK,
        "fake/after": NodeState.CANCELLED,
    }


@pytest.mark.parametrize("fail_fast", [False, True])
async def test_a_shared_node_is_not_taken_from_others(
    store: Store, world: World, fail_fast: bool
) -> None:
    engine = Engine(store, world, slots={"one": 1})
    single = Operation(POLICY=Policy(slots=("one",)))
    operations: dict[str, Any] = {"shared": single, "first": single}
    world.holds["first"] = asyncio.Event()
    hold = asyncio.ensure_future(engine.run(graph_of({"first": ()}, operations=operations)))
    while not world.started:  # noqa: ASYNC110 - a fake world tells nobody
        await asyncio.sleep(0)
    patient = asyncio.ensure_future(engine.run(graph_of({"shared": ()}, operations=operations)))
    await asyncio.sleep(0)
    world.errors["bad"] = [failure()]
    hasty = asyncio.ensure_future(
        engine.run(graph_of({"shared": (), "bad": ()}, operations=operations), fail_fast=fail_fast)
    )
    while world.errors["bad"] != []:  # noqa: ASYNC110 - a fake world tells nobody
        await asyncio.sleep(0)
    world.holds["first"].set()
    assert (await patient).is_ok
    assert (await hold).is_ok
    shared = (await hasty).states["fake/shared"]
    assert shared is (NodeState.CANCELLED if fail_fast else NodeState.OK)
    await engine.close()
