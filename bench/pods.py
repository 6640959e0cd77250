"""Pods beside the raw engine: create, enter, list, commit -> ref, and what idling costs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from world import MINI, Figure, Raw, Rumpel, pairs, timed

CONFIG = '{"image": "%s", "runArgs": ["--network=none"]}'
PARALLEL = 2 * (os.cpu_count() or 1)
WORKSPACE = "/workspaces/%s"


def tools_image(raw: Raw, rumpel: Rumpel) -> str:
    """The image pods are made of, for the baseline too."""
    container = container_of(rumpel, raw, "warm")
    return str(raw.wait(raw.host.inspect(container)).state.image_id)


def create_one(rumpel: Rumpel, raw: Raw, repo: Path, rounds: int) -> Figure:
    image = tools_image(raw, rumpel)
    mine, base = pairs(
        lambda n: rumpel.run("create", f"one-{n}", cwd=repo),
        lambda _: raw.wait(raw.create_start_exec(image)),
        rounds,
    )
    raw.clear()
    rumpel.run("delete", "--force", *(f"one-{n}" for n in range(rounds)), cwd=repo)
    return Figure(
        "one warm pod, create to exit", mine, "ms", base, "raw create + start + exec", 1.6
    )


def create_many(rumpel: Rumpel, raw: Raw, repo: Path, rounds: int, count: int = 20) -> Figure:
    image = tools_image(raw, rumpel)
    mine, theirs = [], []
    for number in range(rounds):
        theirs.append(timed(lambda: raw.wait(raw.many(image, count, PARALLEL))))
        raw.clear()
        names = [f"many-{number}-{index}" for index in range(count)]
        mine.append(timed(lambda names=names: rumpel.run("create", *names, cwd=repo)))
        rumpel.run("delete", "--force", *names, cwd=repo)
    return Figure(
        f"{count} pods in one create",
        statistics.median(mine),
        "ms",
        statistics.median(theirs),
        f"{count} raw create + start, {PARALLEL} at once",
        1.3,
    )


def enter(rumpel: Rumpel, raw: Raw, repo: Path, rounds: int) -> Figure:
    container = container_of(rumpel, raw, "warm")
    mine, base = pairs(
        lambda _: rumpel.run("enter", "warm", "--", "true", cwd=repo),
        lambda _: subprocess.run(["docker", "exec", container, "true"], check=True),
        rounds,
    )
    return Figure("enter POD -- true", mine, "ms", base, "docker exec true", 1.4)


def completion(rumpel: Rumpel, repo: Path, rounds: int) -> Figure:
    """Tab after `rumpel enter`, with the script that users load; bash itself is part of it."""
    script = rumpel.folder / "completions"
    script.write_text(rumpel.run("completions", "bash", cwd=repo))
    words = 'COMP_WORDS=(rumpel enter ""); COMP_CWORD=2; _rumpel; [ "${#COMPREPLY[@]}" -gt 0 ]'
    env = {**rumpel.env, "PATH": f"{Path(sys.executable).parent}:{rumpel.env['PATH']}"}
    shell = ["bash", "-c", f"source {script}; {words}"]
    mine, base = pairs(
        lambda _: subprocess.run(shell, check=True, cwd=repo, env=env),
        lambda _: subprocess.run([sys.executable, "-c", "pass"], check=True, env=env),
        rounds,
    )
    return Figure("completion of a pod's name", mine, "ms", base, "python -c pass", 4.0)


def listing(rumpel: Rumpel, repo: Path, rounds: int, count: int) -> Figure:
    mine, base = pairs(
        lambda _: rumpel.run("list", cwd=repo),
        lambda _: subprocess.run([sys.executable, "-c", "pass"], check=True, env=rumpel.env),
        rounds,
    )
    return Figure(f"list with {count} pods, whole process", mine, "ms", base, "python -c pass", 4.0)


def container_of(rumpel: Rumpel, raw: Raw, pod: str) -> str:
    home = (rumpel.folder / "s" / "rumpel" / "home-id").read_text().strip()
    labels = [f"rumpel.home={home}", f"rumpel.pod={pod}", "rumpel.kind=pod"]
    return str(raw.wait(raw.host.containers(labels))[0].id)


def commits(
    rumpel: Rumpel, raw: Raw, repo: Path, rounds: int, *, pod: str = "warm"
) -> list[Figure]:
    """Commit -> ref against a direct fetch over an upload-pack parked in the same container.

    From the start of `git commit`, and from the moment when the pod's ref has moved: what a fetch
    could begin with.
    """
    container = container_of(rumpel, raw, pod)
    workspace = WORKSPACE % repo.name
    ref = repo / ".git" / "refs" / "remotes" / "rumpelpod" / pod
    inner = merged(container, f"{workspace}/.git/refs/heads/{pod}")
    latencies, moves, direct = [], [], []
    with (
        committer(container, workspace) as commit,
        direct_fetch(rumpel, raw, container, repo) as fetch,
    ):
        for number in range(rounds):
            begun, oid = commit()
            while not ref.exists() or ref.read_text().strip() != oid:
                if time.time() - begun > 20:
                    raise SystemExit(f"commit {number} did not arrive")
                time.sleep(0.0005)  # the ref is a file: nothing else tells a reader
            latencies.append((time.time() - begun) * 1e3)
            moves.append((ref.stat().st_mtime_ns - inner.stat().st_mtime_ns) / 1e6)
            time.sleep(0.15)  # the next upload-pack is parked by then, as between real commits
            if number % max(1, rounds // 40) == 0:
                direct.append(fetch())
                time.sleep(0.1)  # lets the machine settle, as above
    return _told(latencies, moves, statistics.median(direct))


def _told(latencies: list[float], moves: list[float], base: float) -> list[Figure]:
    latencies.sort()
    p99 = latencies[min(len(latencies) - 1, int(len(latencies) * 0.99))]
    return [
        Figure(
            "commit in pod -> published ref, median",
            statistics.median(latencies),
            "ms",
            base,
            "direct fetch over a parked upload-pack",
            1.8,
        ),
        Figure(f"the same, p99 of {len(latencies)}", p99, "ms", bar=500, note="bar in ms"),
        Figure(
            "from ref in pod to published ref, median",
            *(statistics.median(moves), "ms", base),
            *("direct fetch over a parked upload-pack", 1.8),
        ),
    ]


def merged(container: str, path: str) -> Path:
    """A file of a container as the host sees it."""
    layout = "{{.GraphDriver.Data.MergedDir}}"
    argv = ["docker", "inspect", "--format", layout, container]
    done = subprocess.run(argv, capture_output=True, check=True, text=True)
    return Path(done.stdout.strip(), path.lstrip("/"))


@contextlib.contextmanager
def committer(container: str, workspace: str) -> Iterator[Any]:
    """A shell in the pod that commits when told; the time is taken as the commit starts."""
    loop = (
        f"cd {workspace}; while read -r line; do git commit -q --allow-empty -m x; "
        "git rev-parse HEAD; done"
    )
    process = subprocess.Popen(
        ["docker", "exec", "-i", container, "sh", "-c", loop],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None

    def commit() -> tuple[float, str]:
        begun = time.time()
        process.stdin.write(b"go\n")
        process.stdin.flush()
        return begun, process.stdout.readline().decode().strip()

    try:
        yield commit
    finally:
        process.stdin.close()
        process.wait()


@contextlib.contextmanager
def direct_fetch(rumpel: Rumpel, raw: Raw, container: str, source: Path) -> Iterator[Any]:
    """The baseline: plain git over a parked exec stream, into a scratch clone, no checks."""
    scratch, workspace = rumpel.folder / "scratch.git", WORKSPACE % source.name
    rumpel.git(rumpel.folder, "clone", "-q", "--bare", "--shared", str(source), str(scratch))

    async def park() -> Any:
        return await raw.host.exec_stream(
            container,
            ["git", "upload-pack", f"{workspace}/.git"],
            env={"GIT_PROTOCOL": "version=2"},
        )

    def once() -> float:
        stream = raw.wait(park())
        time.sleep(0.15)  # parked, as ours is
        return timed(lambda: raw.wait(fetch_over(stream, scratch, rumpel.env)))

    try:
        yield once
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


async def fetch_over(stream: Any, scratch: Path, env: dict[str, str]) -> None:
    """`git fetch` over an upload-pack that waits at the other end of the stream."""
    flags = ["-q", "--no-tags", "--no-auto-gc", "--no-write-fetch-head"]
    mine, theirs = socket.socketpair()
    mine.setblocking(False)
    url = f"fd::{theirs.fileno()}"
    process = await asyncio.create_subprocess_exec(
        *["git", "fetch", *flags, url, "+refs/heads/*:refs/bench/*"],
        cwd=scratch,
        env=env,
        pass_fds=(theirs.fileno(),),
    )
    theirs.close()
    pumps = [asyncio.ensure_future(up(mine, stream)), asyncio.ensure_future(down(mine, stream))]
    code = await process.wait()
    for pump in pumps:
        pump.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)
    mine.close()
    await stream.close()
    if code:
        raise SystemExit("the direct fetch failed")


async def up(mine: socket.socket, stream: Any) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(mine, 65536):
        await stream.write(data)
    await stream.write_eof()


async def down(mine: socket.socket, stream: Any) -> None:
    loop = asyncio.get_running_loop()
    while (frame := await stream.read()) is not None:
        if frame[0] == 1:
            await loop.sock_sendall(mine, frame[1])
    mine.shutdown(socket.SHUT_WR)


def idle(rumpel: Rumpel, seconds: float, count: int) -> list[Figure]:
    share, rss = used(rumpel, seconds)
    return [
        Figure(f"daemon with {count} idle pods, memory", rss, "MB", bar=130, note="bar in MB"),
        Figure(f"daemon with {count} idle pods, CPU", share, "%", bar=1.0, note="bar in %"),
    ]


def used(rumpel: Rumpel, seconds: float) -> tuple[float, float]:
    """Of the daemon's process alone, as the kernel counts: percent of a CPU, and MB."""
    pid = rumpel.daemon_pid()

    def cpu_s() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = cpu_s()
    time.sleep(seconds)  # the measurement is of doing nothing
    share = (cpu_s() - before) / seconds * 100
    status = Path(f"/proc/{pid}/status").read_text()
    rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
    return share, rss


