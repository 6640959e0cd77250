"""The one door to local child processes: own process group, bounded output, a deadline.

No thread and no signal handler per child: output and exit are watched by the event loop (a
pidfd where the system has them, else a short poll). A child that is given up gets TERM, then
its whole group gets KILL, before it is reaped, so the ids cannot belong to somebody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType

from rumpel.adapters import threads
from rumpel.errors import RumpelError, TimedOut

KEPT = (
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSL_CAINFO",
    "GIT_EXEC_PATH",
)
"""Where git and its transports are found; every other GIT_* would change what a command does."""
DROPPED_PREFIXES = ("GIT_", "RUMPEL_")
MAX_OUTPUT_BYTES = 16 << 20
TERM_GRACE_S = 2.0
READ_BYTES = 1 << 16
POLL_S = 0.005
_RUNNING: set[Child] = set()


@dataclass(frozen=True, slots=True)
class Completed:
    """A process that ended; `code` is negative for a signal."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes

    @property
    def error_text(self) -> str:
        """What it said on stderr, for a message; not yet safe for a terminal."""
        return self.stderr.decode("utf-8", "replace").strip()


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without what would lead git (or a child rumpel) astray; English output."""
    env = {
        key: value
        for key, value in os.environ.items()
        if key in KEPT or not key.startswith(DROPPED_PREFIXES)
    }
    env["LC_ALL"] = "C"
    return env | dict(extra or {})


async def run(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | None = None,
    timeout_s: float,
    pass_fds: Sequence[int] = (),
    max_output_bytes: int = MAX_OUTPUT_BYTES,
) -> Completed:
    """Run to the end, whatever the exit code.

    Raises TimedOut after `timeout_s`, RumpelError when it cannot be started or prints more than
    `max_output_bytes` on stdout (of stderr only the end is kept).
    """
    child = Child(
        argv, cwd=cwd, env=env, input=input, pass_fds=pass_fds, max_output_bytes=max_output_bytes
    )
    async with child:
        return await child.ended(timeout_s)


def run_blocking(
    argv: Sequence[str],
    *,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    input: bytes | None = None,
    timeout_s: float,
) -> Completed:
    """`run` for code that lives in a worker thread; for commands with small output."""
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env=clean_env() if env is None else dict(env),
            input=b"" if input is None else input,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as err:
        raise TimedOut(f"{argv[0]} did not end within {timeout_s:g} s") from err
    except OSError as err:
        raise _not_started(argv, err) from err
    return Completed(tuple(argv), done.returncode, done.stdout, done.stderr)


def run_bounded(
    argv: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    timeout_s: float,
    max_output_bytes: int,
    max_memory_bytes: int,
) -> Completed:
    """As `run_blocking`, for a program that reads what strangers wrote.

    Where the system has such limits it gets no further than they go, and fails there in its own
    way. What it printed is cut one byte behind `max_output_bytes`, so that it is seen.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            raise _not_started(argv, error) from error
        with child:
            limit(child.pid, resource.RLIMIT_FSIZE, max_output_bytes + 1)
            limit(child.pid, resource.RLIMIT_DATA, max_memory_bytes)
            try:
                code = child.wait(timeout_s)
            except subprocess.TimeoutExpired as error:
                os.killpg(child.pid, signal.SIGKILL)  # not reaped yet: it is nobody else's
                raise TimedOut(f"{argv[0]} did not end within {timeout_s:g} s") from error
        err.seek(max(err.tell() - MAX_OUTPUT_BYTES, 0))
        said = err.read()
        out.seek(0)
        return Completed(tuple(argv), code, out.read(max_output_bytes + 1), said)


