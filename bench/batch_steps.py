#!/usr/bin/env python3
"""How long the steps of a batch's pods take, as ninths: what `tests/simulated/fleet.py` draws from.

    bench/batch_steps.py [TASKS]

80 tasks of which 8 run at once, as many as a host has room for unless told otherwise. Needs what
bench/run needs.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict

import world
from world import MINI, Rumpel

TASKS, SLOTS = 80, 8
KINDS = ("container", "clone", "leave")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else TASKS
    with world.rumpel() as rumpel:
        took = measure(rumpel, count)
    for kind in KINDS:
        ninths = statistics.quantiles(took[kind], n=9)
        print(f"{kind} of {len(took[kind])}:", ", ".join(f"{value:.2f}" for value in ninths))


def measure(rumpel: Rumpel, count: int) -> dict[str, list[float]]:
    """Seconds, by kind of step; the first pod, which waits for the image, is not among them."""
    repo = rumpel.repo("steps", json.dumps({"image": MINI, "runArgs": ["--network=none"]}))
    rumpel.run("create", "warm", cwd=repo)
    names = [f"t{number}" for number in range(count)]
    commit = "sleep 1; git commit -q --allow-empty -m work"
    tasks = [{"name": name, "command": commit, "verify": "true"} for name in names]
    file = {"concurrency": {"per_host": SLOTS}, "tasks": tasks}
    (repo / "batch.json").write_text(json.dumps(file))
    rumpel.run("batch", "run", "batch.json", "-q", cwd=repo)
    took = defaultdict[str, list[float]](list)
    for name in names:
        said = json.loads(rumpel.run("graph", name, "--json", cwd=repo))
        for node in said["data"]["nodes"]:
            if node.get("duration_s") is not None:
                took[node["kind"]].append(node["duration_s"])
    report = json.loads(rumpel.run("batch", "report", "--format", "json", cwd=repo))["data"]
    for task in report["tasks"]:
        for step in task["steps"]:
            if step["kind"] == "leave":  # its pod stops
                took["leave"].append(step["duration_s"])
    rumpel.run("delete", "--force", "warm", *names, cwd=repo)
    return took


if __name__ == "__main__":
    main()
