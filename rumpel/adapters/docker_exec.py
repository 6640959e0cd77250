"""Processes in a running container: streams, runs to the end, exit codes, the end of a tree.

An exec outlives its client and the engine has no call that kills one (notes/reliability.md F8),
so every run of ours carries a token in its environment; who wants its end finds the whole tree by
that token with nothing but `sh` and `grep`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

from rumpel.adapters import docker_types as types
from rumpel.adapters import task_group
from rumpel.adapters.docker_http import HttpClient, segment
from rumpel.adapters.docker_stream import DockerStream
from rumpel.adapters.docker_wire import Wire
from rumpel.adapters.stream import STDOUT
from rumpel.errors import HostUnreachable, RumpelError, TimedOut

log = logging.getLogger(__name__)

TOKEN_ENV = "RUMPEL_EXEC"  # noqa: S105 - a name, not a secret
EXIT_TIMEOUT_S = 10.0
KILL_GRACE_S = 2.0

Output = Callable[[int, bytes], None]
Environment = Mapping[str, str | None]
"""Beyond the container's own; None takes one of those away."""
Input = bytes | AsyncGenerator[bytes, None]
"""What the pieces raise is raised when the process has ended, for which they just end."""

# Run by the victim's own user: without CAP_SYS_PTRACE even root cannot read another's environ.
# One grep for all processes, since a fork for each would take seconds in a busy pod. When all
# that is left ignores TERM (15, so bit 14 of SigIgn), there is nothing to wait for.
KILL_SCRIPT = """\
token=$1 tries=$2
sweep() {
  found=1
  for file in $(grep -ls "RUMPEL_EXEC=$token" /proc/[0-9]*/environ); do
    pid=${file#/proc/}
    kill "-$1" "${pid%/environ}" 2>/dev/null && found=0
  done
  return $found
}
deaf() {
  set --
  for file in $(grep -ls "RUMPEL_EXEC=$token" /proc/[0-9]*/environ); do
    set -- "$@" "${file%environ}status"
  done
  left=$#
  set -- $(grep -ls '^SigIgn:.*[4-7c-f]...$' "$@" /dev/null)
  [ $# -ge "$left" ]
}
sweep TERM || exit 0
while [ "$tries" -gt 0 ] && ! deaf; do
  sleep 0.1 2>/dev/null || sleep 1
  sweep 0 || exit 0
  tries=$((tries - 1))
done
sweep KILL
exit 0
"""


async def open_stream(
    http: HttpClient,
    container: str,
    argv: Sequence[str],
    *,
    user: str = "",
    env: Environment | None = None,
    cwd: str = "",
    tty: bool = False,
    stdin: bool = True,
) -> DockerStream:
    """Start a process and take its streams. NotFound: no container; Conflict: it is not running.

    A program that does not exist shows as text on the stream and exit code 126 or 127.
    """
    exec_id = await create(http, container, argv, user=user, env=env, cwd=cwd, tty=tty, stdin=stdin)
    return await _start(http, exec_id, argv[0], container, tty=tty)


async def _start(
    http: HttpClient, exec_id: str, program: str, container: str, *, tty: bool = False
) -> DockerStream:
    what = f"{program} in container {container[:12]}"

    async def start() -> tuple[Wire, bytes]:
        return await http.take_over(
            f"/exec/{exec_id}/start", body={"Detach": False, "Tty": tty}, what=what
        )

    try:
        wire, head = await start()
    except HostUnreachable:
        # The way to a remote engine may have broken unnoticed. The exec itself tells whether the
        # word got through; said twice, the engine refuses it.
        if http.endpoint.ready is None or await _has_begun(http, exec_id):
            raise
        wire, head = await start()
    url = http.endpoint.url
    return DockerStream(wire, head, is_tty=tty, name=what, url=url, exec_id=exec_id)


async def _has_begun(http: HttpClient, exec_id: str) -> bool:
    answer = await http.request("GET", f"/exec/{exec_id}/json", timeout_s=EXIT_TIMEOUT_S)
    found = types.mapping(answer.json(), "an exec")
    return found.get("Running") is not False or bool(found.get("Pid"))