def large(rumpel: Rumpel, raw: Raw, small: Path, rounds: int, *, commits: int) -> Figure:
    """A long history: the second pod of it against one of a small repository.

    The bar grows by the time a plain checkout of the same files takes in the same run.
    """
    repo = rumpel.repo("large", CONFIG % MINI)
    grow(rumpel, repo, commits)
    rumpel.run("create", "first", cwd=repo)
    mine, base = pairs(
        lambda n: rumpel.run("create", f"big-{n}", cwd=repo),
        lambda n: rumpel.run("create", f"small-{n}", cwd=small),
        rounds,
    )
    for path, name in ((repo, "big"), (small, "small")):
        rumpel.run("delete", "--force", *(f"{name}-{n}" for n in range(rounds)), cwd=path)
    size = int(rumpel.git(repo, "count-objects", "-v").split("size-pack: ")[1].split()[0]) // 1024
    files = statistics.median(_checkout_ms(rumpel, repo, repo.parent / "files") for _ in range(3))
    return Figure(
        f"create from {commits} commits, {size} MB, second pod",
        mine,
        "ms",
        base,
        "create from a small repository",
        round(1.5 + files / base, 2),
        note=f"bar: 1.5x plus the checkout, {files:.0f} ms",
    )


def _checkout_ms(rumpel: Rumpel, repo: Path, folder: Path) -> float:
    started = time.perf_counter()
    rumpel.git(repo, "worktree", "add", "-q", "--detach", str(folder))
    took = (time.perf_counter() - started) * 1000
    rumpel.git(repo, "worktree", "remove", "--force", str(folder))
    return took


