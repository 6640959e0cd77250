"""Fifty tasks of one file, beside fifty raw containers and the work that nobody can do without."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from pods import PARALLEL, tools_image
from world import MINI, Figure, Raw, Rumpel, pairs, timed

WORK_S = 1.0
COUNT = 50
COMMIT = "git commit -q --allow-empty -m work"


def measure(rumpel: Rumpel, raw: Raw, rounds: int, *, count: int = COUNT) -> list[Figure]:
    repo = rumpel.repo("batch", json.dumps({"image": MINI, "runArgs": ["--network=none"]}))
    rumpel.run("create", "warm", cwd=repo)
    image = tools_image(raw, rumpel)
    mine, theirs, names = [], [], list[str]()
    for number in range(rounds):
        rumpel.run("delete", "--force", *names, cwd=repo) if names else None
        theirs.append(timed(lambda: raw.wait(raw.many(image, count, PARALLEL))) + WORK_S * 1e3)
        raw.clear()
        names = write(repo, number, count)
        mine.append(timed(lambda: rumpel.run("batch", "run", "batch.json", "-q", cwd=repo)))
    again, listed = pairs(
        lambda n: rumpel.run("batch", "run", "batch.json", "-q", cwd=repo),
        lambda n: rumpel.run("list", "-q", cwd=repo),
        7,
    )
    rumpel.run("delete", "--force", *names, cwd=repo)
    floor = f"{count} raw create + start, {PARALLEL} at once, + {WORK_S:g} s"
    took, base = statistics.median(mine), statistics.median(theirs)
    return [
        Figure(f"{count} tasks of {WORK_S:g} s", took, "ms", base, floor, 1.25),
        Figure("the same again, nothing changed", again, "ms", listed, "list", 5.0),
    ]


def write(repo: Path, number: int, count: int) -> list[str]:
    """Another round is other tasks."""
    names = [f"r{number}-{index}" for index in range(count)]
    tasks: list[dict[str, Any]] = [
        {"name": name, "command": f"sleep {WORK_S:g}; {COMMIT}", "keep": True} for name in names
    ]
    file = {"name": f"r{number}", "concurrency": count, "tasks": tasks}
    (repo / "batch.json").write_text(json.dumps(file))
    return names
