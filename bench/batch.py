"""Fifty tasks of one file, beside fifty raw containers and the work that nobody can do without."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import Any

from pods import PARALLEL, tools_image
from world import MINI, Figure, Raw, Rumpel, pairs, timed

CONFIG = {"image": MINI, "runArgs": ["--network=none"]}
WORK_S, SETUP_S = 1.0, 10.0
COUNT = 50
COMMIT = "git commit -q --allow-empty -m work"


def measure(rumpel: Rumpel, raw: Raw, rounds: int, *, count: int = COUNT) -> list[Figure]:
    repo = rumpel.repo("batch", json.dumps(CONFIG))
    rumpel.run("create", "warm", cwd=repo)
    image = tools_image(raw, rumpel)
    mine, theirs, names = [], [], list[str]()
    for number in range(rounds):
        rumpel.run("delete", "--force", *names, cwd=repo) if names else None
        theirs.append(timed(lambda: raw.wait(raw.many(image, count, PARALLEL))) + WORK_S * 1e3)
        raw.clear()
        names = write(repo, f"r{number}", count)
        mine.append(run(rumpel, repo))
    again, listed = pairs(
        lambda n: run(rumpel, repo), lambda n: rumpel.run("list", "-q", cwd=repo), 7
    )
    rumpel.run("delete", "--force", *names, cwd=repo)
    floor = f"{count} raw create + start, {PARALLEL} at once, + {WORK_S:g} s"
    took, base = statistics.median(mine), statistics.median(theirs)
    return [
        Figure(f"{count} tasks of {WORK_S:g} s", took, "ms", base, floor, 1.25),
        Figure("the same again, nothing changed", again, "ms", listed, "list", 5.0),
        set_up(rumpel, took, count),
        *one_after_the_other(rumpel, repo, took, count),
    ]


def set_up(rumpel: Rumpel, without: float, count: int) -> Figure:
    """What each pod would have to wait for, once: tasks tell which run of it they stand on."""
    command = f"sleep {SETUP_S:g}; cat /proc/sys/kernel/random/uuid >/tmp/set-up"
    repo = rumpel.repo("set-up", json.dumps({**CONFIG, "onCreateCommand": command}))
    commit = "cp /tmp/set-up . && git add set-up && git commit -qm work"
    names = write(repo, "s", count, f"sleep {WORK_S:g}; {commit}")
    took = run(rumpel, repo)
    ran = {rumpel.git(repo, "show", f"rumpelpod/{name}:set-up") for name in names}
    rumpel.run("delete", "--force", *names, cwd=repo)
    times = "once" if len(ran) == 1 else f"{len(ran)} times"
    floor = f"the first row + {SETUP_S:g} s"
    what = f"{count} tasks with a set-up of {SETUP_S:g} s, which ran {times}"
    return Figure(what, took, "ms", without + SETUP_S * 1e3, floor, 1.1)


def one_after_the_other(rumpel: Rumpel, repo: Path, mine: float, count: int) -> list[Figure]:
    """The reference CLI, where it is installed (npm install -g @devcontainers/cli)."""
    program = shutil.which("devcontainer")
    if program is None:
        return []
    folders = [rumpel.folder / f"vs-{number}" for number in range(count)]
    for folder in folders:
        rumpel.git(rumpel.folder, "clone", "-q", str(repo), str(folder))

    def up(folder: Path) -> None:
        words = [program, "up", "--workspace-folder", str(folder)]
        subprocess.run(words, check=True, capture_output=True, env=rumpel.env)

    took = timed(lambda: [up(folder) for folder in folders])
    for folder in folders:
        label = f"label=devcontainer.local_folder={folder}"
        find = ["docker", "ps", "-aq", "--filter", label]
        found = subprocess.run(find, check=True, capture_output=True, text=True).stdout.split()
        subprocess.run(["docker", "rm", "-f", *found], check=True, capture_output=True)
    return [Figure(f"{count} tasks", mine, "ms", took, f"{count} devcontainer up", 0.2)]


def run(rumpel: Rumpel, repo: Path) -> float:
    return timed(lambda: rumpel.run("batch", "run", "batch.json", "-q", cwd=repo))


def write(repo: Path, name: str, count: int, command: str = "") -> list[str]:
    """Another name is another batch, of other tasks."""
    names = [f"{name}-{index}" for index in range(count)]
    command = command or f"sleep {WORK_S:g}; {COMMIT}"
    tasks: list[dict[str, Any]] = [
        {"name": name, "command": command, "keep": True} for name in names
    ]
    file = {"name": name, "concurrency": count, "tasks": tasks}
    (repo / "batch.json").write_text(json.dumps(file))
    return names
