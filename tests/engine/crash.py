"""Kill the engine at every fault point, or at any moment, and see that the next run converges.

Run as a program, because it forks: `crash.py FOLDER sweep` kills at each point of a fixed graph,
`crash.py FOLDER SEED COUNT` kills random graphs at random points or times. Prints one JSON object
with the number of kills and the list of what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rumpel.cache.store import Store
from rumpel.engine import faults
from rumpel.engine.execute import Engine
from rumpel.engine.operation import OK, Probe, changed, gone
from tests.engine.fake import Operation, graph_of, value_of

Edges = dict[str, tuple[str, ...]]
DIAMOND: Edges = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}


class Files:
    """A world that survives: a thing is a folder with a value and, when it is complete, a seal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def read(self, name: str) -> str | None:
        try:
            return (self.folder / name / "seal").read_text()
        except FileNotFoundError:
            return None

    def note(self, text: str) -> None:
        with (self.folder / "log").open("a") as file:
            file.write(f"{text}\n")

    def made(self) -> Counter[str]:
        log = self.folder / "log"
        return Counter(log.read_text().splitlines() if log.exists() else ())


class Durable(Operation):
    """Makes a folder in two steps; adopts what an earlier attempt completed."""

    def check(self, world: Any, inputs: Any, output: Any) -> Probe:
        value = world.read(inputs.name)
        if value is None:
            return gone(inputs.name)
        return OK if value == output.value else changed(inputs.name)

    async def run(self, ctx: Any, inputs: Any) -> Any:
        files, value = ctx.world, value_of(inputs)
        if files.read(inputs.name) != value:
            (files.folder / inputs.name).mkdir(exist_ok=True)
            ctx.fault("half")
            await asyncio.sleep(0.0002)
            files.note(f"{inputs.name} {value}")
            (files.folder / inputs.name / "seal").write_text(value)
            ctx.fault("made")
        return self.Output(value=value)

    async def undo(self, ctx: Any, inputs: Any) -> None:
        (ctx.world.folder / inputs.name / "seal").unlink(missing_ok=True)


OPERATION = Durable()


async def request(folder: Path, edges: Edges, texts: dict[str, str]) -> dict[str, Any]:
    async with Store(folder / "state.db") as store:
        engine = Engine(store, Files(folder / "world"))
        crashed = await engine.recover()
        operations = dict.fromkeys(edges, OPERATION)
        result = await engine.run(graph_of(edges, texts=texts, operations=operations))
        again = engine.plan(graph_of(edges, texts=texts, operations=operations))
        await engine.close()
        return {
            "crashed": len(crashed),
            "ok": result.is_ok,
            "outputs": {name: output.value for name, output in result.outputs.items()},
            "fresh": again.is_fresh,
            "open": len(store.intents),
        }


def in_child(work: Any, *, kill_after_s: float | None = None) -> int:
    """Run `work` in a forked process; its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def crash_and_rerun(
    folder: Path,
    edges: Edges,
    texts: dict[str, str],
    *,
    fault: str | None = None,
    kill_after_s: float | None = None,
) -> list[str]:
    """What is wrong after a kill and a clean rerun; nothing, if it is right."""
    folder.mkdir(exist_ok=True)

    def killed() -> None:
        faults.configure(fault)
        asyncio.run(request(folder, edges, texts))

    def rerun() -> None:
        found = asyncio.run(request(folder, edges, texts))
        (folder / "result.json").write_text(json.dumps(found))

    code = in_child(killed, kill_after_s=kill_after_s)
    if fault is not None and code != -signal.SIGKILL:
        return [f"{fault}: the process ended with {code}"]
    if in_child(rerun) != 0:
        return [f"{fault}: the rerun failed"]
    found = json.loads((folder / "result.json").read_text())
    expected = expected_values(edges, texts)
    wrong = []
    if not (found["ok"] and found["fresh"] and found["open"] == 0):
        wrong.append(f"{fault}: {found}")
    if found["outputs"] != {f"fake/{name}": value for name, value in expected.items()}:
        wrong.append(f"{fault}: outputs {found['outputs']}")
    made = Files(folder / "world").made()
    # The note is written before the seal: a kill between the two is a making that did not happen.
    twice = [text for text, count in made.items() if count > 1]
    if twice and kill_after_s is None:
        wrong.append(f"{fault}: made twice: {twice}")
    return wrong


def expected_values(edges: Edges, texts: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, needs in edges.items():
        found[name] = f"<{texts.get(name, name)}{''.join(found[need] for need in needs)}>"
    return found


def points(folder: Path) -> list[str]:
    """Every hit of every fault point in an undisturbed run, as `name:n`."""
    folder.mkdir()
    log = folder / "points"

    def work() -> None:
        faults.configure(None, str(log))
        asyncio.run(request(folder, DIAMOND, {}))

    in_child(work)
    seen: Counter[str] = Counter()
    found = []
    for name in log.read_text().split():
        seen[name] += 1
        found.append(f"{name}:{seen[name]}")
    return found


def sweep(folder: Path) -> dict[str, Any]:
    found = points(folder / "clean")
    wrong: list[str] = []
    for number, point in enumerate(found):
        wrong += crash_and_rerun(folder / str(number), DIAMOND, {}, fault=f"{point}:kill")
    return {"kills": len(found), "points": sorted(set(found)), "wrong": wrong}


def random_graph(rng: random.Random) -> Edges:
    names = [f"n{number}" for number in range(rng.randint(1, 9))]
    return {
        name: tuple(sorted(rng.sample(names[:place], rng.randint(0, min(place, 3)))))
        for place, name in enumerate(names)
    }


def undisturbed_s(folder: Path) -> float:
    """How long a small request takes on this machine now: kills have to fall into that."""
    folder.mkdir()
    begun = time.monotonic()
    in_child(lambda: asyncio.run(request(folder, DIAMOND, {})))
    return time.monotonic() - begun


def storm(folder: Path, seed: int, count: int) -> dict[str, Any]:
    """Three kills of each graph, its inputs changing between them, before it may end."""
    span_s = min(undisturbed_s(folder / f"clean{number}") for number in range(3))
    wrong: list[str] = []
    interrupted = 0
    for number in range(seed, seed + count):
        rng = random.Random(number)
        edges = random_graph(rng)
        for _ in range(3):
            texts = {name: rng.choice("xyz") for name in edges if rng.random() < 0.3}
            wrong += [
                f"seed {number}: {text}"
                for text in crash_and_rerun(
                    folder / f"s{number}", edges, texts, kill_after_s=rng.uniform(0.0, span_s)
                )
            ]
            result = json.loads((folder / f"s{number}" / "result.json").read_text())
            interrupted += result["crashed"] > 0
    return {"kills": count * 3, "interrupted": interrupted, "wrong": wrong}


if __name__ == "__main__":
    where = Path(sys.argv[1])
    if sys.argv[2] == "sweep":
        print(json.dumps(sweep(where)))  # noqa: T201 - its answer to the test
    else:
        print(json.dumps(storm(where, int(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - its answer to the test
