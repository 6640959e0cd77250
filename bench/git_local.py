"""What the safe import costs beside a plain `git fetch`, without Docker in between.

Both fetch one new commit over a parked local upload-pack and the same relay. Direct: straight
into the user's repository, no fsck. Import: quarantine, fsck, sizes, move, then the published
refs. Rounds alternate, so that the machine's mood hits both.

    python bench/git_local.py [--json] [--rounds 15] [--commits 1] [--files 1] [--history 200]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rumpel.adapters import git, git_door, git_refs, git_wire, proc
from rumpel.adapters.published import view
from rumpel.adapters.stream import STDOUT

BAR = 1.6


class LocalStream:
    """A local process as a Stream."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def upload_pack(cls, root: Path) -> LocalStream:
        argv = ("git", "upload-pack", "--strict", str(root / ".git"))
        pipe = asyncio.subprocess.PIPE
        env = os.environ | {"GIT_PROTOCOL": "version=2"}
        return cls(await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, env=env))

    async def read(self) -> tuple[int, bytes] | None:
        assert self.process.stdout is not None
        data = await self.process.stdout.read(1 << 16)
        return (STDOUT, data) if data else None

    async def write(self, data: bytes, /) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def write_eof(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def close(self) -> None:
        await self.write_eof()
        await self.process.wait()


def run(*argv: str, cwd: Path) -> None:
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True)


def commit(root: Path, number: int, files: int) -> None:
    for index in range(files):
        (root / f"file-{index}.txt").write_text(f"{number} {index}\n")
    run("git", "add", "-A", cwd=root)
    run("git", "commit", "-q", "-m", f"commit {number}", cwd=root)


def prepare(top: Path, history: int) -> tuple[Path, Path]:
    host, pod = top / "host", top / "pod"
    run("git", "init", "-q", "-b", "main", str(host), cwd=top)
    for number in range(history):
        commit(host, number, 1)
    run("git", "gc", "-q", cwd=host)
    run("git", "clone", "-q", str(host), str(pod), cwd=top)
    run("git", "switch", "-q", "-c", "alice", cwd=pod)
    run("git", "branch", "-q", "-D", "main", cwd=pod)
    return host, pod


async def direct(host: Path, pod: Path) -> float:
    stream = await LocalStream.upload_pack(pod)
    await asyncio.sleep(0.02)
    begun = time.perf_counter()
    report = await git_wire.Server(stream).fetch(
        host / ".git", ("+refs/heads/*:refs/direct/*",), limits=git_wire.Limits()
    )
    took = time.perf_counter() - begun
    assert report.code == 0, report.said
    await stream.close()
    return took


class Importer:
    def __init__(self, host: Path, pod: Path, door: Path) -> None:
        self.host, self.pod, self.door = host, pod, door
        self.published: dict[str, str] = {}
        self.parts: dict[str, list[float]] = {"import": [], "publish": []}

    async def __call__(self) -> float:
        stream = await LocalStream.upload_pack(self.pod)
        await asyncio.sleep(0.02)
        begun = time.perf_counter()
        repo = git.discover(str(self.host))
        imported = await git_door.import_pod(repo, self.door, stream)
        middle = time.perf_counter()
        wanted = view({"alice": ("pod-1", imported.branches)})
        self.published = await git_refs.publish(repo, wanted.refs, self.published)
        ended = time.perf_counter()
        assert imported.branches
        assert not imported.rejected
        await stream.close()
        self.parts["import"].append(middle - begun)
        self.parts["publish"].append(ended - middle)
        return ended - begun


async def measure(args: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        host, pod = prepare(top, args.history)
        plain = top / "plain"
        run("cp", "-r", str(host), str(plain), cwd=top)
        run("git", "config", "maintenance.auto", "false", cwd=plain)
        importer = Importer(host, pod, top / "state/door/pod-1")
        times: dict[str, list[float]] = {"direct": [], "import": [], "nothing new": [], "git": []}
        for number in range(args.rounds + 2):
            for index in range(args.commits):
                commit(pod, 1000 + number * args.commits + index, args.files)
            first = [("direct", direct(plain, pod)), ("import", importer())]
            for name, job in first if number % 2 else reversed(first):
                times[name].append(await job)
            times["nothing new"].append(await importer())
            begun = time.perf_counter()
            await proc.run(["git", "version"], timeout_s=10)
            times["git"].append(time.perf_counter() - begun)
        median = {name: statistics.median(taken[2:]) * 1e3 for name, taken in times.items()}
        least = {f"{name} least": min(taken[2:]) * 1e3 for name, taken in times.items()}
        part = importer.parts["publish"][2:]
        median["of it publish"] = statistics.median(part[::2]) * 1e3
        return median | least | {"ratio": median["import"] / median["direct"]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--commits", type=int, default=1)
    parser.add_argument("--files", type=int, default=1)
    parser.add_argument("--history", type=int, default=200)
    found = asyncio.run(measure(args := parser.parse_args()))
    if args.json:
        print(json.dumps({name: round(value, 3) for name, value in found.items()}))
    else:
        for name, value in found.items():
            print(f"{name:20} {value:8.2f}" + ("" if name == "ratio" else " ms"))
    return 0 if found["ratio"] <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
