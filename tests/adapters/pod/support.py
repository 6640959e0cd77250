"""A pod without Docker: the boot script in a local shell, a seed and a workspace in tmp_path."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from rumpel.adapters.pod_link import PodLink, PodSettings
from rumpel.adapters.stream import STDERR, STDOUT
from rumpel.resources import resource_text

SHELLS = {
    "dash": ("dash",),
    "bash": ("bash", "--posix"),
    "busybox": (os.environ.get("RUMPEL_BUSYBOX", "busybox"), "sh"),
}
POD_ID = "a1b2c3d4e5f60718"
TIMEOUT_S = 20.0
LOOK_S = 0.3
SETTLED_S = 1.3
"""Some shells compare whole seconds, so a move may be told twice, a second apart."""


def shells() -> list[str]:
    return [name for name, argv in SHELLS.items() if shutil.which(argv[0])]


class LocalStream:
    """A local process as a Stream. Like an exec in a container it leads its own session."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._queue: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue(64)
        self._pumps = [
            asyncio.create_task(self._pump(STDOUT, process.stdout)),
            asyncio.create_task(self._pump(STDERR, process.stderr)),
        ]
        self._ended = 0
        self.errors = b""
        self.written = 0

    async def _pump(self, kind: int, reader: asyncio.StreamReader | None) -> None:
        assert reader is not None
        while data := await reader.read(65536):
            if kind == STDERR:
                self.errors += data
            await self._queue.put((kind, data))
        await self._queue.put(None)

    async def read(self) -> tuple[int, bytes] | None:
        while self._ended < len(self._pumps):
            piece = await self._queue.get()
            if piece is not None:
                return piece
            self._ended += 1
        return None

    async def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.written += len(data)
        self.process.stdin.write(data)
        await self.process.stdin.drain()

    async def write_eof(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def close(self) -> None:
        await self.write_eof()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.wait(self._pumps)


async def boot(shell: str, mode: str = "exec", env: Mapping[str, str] | None = None) -> LocalStream:
    process = await asyncio.create_subprocess_exec(
        *SHELLS[shell],
        "-c",
        resource_text("pod_boot.sh"),
        "rumpel",
        mode,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env={**os.environ, **(env or {})},
    )
    return LocalStream(process)


async def exited(process: asyncio.subprocess.Process, timeout_s: float = 5) -> int:
    """Its exit code. Unlike `wait` not later than that: children may hold its output open."""
    async with asyncio.timeout(timeout_s):
        while process.returncode is None:  # noqa: ASYNC110 - asyncio has no event for it
            await asyncio.sleep(0.01)
    return process.returncode


def alive(session: int) -> list[str]:
    """Commands of the session that still run (zombies do not)."""
    found = subprocess.run(
        ["ps", "-s", str(session), "-o", "stat=,args="], capture_output=True, text=True, check=False
    ).stdout.splitlines()
    return [line for line in found if not line.lstrip().startswith("Z")]


def kill_session(session: int) -> None:
    while pids := subprocess.run(
        ["ps", "-s", str(session), "-o", "pid="], capture_output=True, text=True, check=False
    ).stdout.split():
        for pid in pids:
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                continue
        if all(state.startswith("Z") for state in _states(session)):
            return


def _states(session: int) -> list[str]:
    return subprocess.run(
        ["ps", "-s", str(session), "-o", "stat="], capture_output=True, text=True, check=False
    ).stdout.split()


class Pod:
    """A link into a local pod, with its notices counted."""

    def __init__(self, shell: str, seed: Path, workspace: Path, mountinfo: Path) -> None:
        self.shell, self.seed, self.workspace, self.mountinfo = shell, seed, workspace, mountinfo
        self.notices = 0
        self.noticed = asyncio.Event()
        self.sessions: list[LocalStream] = []
        self._link: PodLink | None = None

    @property
    def link(self) -> PodLink:
        assert self._link is not None
        return self._link

    @property
    def stream(self) -> LocalStream:
        return self.sessions[-1]

    @property
    def settings(self) -> PodSettings:
        return PodSettings(str(self.seed), str(self.mountinfo), LOOK_S)

    def on_notice(self) -> None:
        self.notices += 1
        self.noticed.set()

    async def start(self, mode: str = "exec", env: Mapping[str, str] | None = None) -> PodLink:
        self.sessions.append(await boot(self.shell, mode, env))
        self._link = await PodLink.open(
            self.stream,
            on_notice=self.on_notice,
            timeout_s=TIMEOUT_S,
            settings=self.settings,
        )
        return self._link

    async def ask(self, verb: str, *args: str) -> str:
        return await self.link.request(verb, *args, timeout_s=TIMEOUT_S)

    async def setup(
        self, oid: str, *more: str, branch: str = "alice", upstream: str = "main"
    ) -> str:
        return await self.ask(
            "setup",
            f"pod_id={POD_ID}",
            f"workspace={self.workspace}",
            f"branch={branch}",
            f"oid={oid}",
            f"upstream={upstream}",
            "name=Ada",
            "email=ada@example.org",
            *more,
        )

    def git(self, *args: str, check: bool = True) -> str:
        return git(self.workspace, *args, check=check)

    async def settle(self, wait_s: float = SETTLED_S) -> None:
        """Until no notice came for a while."""
        while True:
            self.noticed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self.noticed.wait()
            except TimeoutError:
                self.notices = 0
                return

    async def notice(self, timeout_s: float) -> float:
        """Wait for a notice; the seconds it took."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        async with asyncio.timeout(timeout_s):
            await self.noticed.wait()
        self.noticed.clear()
        return loop.time() - start

    async def end(self) -> None:
        if self._link is not None:
            await self._link.close()
        for stream in self.sessions:
            await stream.close()
            kill_session(stream.process.pid)
            await stream.process.wait()


def git(where: Path, *args: str, check: bool = True, text: str | None = None) -> str:
    done = subprocess.run(
        ["git", "-C", str(where), *args], capture_output=True, text=True, check=False, input=text
    )
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(args)}: {done.stderr}")
    return done.stdout.strip()


def commit(work: Path, message: str, files: Mapping[str, str]) -> str:
    for name, text in files.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", message)
    return git(work, "rev-parse", "HEAD")
