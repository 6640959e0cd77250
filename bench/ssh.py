"""An SSH host over loopback beside this machine: OpenSSH's server and a dockerd of its own."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pods
from world import DEV, MINI, Figure, Raw, Rumpel, timed

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
HOST = "ssh://plain"
STREAM_MB = 200


@contextmanager
def far(rumpel: Rumpel) -> Iterator[Any]:
    """`ssh://plain` for `rumpel`, whose home gets the configuration."""
    from tests.support.engine import Engine
    from tests.support.far_engine import Dockerd
    from tests.support.sshd import Sshd

    home: Any = SimpleNamespace(path=rumpel.folder)
    (rumpel.folder / "home").symlink_to(rumpel.folder)
    near = Engine.connect()
    with Dockerd() as engine, Sshd(home, near, "rumpel-sshd:1", far=engine) as machine:
        engine.load(near, MINI, DEV)
        yield machine


def measure(rumpel: Rumpel, raw: Raw, rounds: int) -> list[Figure]:
    repo = rumpel.repo("ssh", pods.CONFIG % MINI)
    with far(rumpel) as machine:
        try:
            for name, more in (("near", ()), ("away", ("--host", HOST))):
                rumpel.run("create", name, *more, cwd=repo)
            return [
                *life(rumpel, repo, rounds),
                commit(rumpel, raw, machine, repo, rounds),
                stream(rumpel, repo),
                reconnect(rumpel, machine, repo, rounds),
                listing(rumpel, machine, repo, rounds),
            ]
        finally:
            names = rumpel.run("list", "-q", cwd=repo, check=False).split()
            rumpel.run("delete", "--force", *names, cwd=repo, check=False)


def alternating(
    near: Callable[[int], float], away: Callable[[int], float], rounds: int
) -> tuple[float, float]:
    """Medians in ms of (away, near); each call times itself."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        found[1].append(near(number))
        found[0].append(away(number))
    return statistics.median(found[0]), statistics.median(found[1])


def life(rumpel: Rumpel, repo: Path, rounds: int) -> list[Figure]:
    def create(kind: str, *more: str) -> Callable[[int], float]:
        return lambda n: timed(lambda: rumpel.run("create", f"{kind}-{n}", *more, cwd=repo))

    def enter(name: str) -> Callable[[int], float]:
        return lambda _: timed(lambda: rumpel.run("enter", name, "--", "true", cwd=repo))

    made = alternating(create("n"), create("a", "--host", HOST), rounds)
    names = [f"{kind}-{n}" for n in range(rounds) for kind in "na"]
    rumpel.run("delete", "--force", *names, cwd=repo)
    entered = alternating(enter("near"), enter("away"), 3 * rounds)
    against = "the same on this machine"
    return [
        Figure("create on an SSH host", made[0], "ms", made[1], against, 1.25),
        Figure("enter -- true on an SSH host", entered[0], "ms", entered[1], against, 1.25),
    ]


def commit(rumpel: Rumpel, raw: Raw, machine: Any, repo: Path, rounds: int) -> Figure:
    """From the move of the branch in the pod, by its file's time, to the ref here."""
    containers = {
        "near": pods.container_of(rumpel, raw, "near"),
        "away": machine.far.engine.containers("rumpel.pod=away", "rumpel.kind=pod")[0]["Id"],
    }
    engines = {"near": machine.engine, "away": machine.far.engine}
    roots = {
        name: Path(f"/proc/{engines[name].inspect(one)['State']['Pid']}/root")
        for name, one in containers.items()
    }
    script = "git commit -q --allow-empty -m x && git rev-parse HEAD"

    def one(name: str) -> Callable[[int], float]:
        def run(_: int) -> float:
            done = engines[name].exec(containers[name], "sh", "-c", script, cwd="/workspaces/ssh")
            oid = done.stdout.strip()
            branch = roots[name] / "workspaces/ssh/.git/refs/heads" / name
            ref = repo / ".git/refs/remotes/rumpelpod" / name
            while not (ref.exists() and ref.read_text().strip() == oid):
                time.sleep(0.0005)  # what is timed is the file's own time, not when it is seen
            return (ref.stat().st_mtime_ns - branch.stat().st_mtime_ns) / 1e6

        return run

    away, near = alternating(one("near"), one("away"), 5 * rounds)
    return Figure("commit -> ref on an SSH host", away, "ms", near, "the same on this machine", 1.6)


def stream(rumpel: Rumpel, repo: Path) -> Figure:
    """Bytes of a pod's program to this process."""
    script = f"dd if=/dev/zero bs=1048576 count={STREAM_MB} 2>/dev/null"

    def read(name: str) -> float:
        def run() -> None:
            argv = [*rumpel.program, "enter", name, "--", "sh", "-c", script]
            subprocess.run(argv, cwd=repo, env=rumpel.env, stdout=subprocess.DEVNULL, check=True)

        return 50 / STREAM_MB * timed(run)

    away, near = alternating(lambda _: read("away"), lambda _: read("near"), 3)
    note = f"bar: 1,000 ms, 50 MB/s; on this machine {near:.0f} ms"
    return Figure("50 MB of an exec over SSH", away, "ms", bar=1000, note=note)


def reconnect(rumpel: Rumpel, machine: Any, repo: Path, rounds: int) -> Figure:
    """All sessions are killed; then a command is run."""
    took = []
    for _ in range(rounds):
        machine.kill_sessions()
        took.append(timed(lambda: rumpel.run("enter", "away", "--", "true", cwd=repo)))
        time.sleep(2)  # the next round shall not fall into the end of this one's recovery
    return Figure("enter after the session was killed", statistics.median(took), "ms", bar=1000)


def listing(rumpel: Rumpel, machine: Any, repo: Path, rounds: int) -> Figure:
    """Three hosts, of which one then answers nobody."""

    def look(_: int) -> float:
        return timed(lambda: rumpel.run("list", cwd=repo))

    alive = statistics.median(look(n) for n in range(3 * rounds))
    machine.engine.api.pause(machine.container)
    try:
        rumpel.run("list", cwd=repo)
        dead = statistics.median(look(n) for n in range(3 * rounds))
        time.sleep(20)  # keepalive has told by then
        later = statistics.median(look(n) for n in range(3 * rounds))
    finally:
        machine.engine.api.unpause(machine.container)
    return Figure("list with a dead host", max(dead, later), "ms", alive, "the host alive", 1.2)
