"""What the measurements stand on: a private rumpel, a repository, the raw Docker API, pairs.

Nothing here is timed alone: every figure is paired with a baseline of the same minute, because a
shared machine swings by a factor of two (medians of alternating rounds).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MINI, DEV = "rumpel-mini:1", "rumpel-dev:1"
LABEL = {"rumpel.bench": "1"}


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `ratio` is value / baseline; `bar` the most it may be."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    against: str = ""
    bar: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None

    @property
    def measured(self) -> float:
        return self.value if self.ratio is None else self.ratio

    @property
    def is_met(self) -> bool | None:
        return None if self.bar is None else self.measured <= self.bar

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "value": round(self.value, 3),
            "unit": self.unit,
            "baseline": None if self.baseline is None else round(self.baseline, 3),
            "against": self.against,
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "bar": self.bar,
            "met": self.is_met,
            "note": self.note,
        }


class Rumpel:
    """A rumpel of its own: state, socket and pods in a folder that is removed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {
            **{
                k: v for k, v in os.environ.items() if not k.startswith(("RUMPEL_", "XDG_", "GIT_"))
            },
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "s"),
            "XDG_CACHE_HOME": str(folder / "c"),
            "XDG_CONFIG_HOME": str(folder / "k"),
            "XDG_RUNTIME_DIR": str(folder / "r"),
        }
        (folder / "r").mkdir(mode=0o700)
        (folder / ".gitconfig").write_text(
            "[user]\n name = Bench\n email = bench@example.com\n[init]\n defaultBranch = main\n"
        )
        self.repos: list[Path] = []

    @property
    def program(self) -> list[str]:
        script = Path(sys.executable).parent / "rumpel"
        return [str(script)] if script.exists() else [sys.executable, "-m", "rumpel"]

    def run(self, *args: str, cwd: Path, check: bool = True) -> str:
        done = subprocess.run(
            [*self.program, *args],
            cwd=cwd,
            env=self.env,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if check and done.returncode:
            raise SystemExit(f"rumpel {' '.join(args)}: {done.returncode}\n{done.stderr}")
        return done.stdout

    def repo(self, name: str, config: str) -> Path:
        path = self.folder / name
        self.git(self.folder, "init", "-q", name)
        (path / ".devcontainer.json").write_text(config)
        (path / "README").write_text("bench\n")
        self.git(path, "add", "-A")
        self.git(path, "commit", "-qm", "first")
        self.repos.append(path)
        return path

    def git(self, cwd: Path, *args: str, data: bytes | None = None) -> str:
        done = subprocess.run(
            ["git", *args], cwd=cwd, env=self.env, input=data, capture_output=True, check=True
        )
        return done.stdout.decode().strip()

    def daemon_pid(self) -> int:
        return int((self.folder / "s" / "rumpel" / "daemon.pid").read_text().split()[0])

    def close(self) -> None:
        for repo in self.repos:
            names = self.run("list", "-q", cwd=repo, check=False).split()
            if names:
                self.run("delete", "--force", *names, cwd=repo, check=False)
        self.run("daemon", "stop", "--force", cwd=self.folder, check=False)
        self._remove_volumes()

    def _remove_volumes(self) -> None:
        """That of the agents belongs to no pod, and would stay."""
        known = self.folder / "s" / "rumpel" / "home-id"
        if not known.exists():
            return
        label = f"label=rumpel.home={known.read_text().strip()}"
        find = ["docker", "volume", "ls", "-q", "--filter", label]
        found = subprocess.run(find, capture_output=True, text=True, check=False).stdout.split()
        if found:
            remove = ["docker", "volume", "rm", *found]
            subprocess.run(remove, stdout=subprocess.DEVNULL, check=False)


@contextlib.contextmanager
def rumpel() -> Iterator[Rumpel]:
    folder = Path(tempfile.mkdtemp(prefix="rb-", dir="/tmp"))  # a short socket path
    made = Rumpel(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def timed(action: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1e3


def pairs(
    ours: Callable[[int], object],
    base: Callable[[int], object],
    rounds: int,
    *,
    pause_s: float = 0.0,
) -> tuple[float, float]:
    """Medians in ms of alternating calls, each after a pause; each gets the number of its round."""
    mine, theirs = [], []
    for number in range(rounds):
        time.sleep(pause_s)
        theirs.append(timed(lambda n=number: base(n)))
        time.sleep(pause_s)
        mine.append(timed(lambda n=number: ours(n)))
    return statistics.median(mine), statistics.median(theirs)


class Raw:
    """The floor: the Engine API over keep-alive connections, and nothing else."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        from rumpel.adapters.docker_api import DockerHost

        self.host = self._loop.run_until_complete(DockerHost.open())
        self.made: list[str] = []

    def wait(self, work: Any) -> Any:
        return self._loop.run_until_complete(work)

    def body(self, image: str) -> dict[str, Any]:
        """As our containers are: init, limits, log cap, no network."""
        return {
            "Image": image,
            "Entrypoint": [
                "/bin/sh",
                "-c",
                "trap 'exit 0' TERM; while :; do sleep 9 & wait $!; done",
            ],
            "Cmd": [],
            "Labels": LABEL,
            "HostConfig": {
                "NetworkMode": "none",
                "Init": True,
                "PidsLimit": 4096,
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            },
        }

    async def create_start(self, image: str) -> str:
        container = await self.host.create_container(None, self.body(image))
        self.made.append(container)
        await self.host.start(container)
        return container

    async def create_start_exec(self, image: str) -> None:
        container = await self.create_start(image)
        await self.host.exec_run(container, ["true"])

    async def many(self, image: str, count: int, parallel: int) -> None:
        limit = asyncio.Semaphore(parallel)

        async def one() -> None:
            async with limit:
                await self.create_start(image)

        await asyncio.gather(*(one() for _ in range(count)))

    def clear(self) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(
                *(self.host.remove(item, force=True, volumes=True) for item in self.made)
            )

        self.wait(all_of_them())
        self.made.clear()

    def close(self) -> None:
        self.clear()
        self.wait(self.host.close())
        self._loop.close()
