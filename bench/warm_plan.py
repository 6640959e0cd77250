"""A plan of 50 real pods that are as they should be: its time, and what it asks of the engine.

The daemon's own parts run in a process of their own (`--child`), so that its calls are counted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from world import MINI, Figure, Rumpel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.daemon.app import App

PODS = 50
HOOKS = ("onCreateCommand", "updateContentCommand", "postCreateCommand", "postStartCommand")
PORTS = [9301, 9302, 9303]
SETTLED_CPU_S = 0.05
"""Of the daemon's own CPU in a second."""


def measure(rumpel: Rumpel, rounds: int = 21) -> list[Figure]:
    config = {
        "image": MINI,
        "runArgs": ["--network=none"],
        "forwardPorts": PORTS,
        **dict.fromkeys(HOOKS, "true"),
    }
    repo = rumpel.repo("warm-plan", json.dumps(config))
    rumpel.run("create", "w", "--count", str(PODS), cwd=repo)
    rumpel.run("daemon", "stop", "--force", cwd=repo)
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(repo), str(rounds)],
        env=rumpel.env,
        cwd="/",
        stdout=subprocess.PIPE,
        check=True,
    )
    found = json.loads(done.stdout)
    rumpel.run("delete", "--force", *rumpel.run("list", "-q", cwd=repo).split(), cwd=repo)
    what = f"{PODS} pods, {found['nodes']} nodes"
    return [
        Figure(f"warm plan of {what}", found["plan_ms"], "ms", bar=50, note="bar in ms"),
        Figure("the same with building the graph", found["whole_ms"], "ms"),
        Figure("the same, calls of the engine's API", found["calls"], "", bar=0),
    ]


class Calls:
    """Of the engine's API, by this process; `asked` are those of the task that counts."""

    def __init__(self) -> None:
        from rumpel.adapters.docker_http import HttpClient

        self.all = self.asked = 0
        send, me = HttpClient._send, asyncio.current_task()

        async def counted(client: HttpClient, *args: object, **more: object) -> object:
            self.all += 1
            self.asked += asyncio.current_task() is me  # not a link that is made beside this
            return await send(client, *args, **more)

        HttpClient._send = counted

    async def settle(self, app: App) -> None:
        """Links, first imports and parked streams are done."""
        cpu_s, before = 0.0, -1
        while (
            time.process_time() - cpu_s > SETTLED_CPU_S
            or self.all != before
            or app.world.snapshot("local") is None
        ):
            cpu_s, before = time.process_time(), self.all
            await asyncio.sleep(1.0)
        self.asked = 0


async def child(repo: Path, rounds: int) -> dict[str, float]:
    from rumpel.daemon import app, prebuilds, requests
    from rumpel.graphs.create import create

    calls, plans, wholes = Calls(), [], []
    async with app.running() as running:
        await calls.settle(running)
        specs = [pod.spec for pod in running.pods.all() if pod.spec.repo.work_tree == str(repo)]
        for _ in range(rounds):
            gc.collect()
            begun = time.perf_counter()
            bases = await requests.bases_of(specs[0])
            contents = await prebuilds.contents(running, specs, bases)
            graph = create(specs, bases=bases, contents=contents)
            built = time.perf_counter()
            plan = running.engine.plan(graph)
            plans.append((time.perf_counter() - built) * 1e3)
            wholes.append((time.perf_counter() - begun) * 1e3)
            if not plan.is_fresh or len(specs) != PODS:
                stale = [item for item in plan.nodes.values() if item.verdict != "fresh"]
                raise SystemExit(f"{len(specs)} pods, not fresh: {stale[:3]}")
        asked = calls.asked
    return {
        "plan_ms": statistics.median(plans),
        "whole_ms": statistics.median(wholes),
        "nodes": len(graph.nodes),
        "calls": asked,
    }


if __name__ == "__main__" and sys.argv[1:2] == ["--child"]:
    print(json.dumps(asyncio.run(child(Path(sys.argv[2]), int(sys.argv[3])))))
