"""A host repository, a pod's clone of it, and git servers as local processes behind a Stream."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rumpel.adapters import git, git_seed, threads
from rumpel.adapters.stream import STDERR, STDOUT
from tests.support.home import Home
from tests.support.repo import Repo


class LocalStream:
    """A local process as a `rumpel.adapters.stream.Stream`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._items: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(64)
        self._pumps = [
            asyncio.ensure_future(self._pump(STDOUT, process.stdout)),
            asyncio.ensure_future(self._pump(STDERR, process.stderr)),
        ]
        self._open = len(self._pumps)
        self.sent = 0
        self.received = 0

    @classmethod
    async def start(cls, *argv: str, cwd: Path, env: Mapping[str, str]) -> LocalStream:
        pipe = asyncio.subprocess.PIPE
        return cls(
            await asyncio.create_subprocess_exec(
                *argv,
                cwd=cwd,
                env=env,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                start_new_session=True,
            )
        )

    async def _pump(self, kind: int, pipe: asyncio.StreamReader | None) -> None:
        assert pipe is not None
        while data := await pipe.read(1 << 16):
            await self._items.put((kind, data))
        self._open -= 1
        if not self._open:
            await self._items.put(None)

    async def read(self) -> tuple[int, bytes] | None:
        item = await self._items.get()
        if item is None:
            self._items.put_nowait(None)
        else:
            self.received += len(item[1])
        return item

    async def write(self, data: bytes, /) -> None:
        assert self.process.stdin is not None
        self.sent += len(data)
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(data)
            await self.process.stdin.drain()

    async def write_eof(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self.process.stdin.close()

    async def close(self) -> None:
        await self.write_eof()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        # asyncio only sees the end of a process whose output was read to its end.
        await self.process.communicate()


SHA256 = pytest.mark.parametrize("pair", [("--object-format=sha256",)], indirect=True)


@dataclass
class Pair:
    """The user's repository `host`, the workspace `pod` of a pod, and where its door is."""

    host: Repo
    pod: Repo
    door: Path
    home: Home
    repo: git.Repo

    async def of(self, host: Repo, pod: Repo) -> Pair:
        """Another host and pod in the place of these."""
        repo = await threads.call(git.discover, str(host.root))
        return Pair(host, pod, self.door, self.home, repo)

    async def upload_pack(
        self, pod: Repo | None = None, protocol: str = "version=2"
    ) -> LocalStream:
        return await LocalStream.start(
            *("git", "upload-pack", "--strict", str((pod or self.pod).root / ".git")),
            cwd=Path("/"),
            env=self.home.environment({"GIT_PROTOCOL": protocol}),
        )


@pytest.fixture
def pair(request: pytest.FixtureRequest, home: Home, tmp_path: Path) -> Pair:
    """Its parameter, if any: options of `git init` for the host."""
    return make_pair(home, tmp_path, *getattr(request, "param", ()))


def make_pair(home: Home, tmp_path: Path, *options: str) -> Pair:
    env = home.environment(None)
    host = Repo.create(tmp_path / "host", env, *options)
    host.commit("first", {"README.md": "# Project\n", "src/app.py": "print(1)\n"})
    host.git("clone", "-q", str(host.root), str(tmp_path / "pod"))
    pod = Repo(tmp_path / "pod", env)
    pod.git("switch", "-q", "-c", "alice")
    pod.git("branch", "-q", "-D", "main")
    return Pair(host, pod, tmp_path / "state/doors/repo/pod-1", home, git.discover(str(host.root)))


TEMPLATES: dict[Path, Path] = {}
"""Of this process: made once, then copied."""


@pytest.fixture
def quick(home: Home, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A pair like `pair`, as a copy: many tests need one, and git takes its time."""
    base = tmp_path_factory.getbasetemp()
    if base not in TEMPLATES:
        TEMPLATES[base] = tmp_path_factory.mktemp("template")
        made = make_pair(home, TEMPLATES[base], "--template=")
        made.pod.git("config", "remote.origin.url", "/nowhere")
    env = home.environment(None)
    for name in ("host", "pod"):
        shutil.copytree(TEMPLATES[base] / name, tmp_path / name, symlinks=True)
    host, pod = Repo(tmp_path / "host", env), Repo(tmp_path / "pod", env)
    return Pair(host, pod, tmp_path / "state/doors/repo/pod-1", home, git.discover(str(host.root)))


@pytest.fixture
def good(quick: Pair) -> str:
    """Where alice is, on the host too."""
    return quick.pod.oid("alice")


async def seed_tar(repo: git.Repo, path: Path, *, is_bold: bool = False) -> None:
    """What a gateway's volume is born with, as a file."""
    async with git_seed.seed(repo, path.parent, is_bold=is_bold) as chunks:
        path.write_bytes(b"".join([chunk async for chunk in chunks]))
