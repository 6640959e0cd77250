"""The engine beside doit: deciding that 1,000 nodes are fresh, and the cost of running one.

Both decide the same thing over the same shape (10 layers, each node takes 2 outputs of the layer
above): has an input changed, and has an output this node uses changed. doit runs in this process
with its sqlite3 backend, `config_changed` and two `result_dep`s a task; building the tasks is not
counted, nor is building our graph.

    python bench/engine.py [--json] [--nodes 1000] [--rounds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import ninja
from doit.control import TaskControl
from doit.dependency import Dependency, SqliteDB
from doit.reporter import ZeroReporter
from doit.runner import Runner
from doit.task import Stream, Task, result_dep
from doit.tools import config_changed

from rumpel.cache.store import Store
from rumpel.engine.execute import Engine
from rumpel.engine.graph import Graph
from rumpel.engine.operation import OK, Policy, Probe, gone

LAYERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    name: str
    config: tuple[str, ...]
    up: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    value: str


class Nothing:
    """An operation that does nothing, with a warm probe."""

    KIND = "nothing"
    TITLE = "Doing nothing"
    VERSION = 1
    POLICY = Policy(slots=("bench",))
    Inputs: type[Any] = Inputs
    Output: type[Any] = Output

    def fingerprint(self, inputs: Any) -> Mapping[str, Any]:
        return {"config": inputs.config, "up": inputs.up}

    def check(self, world: Any, inputs: Any, output: Any) -> Probe:
        return OK if inputs.name in world else gone("it is not there")

    async def run(self, ctx: Any, inputs: Any) -> Any:
        ctx.world.add(inputs.name)
        return Output(value=f"result of {inputs.name}")

    async def undo(self, ctx: Any, inputs: Any) -> None: ...


def shape(nodes: int) -> dict[str, tuple[str, ...]]:
    width = nodes // LAYERS
    return {
        f"n{layer}-{column}": ()
        if layer == 0
        else (f"n{layer - 1}-{column}", f"n{layer - 1}-{(column + 1) % width}")
        for layer in range(LAYERS)
        for column in range(width)
    }


def graph_of(edges: Mapping[str, tuple[str, ...]]) -> Graph:
    graph, operation, handles = Graph("bench"), Nothing(), {}
    for name, needs in edges.items():
        up = tuple(handles[need].out("value") for need in needs)
        inputs = Inputs(name=name, config=("--init", name), up=up)
        handles[name] = graph.add(operation, name, inputs)
    return graph


def doit_tasks(edges: Mapping[str, tuple[str, ...]]) -> list[Task]:
    return [
        Task(
            name,
            [(lambda name: f"result of {name}", [name])],
            uptodate=[
                config_changed({"config": ["--init", name]}),
                *(result_dep(need) for need in needs),
            ],
            io={"capture": False},
        )
        for name, needs in edges.items()
    ]


def doit_run(tasks: list[Task], manager: Dependency) -> None:
    control = TaskControl(tasks)
    control.process(None)
    runner = Runner(manager, ZeroReporter(io.StringIO(), {}), stream=Stream(0))
    if runner.run_all(control.task_dispatcher()) != 0:
        raise SystemExit("doit failed")


@dataclass
class Figures:
    plan_s: list[float] = field(default_factory=list)
    doit_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    doit_cpu_s: list[float] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)


def timed(work: Callable[[], Any]) -> float:
    gc.collect()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class Doit:
    """doit over a database that knows every task; `no_op` as a daemon would do it, rows in RAM."""

    def __init__(self, folder: Path, edges: Mapping[str, tuple[str, ...]]) -> None:
        self.database = str(folder / "doit.db")
        self.edges = edges
        tasks, manager = doit_tasks(edges), Dependency(SqliteDB, self.database)
        before = time.process_time()
        doit_run(tasks, manager)
        self.cpu_s = time.process_time() - before

    def no_op(self) -> float:
        manager, tasks = Dependency(SqliteDB, self.database), doit_tasks(self.edges)
        for task in tasks:
            manager._get(task.name, "result:")
        return timed(lambda: doit_run(tasks, manager))


async def engine_figures(
    folder: Path, edges: Mapping[str, tuple[str, ...]], rounds: int
) -> Figures:
    """Runs of everything in new databases; no-op plans and no-op doit runs, turn about."""
    found = Figures()
    for number in range(3):
        doit = Doit(folder / str(number), edges)
        found.doit_cpu_s.append(doit.cpu_s)
        async with Store(folder / str(number) / "engine.db") as store:
            engine = Engine(store, set(), slots={"bench": 64})
            graph = graph_of(edges)
            gc.collect()
            before, cpu_before = store.commits, time.process_time()
            result = await engine.run(graph)
            found.cpu_s.append(time.process_time() - cpu_before)
            found.commits.append(store.commits - before)
            if not (result.is_ok and engine.plan(graph).is_fresh):
                raise SystemExit("the engine failed")
            for _ in range(rounds // 3):
                graph = graph_of(edges)
                found.plan_s.append(timed(partial(engine.plan, graph)))
                found.doit_s.append(doit.no_op())
            await engine.close()
    return found


async def chain(folder: Path, length: int) -> None:
    """One node after the other: no two can share a commit but an end and the next beginning."""
    async with Store(folder / "chain.db") as store:
        engine = Engine(store, set())
        names = [f"c{number}" for number in range(length)]
        needs = [(), *((name,) for name in names[:-1])]
        result = await engine.run(graph_of(dict(zip(names, needs, strict=True))))
        await engine.close()
        if not result.is_ok:
            raise SystemExit("the engine failed")


def syncs(length: int = 200) -> float | None:
    """fsync and fdatasync a node of a chain, counted by strace; None without it."""
    if shutil.which("strace") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "trace"
        command = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-o", str(log)]
        child = [sys.executable, __file__, "--chain", folder, "--nodes", str(length)]
        done = subprocess.run([*command, *child], check=False, capture_output=True)
        if done.returncode:
            return None
        return len(log.read_text().splitlines()) / length


async def plans(folder: Path, nodes: int, rounds: int = 9) -> tuple[float, float | None]:
    """Median seconds of a no-op plan, with the records in RAM as a daemon has them, and of ninja.

    Turn about, because a busy machine swings more than they differ.
    """
    edges = shape(nodes)
    mine, theirs = [], []
    async with Store(folder / f"{nodes}.db") as store:
        engine = Engine(store, set(), slots={"bench": 64})
        if not (await engine.run(graph_of(edges))).is_ok:
            raise SystemExit("the engine failed")
        graph = graph_of(edges)
        with ninja.no_op(edges) as run_ninja:
            for _ in range(rounds):
                mine.append(timed(partial(engine.plan, graph)))
                if run_ninja is not None:
                    theirs.append(run_ninja())
        await engine.close()
    return statistics.median(mine), statistics.median(theirs) if theirs else None


def beside_ninja() -> dict[str, Any]:
    """No-op plans of 1,000 and 10,000 nodes, and ninja's whole process over the same shapes."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        for nodes in (1000, 10_000):
            plan_s, ninja_s = asyncio.run(plans(Path(name), nodes))
            found[f"plan_{nodes}_ms"] = plan_s * 1e3
            found[f"ninja_{nodes}_ms"] = None if ninja_s is None else ninja_s * 1e3
    return found