def limit(pid: int, which: int, value: int) -> None:
    """Lower a resource limit of a process and its future children, where the system can."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        _, hard = resource.prlimit(pid, which)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.prlimit(pid, which, (value, value))


def tell_all(number: int) -> None:
    """A signal to everything that runs, from a thread of its own: for who cannot wait any more."""
    for child in tuple(_RUNNING):
        child.tell(number)


class Child:
    """A running process; leaving the context ends it and everything in its group."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        input: bytes | None = None,
        stdin: int | None = None,
        pass_fds: Sequence[int] = (),
        max_output_bytes: int = MAX_OUTPUT_BYTES,
        on_output: Callable[[bytes], None] | None = None,
    ) -> None:
        """`stdin`: a descriptor it reads from, instead of `input`. `on_output` hears what it prints
        as it comes, on either stream; nothing is kept then.
        """
        self.argv = tuple(argv)
        self._max_bytes, self._on_output = max_output_bytes, on_output
        self._loop = asyncio.get_running_loop()
        self._input = memoryview(input or b"")
        self._out, self._err = bytearray(), bytearray()
        self._done = asyncio.Event()
        self._failure: RumpelError | None = None
        self._open: set[int] = set()
        self._pidfd: int | None = None
        self._gone = asyncio.Event()
        if stdin is None:
            stdin = subprocess.PIPE if input else subprocess.DEVNULL
        self._start = lambda: subprocess.Popen(
            self.argv,
            cwd=cwd,
            env=clean_env() if env is None else dict(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
        )
        self._popen: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self._popen.pid

    async def __aenter__(self) -> Child:
        """Start it, in a thread: that takes a millisecond. Raises RumpelError if it cannot."""
        starting = asyncio.ensure_future(threads.call(self._start))
        try:
            self._popen = await asyncio.shield(starting)
        except OSError as err:
            raise _not_started(self.argv, err) from err
        except asyncio.CancelledError:
            with contextlib.suppress(OSError):
                self._popen = await starting
                await self.__aexit__(None, None, None)
            raise
        _RUNNING.add(self)
        self._pidfd = _pidfd(self.pid)
        if self._pidfd is not None:
            self._loop.add_reader(self._pidfd, self._left)
        for pipe in (self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self._open.add(pipe.fileno())
                self._loop.add_reader(pipe.fileno(), self._read, pipe.fileno())
        if self._popen.stdin is not None:
            os.set_blocking(self._popen.stdin.fileno(), False)
            self._write()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._popen.returncode is None:
                await self._give_up()
        finally:
            _RUNNING.discard(self)
            self._close()

    async def ended(self, timeout_s: float) -> Completed:
        """Wait for the end of the process and of its output. Raises TimedOut, RumpelError."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._done.wait()
                await self._exited()
        except TimeoutError as err:
            raise TimedOut(f"{self.argv[0]} did not end within {timeout_s:g} s") from err
        if self._failure is not None:
            raise self._failure
        code = self._popen.wait()
        return Completed(self.argv, code, bytes(self._out), bytes(self._err))

    def limit(self, which: int, value: int) -> None:
        """Of the process and its future children."""
        limit(self.pid, which, value)

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(fd)
            self._open.discard(fd)
            if not self._open:
                self._done.set()
            return
        if self._on_output is not None:
            self._on_output(data)
            return
        is_out = self._popen.stdout is not None and fd == self._popen.stdout.fileno()
        kept = self._out if is_out else self._err
        kept += data
        if len(kept) <= self._max_bytes:
            return
        if not is_out:
            del kept[: -self._max_bytes]
            return
        self._failure = RumpelError(f"{self.argv[0]} printed more than {self._max_bytes} bytes")
        self.tell(signal.SIGKILL)
        self._done.set()

    def _write(self) -> None:
        """Feed what the pipe takes; a child that does not read its input is its own affair."""
        pipe = self._popen.stdin
        if pipe is None:
            return
        try:
            while self._input:
                self._input = self._input[os.write(pipe.fileno(), self._input) :]
        except BlockingIOError:
            self._loop.add_writer(pipe.fileno(), self._write)
            return
        except OSError:
            self._input = memoryview(b"")
        self._loop.remove_writer(pipe.fileno())
        pipe.close()
        self._popen.stdin = None

    async def _exited(self) -> None:
        """Until the process is a zombie: it is reaped by whoever calls `wait` next."""
        if self._pidfd is None:
            while self._popen.poll() is None:  # noqa: ASYNC110 - nothing tells, without a pidfd
                await asyncio.sleep(POLL_S)
            return
        await self._gone.wait()

    def _left(self) -> None:
        """Once for all who wait: one that gives up must not take the watch from the next."""
        self._gone.set()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)

    async def _give_up(self) -> None:
        """TERM, a moment, KILL to the group. Shielded by nothing: it is short and bounded."""
        self.tell(signal.SIGTERM)
        try:
            async with asyncio.timeout(TERM_GRACE_S):
                await self._exited()
        except TimeoutError:
            pass
        finally:
            self.tell(signal.SIGKILL)
            self._popen.wait()

    def tell(self, number: int) -> None:
        """To the whole group, while its leader is not reaped (the id is still ours)."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _close(self) -> None:
        for fd in list(self._open):
            self._loop.remove_reader(fd)
        self._open.clear()
        if self._popen.stdin is not None:
            self._loop.remove_writer(self._popen.stdin.fileno())
        for pipe in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            if pipe is not None:
                pipe.close()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None


def _pidfd(pid: int) -> int | None:
    opener = getattr(os, "pidfd_open", None)
    if opener is None:
        return None
    try:
        return int(opener(pid))
    except OSError:
        return None


def _not_started(argv: Sequence[str], err: OSError) -> RumpelError:
    return RumpelError(f"{argv[0]} cannot be started: {err.strerror or err}")