async def create(
    http: HttpClient,
    container: str,
    argv: Sequence[str],
    *,
    user: str,
    env: Environment | None,
    cwd: str,
    tty: bool,
    stdin: bool,
) -> str:
    given = env or {}
    gone = [name for name, value in given.items() if value is None]
    if gone:  # an engine gives its container's variables to every exec
        argv = ["env", *(word for name in gone for word in ("-u", name)), *argv]
    body = {
        "AttachStdin": stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": tty,
        "Cmd": list(argv),
        "Env": [f"{name}={value}" for name, value in given.items() if value is not None],
        "User": user,
        "WorkingDir": cwd,
    }
    path = f"/containers/{segment(container)}/exec"
    what = f"container {container[:12]}"
    answer = await http.request("POST", path, body=body, what=what, is_harmless=True)
    return types.container_id(types.mapping(answer.json(), "an exec").get("Id"))


async def exit_code(http: HttpClient, exec_id: str, timeout_s: float = EXIT_TIMEOUT_S) -> int:
    """The code of a process whose stream has ended. The engine learns it a moment later.

    Raises NotFound when its container is gone, TimedOut when it still runs.
    """
    pause_s = 0.002
    try:
        async with asyncio.timeout(timeout_s):
            while (code := await peek(http, exec_id)) is None:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.25)
    except TimeoutError as err:
        raise TimedOut(f"a process in a container still runs after {timeout_s:g} s") from err
    return code


async def peek(http: HttpClient, exec_id: str) -> int | None:
    """Its exit code, None while it runs."""
    answer = await http.request("GET", f"/exec/{segment(exec_id)}/json", what="exec")
    data = types.mapping(answer.json(), "an exec")
    if data.get("Running") or data.get("ExitCode") is None:
        return None
    return types.number(data, "ExitCode")


async def resize(http: HttpClient, exec_id: str, rows: int, cols: int) -> None:
    """Set a terminal's size; nothing happens when the process is gone."""
    path = f"/exec/{segment(exec_id)}/resize"
    try:
        await http.request("POST", path, query={"h": rows, "w": cols}, what="exec")
    except HostUnreachable:
        raise
    except RumpelError as error:
        # Of one that has just ended an engine says 404, 409 or 500 in many words, some time before
        # it knows the exit code. No session is worth less for the size of its terminal.
        log.info("resize: %s", error.message)


async def run(
    http: HttpClient,
    container: str,
    argv: Sequence[str],
    *,
    user: str = "",
    env: Environment | None = None,
    cwd: str = "",
    input: Input | None = None,
    timeout_s: float = 60.0,
    max_output_bytes: int = 16 << 20,
    on_output: Output | None = None,
    token: str | None = None,
) -> types.Completed:
    """Run to the end. TimedOut or a cancelled caller ends the process and all its children.

    So does a lost way to the engine (HostUnreachable), unless it ended by itself and was heard
    until then. Output beyond `max_output_bytes` is read and dropped; `on_output(kind, data)` sees
    all of it. `token` marks its processes, for who wants to end them later.
    """
    env = {**(env or {}), TOKEN_ENV: (token := token or secrets.token_hex(16))}
    losses, stdin = http.endpoint.losses(), input is not None
    exec_id = await create(
        http, container, argv, user=user, env=env, cwd=cwd, tty=False, stdin=stdin
    )
    # Asked for, it starts: also when nobody waits for the answer any more.
    starting = asyncio.ensure_future(_start(http, exec_id, argv[0], container))
    try:
        stream = await asyncio.shield(starting)
        async with asyncio.timeout(timeout_s):
            out, err, is_cut = await _drain(stream, input, max_output_bytes, on_output)
        if on_output is None and http.endpoint.losses() != losses:
            raise TimedOut("not heard to its end")
        code = await exit_code(http, exec_id)
    except (TimeoutError, TimedOut, asyncio.CancelledError) as cause:
        await asyncio.shield(_end(http, container, token, user, starting))
        if isinstance(cause, Exception):
            raise _why(http, losses, argv[0], timeout_s, cause) from cause
        raise
    return types.Completed(code=code, stdout=out, stderr=err, is_cut=is_cut)