def measure(nodes: int = 1000, rounds: int = 15) -> dict[str, Any]:
    """All figures; times in ms for the whole graph, or in us for a node."""
    with tempfile.TemporaryDirectory() as name:
        for number in range(3):
            (Path(name) / str(number)).mkdir()
        found = asyncio.run(engine_figures(Path(name), shape(nodes), rounds))
    plan_s, doit_s = statistics.median(found.plan_s), statistics.median(found.doit_s)
    return {
        "nodes": nodes,
        "plan_ms": plan_s * 1e3,
        "doit_ms": doit_s * 1e3,
        "plan_to_doit": plan_s / doit_s,
        "best_plan_ms": min(found.plan_s) * 1e3,
        "best_doit_ms": min(found.doit_s) * 1e3,
        "node_cpu_us": min(found.cpu_s) / nodes * 1e6,
        "doit_node_cpu_us": min(found.doit_cpu_s) / nodes * 1e6,
        "commits_a_node": max(found.commits) / nodes,
        "syncs_a_node_of_a_chain": syncs(),
        **beside_ninja(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--chain", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.chain:
        asyncio.run(chain(Path(args.chain), args.nodes))
        return
    figures = measure(args.nodes, args.rounds)
    if args.json:
        print(json.dumps(figures, indent=2))
        return
    bars = {"plan_to_doit": 0.2, "plan_ms": 12.0, "node_cpu_us": 200.0}
    bars["syncs_a_node_of_a_chain"] = 2.0
    for key, value in figures.items():
        bar = f"   bar {bars[key]:g}" if key in bars else ""
        shown = "-" if value is None else f"{value:.3f}"
        print(f"{key:26} {shown:>10}{bar}")


if __name__ == "__main__":
    main()
