"""A batch over three engines, and the daemon while fifty tasks run."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pods import used
from world import MINI, Figure, Rumpel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
NAMES = ("one", "two")
TASKS, RUNNING = 15, 50
COMMIT = "git commit -q --allow-empty -m work"
DOCKERFILE = f"FROM {MINI}\nRUN head -c 20000000 /dev/urandom >/big\n"
WAIT_S = 300.0


@contextmanager
def hosts(rumpel: Rumpel) -> Iterator[list[str]]:
    """`ssh://one` and `ssh://two`: OpenSSH's server and a dockerd of its own each."""
    from tests.support.engine import Engine
    from tests.support.far_engine import Dockerd
    from tests.support.sshd import Sshd

    near = Engine.connect()
    with ExitStack() as stack:
        config, known = "", ""
        for name in NAMES:
            home: Any = SimpleNamespace(path=rumpel.folder / f"ssh-{name}")
            (home.path / "home").mkdir(parents=True)
            engine = stack.enter_context(Dockerd())
            engine.load(near, MINI)
            far = stack.enter_context(Sshd(home, near, "rumpel-sshd:1", far=engine))
            known += (far.folder / "known_hosts").read_text()
            config += f"Host {name}\n  Port {far.ports['plain']}\n  HostName 127.0.0.1\n"
            config += f"  User root\n  IdentitiesOnly yes\n  IdentityFile {far.folder}/id_test\n"
        folder = rumpel.folder / ".ssh"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "config").write_text(config)
        (folder / "known_hosts").write_text(known)
        yield ["local", *(f"ssh://{name}" for name in NAMES)]


def spread(rumpel: Rumpel) -> list[Figure]:
    config = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}
    repo = rumpel.repo("three", json.dumps(config))
    (repo / "Dockerfile").write_text(DOCKERFILE)
    rumpel.git(repo, "add", "-A")
    rumpel.git(repo, "commit", "-qm", "image")
    tasks = [{"name": f"h{number}", "command": f"sleep 1; {COMMIT}"} for number in range(TASKS)]
    with hosts(rumpel) as pool:
        file = {"name": "three", "hosts": pool, "tasks": tasks}
        (repo / "batch.json").write_text(json.dumps(file))
        try:
            rumpel.run("batch", "run", "batch.json", "-q", "--trust", cwd=repo)
            rows = status(rumpel, repo)["tasks"]
            load = Counter(str(row["host"]) for row in rows)
            how = images(rumpel, repo)
        finally:
            names = rumpel.run("list", "-q", cwd=repo, check=False).split()
            rumpel.run("delete", "--force", *names, cwd=repo, check=False)
    most, least = max(load[one] for one in pool), min(load[one] for one in pool)
    note = "bar in pods"
    return [
        Figure(f"{TASKS} tasks over 3 hosts: most less least", most - least, "", bar=1, note=note),
        Figure("the image was built", how["built"], "times", bar=1, note="bar in times"),
        Figure("and moved", how["moved"], "times", bar=2, note="bar in times"),
    ]


def images(rumpel: Rumpel, repo: Path) -> Counter[str]:
    """How each host got its image; from a copy, since the daemon lets nobody else in."""
    for file in (rumpel.folder / "s" / "rumpel").glob("state.db*"):
        shutil.copy(file, rumpel.folder / f"copy{file.suffix}")
    found = sqlite3.connect(rumpel.folder / "copy.db")
    rows = found.execute("SELECT output FROM node WHERE kind='image' AND output IS NOT NULL")
    told = [json.loads(row[0]) for row in rows]
    found.close()
    return Counter(str(one["how"]) for one in told if one["tag"].startswith("rumpel/three"))


def running(rumpel: Rumpel, seconds: float) -> list[Figure]:
    """Each says a line every two seconds."""
    repo = rumpel.repo("running", json.dumps({"image": MINI, "runArgs": ["--network=none"]}))
    names = [f"w{number}" for number in range(RUNNING)]
    tasks = [{"name": name, "command": "while sleep 2; do echo at work; done"} for name in names]
    file = {"name": "running", "concurrency": RUNNING, "tasks": tasks}
    (repo / "batch.json").write_text(json.dumps(file))
    try:
        rumpel.run("batch", "run", "batch.json", "--no-wait", "-q", cwd=repo)
        end = time.monotonic() + WAIT_S
        while not all(row["state"] == "working" for row in status(rumpel, repo)["tasks"]):
            if time.monotonic() > end:
                raise SystemExit("not all tasks are at work")
            time.sleep(1)
        time.sleep(10)  # what came with their beginning is over by then
        share, rss = used(rumpel, seconds)
    finally:
        rumpel.run("batch", "cancel", "running", "-q", cwd=repo, check=False)
        rumpel.run("delete", "--force", *names, cwd=repo, check=False)
    return [
        Figure(f"daemon with {RUNNING} running tasks, memory", rss, "MB", bar=220, note="in MB"),
        Figure(f"daemon with {RUNNING} running tasks, CPU", share, "%", bar=5.0, note="in %"),
    ]


def status(rumpel: Rumpel, repo: Path) -> dict[str, Any]:
    said = json.loads(rumpel.run("batch", "status", "--json", cwd=repo))
    found: dict[str, Any] = said["data"]
    return found
