"""Commits in both directions: what our hook costs, and how the ways hold when many use them."""

from __future__ import annotations

import contextlib
import json
import random
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pods import CONFIG, WORKSPACE, container_of
from world import MINI, Figure, Raw, Rumpel

LIMIT_S = 60.0
THINK_S = 4.0
POLL_S = 0.002


def hook(rumpel: Rumpel, raw: Raw, repo: Path, rounds: int, commits: int = 10) -> Figure:
    """The same commits with and without it, in one shell of the pod."""
    container = container_of(rumpel, raw, "warm")
    loop = f"for i in $(seq {commits}); do git %s commit -q --allow-empty -m x; done"
    with shell(container, WORKSPACE % repo.name) as ask:
        mine, base = [], []
        for _ in range(rounds):
            base.append(timed_ms(lambda: ask(loop % "-c core.hooksPath=/dev/null")))
            mine.append(timed_ms(lambda: ask(loop % "")))
    with_it, without = statistics.median(mine) / commits, statistics.median(base) / commits
    note = f"bar in ms; a commit with it {with_it:.1f} ms, without {without:.1f} ms"
    return Figure("our hook, in each commit in a pod", with_it - without, "ms", bar=12, note=note)


def to_pods(rumpel: Rumpel, raw: Raw, rounds: int, count: int = 20) -> list[Figure]:
    """A commit of the host, until it lies behind `host`, and until all pods show it."""
    found: dict[int, tuple[float, float]] = {}
    for pods in (1, count):
        repo = rumpel.repo(f"host-{pods}", CONFIG % MINI)
        rumpel.run("create", *(f"p{n}" for n in range(pods)), cwd=repo)
        time.sleep(3)  # links and first imports are done by then
        found[pods] = _to_pods(rumpel, raw, repo, rounds, pods)
        rumpel.run("delete", "--force", *(f"p{n}" for n in range(pods)), cwd=repo)
    against = "the same with one pod"
    return [
        Figure(
            f"host commit -> behind `host` of {count} pods",
            *(found[count][0], "ms", found[1][0], against, 1.5),
        ),
        Figure(
            f"host commit -> refs/remotes/host in {count} pods",
            *(found[count][1], "ms", found[1][1], against),
        ),
    ]


def _to_pods(rumpel: Rumpel, raw: Raw, repo: Path, rounds: int, pods: int) -> tuple[float, float]:
    containers = [_inspect(container_of_repo(rumpel, raw, repo, f"p{n}")) for n in range(pods)]
    seed = next(m["Source"] for m in containers[0]["Mounts"] if m["Destination"].endswith(".git"))
    inner = f"{WORKSPACE % repo.name}/.git/refs/remotes/host/main".lstrip("/")
    files = [Path(item["GraphDriver"]["Data"]["MergedDir"], inner) for item in containers]
    behind, everywhere = [], []
    for _ in range(rounds):
        rumpel.git(repo, "commit", "-q", "--allow-empty", "-m", "x")
        begun = time.perf_counter()
        oid = rumpel.git(repo, "rev-parse", "HEAD")
        behind.append(_until([Path(seed, "refs/heads/main")], oid, begun))
        everywhere.append(_until(files, oid, begun))
        time.sleep(0.5)  # the machine settles
    return statistics.median(behind), statistics.median(everywhere)


