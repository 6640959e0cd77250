"""Batches over many hosts, in simulated time: placement, fairness, recovery, and what they cost.

`scripts/long` plays them as large as `docs/scale.md` tells of: 1,000 tasks over 40 hosts.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import rumpel.engine.doit_bridge  # noqa: F401 - else the first effect loads it, inside the loop
from tests.engine.sim import disk
from tests.simulated.fleet import Fleet, tasks_of
from tests.simulated.life import Life, simulated

IS_LONG = os.environ.get("RUMPEL_LONG") == "1"
TASKS, HOSTS = (1000, 40) if IS_LONG else (60, 4)
SEEDS = range(int(os.environ.get("RUMPEL_SEED", "0")), 5 if IS_LONG else 3)
pytestmark = [
    pytest.mark.timeout(1800 if IS_LONG else 60),
    # What a killed daemon was doing is thrown away.
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
]


@pytest.fixture(autouse=True)
def _simulated() -> Iterator[None]:
    with simulated():
        yield


def fleet(seed: int, hosts: int = HOSTS) -> tuple[Fleet, list[dict[str, Any]]]:
    rng = random.Random(seed)
    return Fleet(rng, hosts, 8), tasks_of(TASKS, rng)


def all_done(life: Life) -> None:
    states = life.states()
    bad = {name: state for name, state in states.items() if state != "done"}
    assert life.run is not None
    assert not bad, {name: str(life.run.states[name].error) for name in list(bad)[:5]}
    assert life.fleet.wrong == []


@pytest.mark.parametrize("seed", SEEDS)
def test_it_spreads_and_ends(seed: int) -> None:
    world, tasks = fleet(seed)
    life = Life(world, disk())
    life.begin(tasks)
    assert life.rest()
    all_done(life)
    assert set(world.begun.values()) == {1}, "no agent was told twice"
    life.end()


@pytest.mark.parametrize("seed", SEEDS)
def test_agents_share_the_room(seed: int) -> None:
    """Each as many at work as it may have, however the file is sorted."""
    world, tasks = fleet(seed)
    limits = {"claude": 4, "codex": 6, "gemini": 2}
    life = Life(world, disk())
    life.begin(tasks, concurrency={"agents": limits})
    assert life.rest()
    all_done(life)
    assert world.most == limits
    least = max(world.busy_s[agent] / number for agent, number in limits.items())
    assert life.loop.now < 1.5 * least + 4000, "the agent with most to do was kept waiting"
    life.end()


@pytest.mark.parametrize("seed", SEEDS)
def test_tries_that_fail(seed: int) -> None:
    world, tasks = fleet(seed)
    world.fails = {task["name"]: world.rng.choice((1, 2)) for task in tasks[::7]}
    life = Life(world, disk())
    life.begin(tasks)
    assert life.rest()
    all_done(life)
    expected = {task["name"]: 1 + world.fails.get(task["name"], 0) for task in tasks}
    assert world.begun == expected
    life.end()


@pytest.mark.parametrize("seed", SEEDS)
def test_hosts_are_lost_and_come_back(seed: int) -> None:
    world, tasks = fleet(seed)
    rng = random.Random(seed)
    life = Life(world, disk())
    life.begin(tasks)
    cut: Counter[str] = Counter()
    for _ in range(6):
        if life.rest(rng.uniform(60, 600)):
            break
        name = rng.choice(list(world.hosts))
        is_machine = rng.random() < 0.5
        if is_machine:
            cut.update(world.containers[one] for one in world.hosts[name].running)
        world.lose(name, is_machine=is_machine)
        life.rest(rng.uniform(5, 900))
        world.found(name)
    assert life.rest()
    all_done(life)
    more = {name: count for name, count in world.begun.items() if count > 1 + cut[name]}
    assert not more, "told again though it was at work all the time"
    life.end()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_daemon_is_killed_again_and_again(seed: int) -> None:
    world, tasks = fleet(seed)
    rng, database = random.Random(seed), disk()
    origin, graves = 0.0, list[set[asyncio.Task[Any]]]()
    for _ in range(5):
        life = Life(world, database, origin=origin)
        life.begin(tasks)
        life.rest(rng.uniform(1, 400))
        origin, grave = life.kill()
        graves.append(grave)
    life = Life(world, database, origin=origin)
    life.begin(tasks)
    assert life.rest()
    all_done(life)
    assert set(world.begun.values()) == {1}, "no agent was told twice"
    life.end()


def test_tasks_of_a_lost_host_move_if_they_may() -> None:
    """Each is told once more, in one more pod, which has the work of the old one; those stay."""
    world, tasks = fleet(1)
    world.move = "10m"
    life = Life(world, disk())
    life.begin(tasks)
    assert not life.rest(130.0)  # two rounds of snapshots
    name = next(iter(world.hosts))
    there = {world.containers[one] for one in world.hosts[name].running}
    world.lose(name, is_machine=True)
    assert life.rest()
    all_done(life)
    assert life.run is not None
    moved = {task for task, state in life.run.states.items() if state.claim.left}
    assert moved == there
    assert {task for task, count in world.begun.items() if count > 1} == moved
    for task in moved:
        state = life.run.states[task]
        assert state.row()["left"] == [{"pod": task, "host": name}]
        if life.taken.get(f"id-{task}"):
            assert life.given[state.pod].source_id == f"id-{task}"
    assert any(life.taken.get(f"id-{task}") for task in moved)
    assert len(life.app.pods.all()) == len(tasks) + len(moved)
    life.end()


def test_a_host_without_room_gets_nothing_until_it_has_some() -> None:
    world, tasks = fleet(2)
    low = world.hosts["ssh://h00"]
    low.free_disk = 1 << 30
    life = Life(world, disk())
    life.begin(tasks)
    life.rest(120.0)
    assert not low.running
    assert life.run is not None
    row = next(row for row in life.run.row()["hosts"] if row["host"] == low.name)
    assert row["why"] == "ssh://h00 has 1.1 GB of disk free, less than min_disk 2.1 GB"
    waiting = [state.said for state in life.run.states.values() if state.state == "queued"]
    assert waiting
    assert all(said == f"waiting for room: {row['why']}" for said in waiting)
    low.free_disk = 50 << 30
    assert life.rest()
    all_done(life)
    assert any(host == low.name for _, host in world.placed)
    life.end()
