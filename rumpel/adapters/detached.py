"""A program in a container that is started once and goes on when nobody listens.

An exec ends with nobody, but what it says is lost with its client. So the program writes into
files of a folder of its own, and an exec reads them: who comes later, after a daemon was killed or
a connection lost, hears it from its beginning, and never starts it again.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rumpel.adapters import task_group
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_exec import TOKEN_ENV, Environment
from rumpel.adapters.pod_link import Ask
from rumpel.adapters.stream import STDERR, STDOUT, Stream
from rumpel.errors import RumpelError, TimedOut
from rumpel.resources import resource_text

NO_ROOM, INPUT_CUT = 97, 98
READ_TIMEOUT_S = 300.0
MAX_TAIL_BYTES = 8192
SOON_S = 3.0
"""Until then nobody hears what is printed."""
NOT_SHOWN = ("-", "=")
"""Of stdout, in the answer of a link: there is none, or too much for it."""


class Cut(RumpelError):
    """It was killed from outside: the container was stopped, or ran out of memory."""

    code = "cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is started, and how it is known again."""

    argv: Sequence[str]
    folder: str
    """In the container; it is made, and holds what the program says."""
    token: str
    """Marks its processes."""
    user: str
    cwd: str
    env: Environment = field(repr=False)
    input: bytes = field(default=b"", repr=False)


async def run(
    host: DockerHost,
    container: str,
    program: Program,
    *,
    timeout_s: float,
    on_output: Callable[[int, bytes], None],
    ask: Ask | None = None,
) -> int:
    """Start it, or find what was started with this folder; its exit code.

    `on_output` hears stdout from the beginning, then the last of stderr. Who is cancelled leaves
    it running. `ask`: a link that is at hand; what ends soon then needs no exec. Raises Cut,
    TimedOut (all of it is ended then), HostUnreachable.
    """
    heard = _Heard(on_output)
    try:
        async with asyncio.timeout(timeout_s):
            if not await _is_soon(ask, program, heard):
                await _by_exec(host, container, program, heard)
    except TimeoutError as error:
        await host.kill_tree(container, program.token, user=program.user)
        raise TimedOut(f"{program.argv[0]} did not end within {timeout_s:g} s") from error
    size, code = heard.end or (0, None)
    if heard.size < size:
        await _rest(host, container, program, heard)
    if heard.tail:
        on_output(STDERR, heard.tail)
    if code is None:
        raise Cut("it was killed from outside")
    return code


async def _is_soon(ask: Ask | None, program: Program, heard: _Heard) -> bool:
    """Begun over the link, and ended before an exec is worth it, which hears it from its start."""
    if ask is None or program.input:
        return False
    env = [f"{name}={value}" for name, value in _env(program).items()]
    words = (program.cwd, program.folder, *env, *_script(program, shows="no"))
    try:
        answer = await ask("task", *words, timeout_s=SOON_S)
        said, _, out = answer.partition(" ")
        heard.take(STDERR, base64.b64decode(said, validate=True))
        if heard.end is not None and out not in NOT_SHOWN:
            heard.take(STDOUT, base64.b64decode(out, validate=True))
    except (RumpelError, ValueError):  # an exec finds what was begun
        return False
    return heard.end is not None


async def _by_exec(host: DockerHost, container: str, program: Program, heard: _Heard) -> None:
    heard.forget()
    stream = await host.exec_stream(
        container, _script(program), user=program.user, cwd=program.cwd, env=_env(program)
    )
    try:
        await _fed(stream, program.input, heard)
    finally:
        await stream.close()
    if heard.end is None:
        raise _unread(await host.exec_exit_code(stream.exec_id), heard.tail)


def _env(program: Program) -> dict[str, str | None]:
    return {**program.env, TOKEN_ENV: program.token}


def _script(program: Program, *, shows: str = "yes") -> list[str]:
    size = str(len(program.input))
    script = resource_text("pod_task.sh")
    return ["/bin/sh", "-c", script, "rumpel", program.folder, size, shows, *program.argv]


class _Heard:
    """How much of stdout, and of stderr the first line, which is the script's, and the rest."""

    def __init__(self, on_output: Callable[[int, bytes], None]) -> None:
        self._on_output = on_output
        self.size = 0
        self._stderr = b""

    def forget(self) -> None:
        """What ended badly before stdout was heard is no end."""
        self._stderr = b""

    def take(self, stream: int, data: bytes) -> None:
        if stream == STDERR:
            self._stderr = (self._stderr + data)[:MAX_TAIL_BYTES]
        else:
            self.size += len(data)
            self._on_output(STDOUT, data)

    @property
    def end(self) -> tuple[int, int | None] | None:
        """(bytes of stdout, exit code or None for `cut`)."""
        words = self._stderr.partition(b"\n")[0].split()
        if len(words) != 2 or not words[0].isdigit():
            return None
        if words[1] == b"cut":
            return int(words[0]), None
        return (int(words[0]), int(words[1])) if words[1].isdigit() else None

    @property
    def tail(self) -> bytes:
        first, _, rest = self._stderr.partition(b"\n")
        return rest if self.end is not None else first + rest


async def _fed(stream: Stream, data: bytes, heard: _Heard) -> None:
    failure: RumpelError | None = None
    async with task_group.opened() as group:
        feeder = group.create_task(_feed(stream, data))
        try:
            while (frame := await stream.read()) is not None:
                heard.take(*frame)
        except RumpelError as error:  # raised below: a group would wrap it
            failure = error
        feeder.cancel()
    if failure is not None:
        raise failure


async def _feed(stream: Stream, data: bytes) -> None:
    try:
        await stream.write(data)
        await stream.write_eof()
    except RumpelError:
        return  # one that was started before reads nothing


async def _rest(host: DockerHost, container: str, program: Program, heard: _Heard) -> None:
    """What the reader did not get to say before it was ended."""
    await host.exec_run(
        container,
        ["tail", "-c", f"+{heard.size + 1}", f"{program.folder}/out"],
        user=program.user,
        cwd="/",
        timeout_s=READ_TIMEOUT_S,
        max_output_bytes=0,
        on_output=lambda kind, data: heard.take(kind, data) if kind == STDOUT else None,
    )


def _unread(code: int, said: bytes) -> RumpelError:
    text = said.decode("utf-8", "replace").strip()[-300:]
    if code == INPUT_CUT:
        return RumpelError("what it was to be given did not arrive")
    if code == NO_ROOM:
        return RumpelError(f"there is no room for it in the pod: {text}")
    return RumpelError(f"its output could not be read: {text or f'exit code {code}'}")