def grow(rumpel: Rumpel, repo: Path, commits: int) -> None:
    """Commits of incompressible files, by fast-import: 150 MB in a few seconds."""
    blob = 7600
    parts = []
    parent = rumpel.git(repo, "rev-parse", "HEAD")
    for number in range(commits):
        data = os.urandom(blob)
        head = f"from {parent}\n" if number == 0 else ""
        parts.append(
            b"commit refs/heads/main\ncommitter B <b@example.com> %d +0000\ndata 1\nx\n%s"
            b"M 644 inline d%d/f%d\ndata %d\n%s\n"
            % (1_700_000_000 + number, head.encode(), number % 50, number % 3000, blob, data)
        )
    rumpel.git(repo, "fast-import", "--quiet", "--force", data=b"".join(parts))
    rumpel.git(repo, "reset", "-q", "--hard")


def devcontainer(rumpel: Rumpel, repo: Path, rounds: int) -> list[Figure]:
    """Beside the reference CLI where it is installed (npm install -g @devcontainers/cli)."""
    program = shutil.which("devcontainer")
    if program is None:
        return []
    folder = str(repo)

    def quiet(*args: str) -> None:
        subprocess.run([program, *args], check=True, capture_output=True, env=rumpel.env)

    def up(_: int) -> None:
        quiet("up", "--workspace-folder", folder, "--remove-existing-container")

    mine, base = pairs(lambda n: rumpel.run("create", f"vs-{n}", cwd=repo), up, rounds)
    figures = [Figure("create", mine, "ms", base, "devcontainer up", 1.0)]
    mine, base = pairs(
        lambda _: rumpel.run("enter", "warm", "--", "true", cwd=repo),
        lambda _: quiet("exec", "--workspace-folder", folder, "true"),
        rounds,
    )
    figures.append(Figure("enter -- true", mine, "ms", base, "devcontainer exec true", 0.25))
    rumpel.run("delete", "--force", *(f"vs-{n}" for n in range(rounds)), cwd=repo)
    found = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=devcontainer.local_folder={folder}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    if found:
        subprocess.run(["docker", "rm", "-f", *found], check=True, capture_output=True)
    return figures