def at_once(rumpel: Rumpel, raw: Raw, pods: int = 16, commits: int = 20) -> list[Figure]:
    """Each pod commits, waits until the host has it, and commits again: at once, or when it has
    thought for a few seconds, as an agent does."""
    repo = rumpel.repo("at-once", CONFIG % MINI)
    names = [f"p{number}" for number in range(pods)]
    rumpel.run("create", *names, cwd=repo)
    time.sleep(3)  # links and first imports are done by then
    alone = _commit_all(rumpel, raw, repo, names[:1], commits)
    together = _commit_all(rumpel, raw, repo, names, commits)
    paced = _commit_all(rumpel, raw, repo, names, commits // 2, pause_s=THINK_S)
    floor_alone = _commit_all(rumpel, raw, repo, names[:1], commits, is_floor=True)
    floor = _commit_all(rumpel, raw, repo, names, commits, is_floor=True)
    count = rumpel.git(repo, "rev-list", "--count", "--remotes=rumpelpod", "^main")
    if int(count) != commits * (pods + 1) + commits // 2 * pods:
        raise SystemExit(f"{count} commits arrived")
    rumpel.run("delete", "--force", *names, cwd=repo)
    return [
        Figure(
            f"commit -> ref, {pods} pods at once, median",
            *(statistics.median(together), "ms", statistics.median(alone)),
            *("one of them alone", 3.0),
        ),
        Figure(
            f"floor: git commit alone, {pods} at once, median",
            *(statistics.median(floor), "ms", statistics.median(floor_alone)),
            "in one pod, in a repository that nobody watches",
        ),
        Figure(
            f"the same, slowest of {len(together)}",
            *(max(together), "ms", max(alone), "the slowest of one alone"),
        ),
        Figure(
            f"commit -> ref, {pods} pods, each every {THINK_S:g} s, median",
            *(statistics.median(paced), "ms", statistics.median(alone)),
            *("one of them alone", 3.0),
        ),
    ]


def _commit_all(
    rumpel: Rumpel,
    raw: Raw,
    repo: Path,
    names: list[str],
    commits: int,
    *,
    pause_s: float = 0.0,
    is_floor: bool = False,
) -> list[float]:
    """`is_floor`: in a repository of its own in each pod, which reaches no host."""
    found: list[float] = []
    start = threading.Barrier(len(names))

    def one(name: str) -> None:
        ref = repo / ".git/refs/remotes/rumpelpod" / name
        container = containers[name]
        with shell(container, WORKSPACE % repo.name) as ask:
            if is_floor:
                ask("git init -q /tmp/floor")
            start.wait()
            for _ in range(commits):
                time.sleep(random.uniform(0.5, 1.5) * pause_s)
                begun = time.perf_counter()
                git = "git -C /tmp/floor -c user.name=b -c user.email=b" if is_floor else "git"
                oid = ask(f"{git} commit -q --allow-empty -m {name} && {git} rev-parse HEAD")
                found.append(_until([] if is_floor else [ref], oid, begun))

    containers = {name: container_of_repo(rumpel, raw, repo, name) for name in names}
    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) != commits * len(names):
        raise SystemExit("not all commits arrived")
    return found


def container_of_repo(rumpel: Rumpel, raw: Raw, repo: Path, pod: str) -> str:
    """Pods of several repositories have one name here."""
    home = (rumpel.folder / "s" / "rumpel" / "home-id").read_text().strip()
    labels = [f"rumpel.home={home}", f"rumpel.pod={pod}", "rumpel.kind=pod"]
    found = raw.wait(raw.host.containers(labels))
    return next(str(item.id) for item in found if item.labels["rumpel.repo-path"] == str(repo))


def _inspect(container: str) -> dict[str, Any]:
    done = subprocess.run(["docker", "inspect", container], capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)[0]
    return found


def _until(files: list[Path], oid: str, begun: float) -> float:
    """Milliseconds from `begun` until all of `files` hold `oid`."""
    waiting = dict.fromkeys(files, (-1, 0))
    while waiting:
        for path, before in list(waiting.items()):
            # Not read before it is another file: 16 readers would take a third of a core.
            if (now := _state(path)) != before:
                waiting[path] = now
                if _read(path) == oid:
                    del waiting[path]
        if time.perf_counter() - begun > LIMIT_S:
            raise SystemExit(f"{oid} did not arrive in {list(waiting)}")
        if waiting:
            time.sleep(POLL_S)  # they are files: nothing else tells a reader
    return (time.perf_counter() - begun) * 1e3


def _state(path: Path) -> tuple[int, int]:
    try:
        state = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return state.st_ino, state.st_mtime_ns


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def timed_ms(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1e3


@contextlib.contextmanager
def shell(container: str, workspace: str) -> Iterator[Callable[[str], str]]:
    """A shell in the pod: each call runs one command and answers its last line."""
    loop = f'cd {workspace}; while read -r line; do eval "$line" | tail -n1; echo .; done'
    process = subprocess.Popen(
        ["docker", "exec", "-i", container, "sh", "-c", loop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def ask(command: str) -> str:
        stdin.write(f"{command}\n")
        stdin.flush()
        said = ""
        while (line := stdout.readline().strip()) != ".":
            said = line
        return said

    try:
        yield ask
    finally:
        stdin.close()
        process.wait()