def _why(
    http: HttpClient, losses: int, program: str, timeout_s: float, cause: Exception
) -> RumpelError:
    """What kept a process from being heard to its end."""
    if http.endpoint.losses() != losses:
        return HostUnreachable(
            f"the connection to {http.endpoint.url} was lost while {program} ran"
        )
    if isinstance(cause, TimedOut):
        return TimedOut(cause.message)
    return TimedOut(f"{program} did not end within {timeout_s:g} s")


async def _end(
    http: HttpClient, container: str, token: str, user: str, starting: asyncio.Future[DockerStream]
) -> None:
    """Of all with that token: also of what the engine starts only now, long after it said so."""
    with contextlib.suppress(RumpelError):
        stream = await asyncio.shield(starting)  # however long the engine takes
        try:
            for pause_s in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
                is_tried = await kill_tree(http, container, token, user=user)
                if not is_tried or await peek(http, stream.exec_id) is not None:
                    break  # what changed its user is not ours to end, so not for ever
                await asyncio.sleep(pause_s)
                if await peek(http, stream.exec_id) is not None:
                    break
        finally:
            await stream.close()


async def _drain(
    stream: DockerStream, data: Input | None, limit: int, on_output: Output | None
) -> tuple[bytes, bytes, bool]:
    """All it says; the stream is closed then."""
    try:
        return await _fed(stream, data, limit, on_output)
    finally:
        await stream.close()


async def _fed(
    stream: DockerStream, data: Input | None, limit: int, on_output: Output | None
) -> tuple[bytes, bytes, bool]:
    if data is None:
        return await _collect(stream, limit, on_output)
    failure: RumpelError | None = None
    async with task_group.opened() as group:
        feeder = group.create_task(_feed(stream, data))
        try:
            collected = await _collect(stream, limit, on_output)
        except RumpelError as err:  # raised below: a group would wrap it
            failure = err
        feeder.cancel()
    if failure is None and not feeder.cancelled():
        failure = feeder.result()
    if failure is not None:
        raise failure
    return collected


async def _collect(
    stream: DockerStream, limit: int, on_output: Output | None
) -> tuple[bytes, bytes, bool]:
    out, err = bytearray(), bytearray()
    is_cut = False
    while (piece := await stream.read()) is not None:
        kind, chunk = piece
        part = out if kind == STDOUT else err
        room = max(limit - len(part), 0)
        is_cut = is_cut or len(chunk) > room
        part += chunk[:room]
        if on_output is not None:
            on_output(kind, chunk)
    return bytes(out), bytes(err), is_cut


async def _feed(stream: DockerStream, data: Input) -> RumpelError | None:
    """What `data` raised."""
    failure = None
    # A process that does not read its stdin is not an error of its run.
    with contextlib.suppress(HostUnreachable):
        if isinstance(data, bytes):
            await stream.write(data)
        else:
            failure = await _feed_pieces(stream, data)
        await stream.write_eof()
    return failure


async def _feed_pieces(
    stream: DockerStream, data: AsyncGenerator[bytes, None]
) -> RumpelError | None:
    async with contextlib.aclosing(data):
        while True:
            try:
                piece = await anext(data)
            except StopAsyncIteration:
                return None
            except RumpelError as error:
                return error
            await stream.write(piece)


async def kill_tree(
    http: HttpClient,
    container: str,
    token: str,
    *,
    user: str = "",
    grace_s: float = KILL_GRACE_S,
) -> bool:
    """End every process that inherited `token`: TERM, then KILL. Quiet when nothing is left.

    False: it was not to be done, e.g. in a container that is paused.
    """
    argv = ["sh", "-c", KILL_SCRIPT, "sh", token, str(int(grace_s * 10))]
    with contextlib.suppress(RumpelError, TimeoutError):
        async with asyncio.timeout(grace_s + 10):
            stream = await open_stream(http, container, argv, user=user, stdin=False)
            try:
                while await stream.read() is not None:
                    pass
            finally:
                await stream.close()
            return True
    return False
