"""Terminals in pods that live on when nobody looks: `screen` or `tmux`, asked by one script.

The session is a process of the pod: it outlives the CLI, the daemon and the connection. What the
script answers comes from the pod and is taken for nothing more than it is.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rumpel.adapters import proc
from rumpel.adapters.docker_exec import TOKEN_ENV, Environment
from rumpel.adapters.docker_types import Completed
from rumpel.agents.model import Agent, Platform
from rumpel.daemon.agent_states import ENDED
from rumpel.daemon.app import App
from rumpel.daemon.pods import Pod
from rumpel.errors import NotFound, RumpelError, TimedOut
from rumpel.graphs.ids import address
from rumpel.tasks import agent_home, multiplexer
from rumpel.tasks.shell import Where

TIMEOUT_S = 30.0
DRAW_TIMEOUT_S = 5.0
LEAVES_S = 10
"""Codex takes 5 s to leave where what it tells its makers gets no answer."""
MAX_ANSWER_BYTES = 20 << 20
MAX_SCREEN_BYTES = 256 << 10
MAX_TEXT_BYTES = 4 << 20
MAX_COLS, MAX_ROWS = 500, 300
SIZE = re.compile(rb"draw ([1-9][0-9]{0,3}),([1-9][0-9]{0,3})\s*")
FILE = re.compile(rb"([0-9]{1,9}) (.{1,100})")
FINDS = 'cd "$1" || exit; for one in $2; do [ ! -e "$one" ] || exit 0; done; exit 1'
DETACH, DETACHED = b"\x01d", b"\r\n[detached"
ARCHES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
ROWS, COLS = 40, 120
"""Of one that starts with nobody looking."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What there is before an agent is started."""

    has_terminals: bool
    is_alive: bool
    platform: Platform
    files: Mapping[str, bytes]


def where_of(app: App, pod: Pod) -> Where:
    """Raises NotFound."""
    access = app.pods.access(pod.spec)
    if access is None:
        raise NotFound(f"pod {pod.name!r} has no container")
    return Where(
        host=pod.spec.host,
        container_id=access.container_id,
        user=access.user,
        cwd=pod.spec.container.workspace_folder,
        ask=app.links.near(address(pod.spec), access.container_id),
    )


async def look(app: App, where: Where, agent: Agent) -> Look:
    done = await _run(app, where, agent_home.argv("look", agent.name, *agent.reads))
    _raise_for(done, agent.name)
    head, _, rest = done.stdout.partition(b"\n")
    words = [*head.decode("ascii", "replace").split(), "", "", "", ""]
    arch = ARCHES.get(words[2])
    if arch is None:
        raise RumpelError(f"{agent.title} is not made for the machine of this pod")
    return Look(
        has_terminals=words[0] in ("screen", "tmux"),
        is_alive=words[1] == "alive",
        platform=Platform(arch=arch, is_musl=words[3] == "musl"),
        files=_files(rest, agent.reads),
    )


async def start(
    app: App,
    where: Where,
    name: str,
    command: list[str],
    *,
    env: Environment,
    files: Mapping[str, bytes],
    size: tuple[int, int] | None,
) -> None:
    """`env` has what signs it in: it goes nowhere but into the exec. Idempotent."""
    rows, cols = size or (ROWS, COLS)
    begin = agent_home.argv("start", name, str(rows), str(cols), where.cwd, *command)
    _raise_for(await _run(app, where, begin, env=env, given=agent_home.packed(files)), name)


async def alive(app: App, where: Where, names: Sequence[str]) -> list[str]:
    """Those of them whose session runs."""
    done = await _run(app, where, agent_home.argv("alive", *names))
    _raise_for(done, names[0])
    said = done.stdout.decode("ascii", "replace").split()
    return [name for name in names if name in said]


async def ending(app: App, pod: Pod, where: Where, name: str) -> None:
    """One that has said its end is given some seconds to come to it: until then it looks alive."""
    said = app.links.agents.of(pod.pod_id).get(name)
    if said is not None and said["state"] == ENDED:
        await _run(app, where, agent_home.argv("left", name, str(LEAVES_S)))


async def has_conversation(app: App, where: Where, agent: Agent) -> bool:
    """Is there one that could go on? Most agents begin a new one without a word where not."""
    if agent.headless is None:
        return False
    command = ["/bin/sh", "-c", FINDS, "rumpel", agent.home, agent.headless.conversations]
    return (await _run(app, where, command)).code == 0


async def send(app: App, where: Where, agent: Agent, text: bytes, *, enter: bool) -> None:
    """With `enter` as a text that is pasted and sent off, else as keys."""
    pause = [str(agent.enter_after_s)] if agent.enter_after_s else []
    keys = ["\r", *pause] if enter else []
    command = agent_home.argv("send", agent.name, *keys)
    _raise_for(await _run(app, where, command, given=text), agent.name)


async def capture(app: App, where: Where, name: str, *, with_history: bool) -> str:
    """The screen as text. With what scrolled away, `screen` knows ASCII only."""
    done = await _run(
        app, where, agent_home.argv("capture", name, *(["all"] if with_history else []))
    )
    _raise_for(done, name)
    head, _, rest = done.stdout[:MAX_TEXT_BYTES].partition(b"\n")
    if head == b"text":
        return rest.decode("utf-8", "replace")
    said = SIZE.fullmatch(head)
    if said is None:
        raise RumpelError(f"the session of {name} does not say how large it is")
    cols, rows = min(int(said[1]), MAX_COLS), min(int(said[2]), MAX_ROWS)
    return await _drawn(app, where, name, cols, rows)


async def _drawn(app: App, where: Where, name: str, cols: int, rows: int) -> str:
    """What a display shows that is attached and at once detached again."""
    host, token = app.world.host(where.host), secrets.token_hex(8)
    stream = await host.exec_stream(
        where.container_id,
        agent_home.argv("draw", name, str(cols), str(rows)),
        user=where.user,
        cwd="/",
        env={"TERM": "xterm", TOKEN_ENV: token},
        tty=True,
    )
    shown = b""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await stream.write(DETACH)
            while (frame := await stream.read()) is not None and len(shown) < MAX_SCREEN_BYTES:
                shown += frame[1]
    except TimeoutError:
        raise TimedOut(f"the session of {name} did not draw itself") from None
    finally:
        await stream.close()
        if DETACHED not in shown:
            await host.kill_tree(where.container_id, token, user=where.user)
    return await _lines(shown.rpartition(DETACHED)[0], cols, rows, name)


async def _lines(written: bytes, cols: int, rows: int, name: str) -> str:
    """By a process of its own, for a pod can write what takes hours to draw."""
    argv = [sys.executable, "-P", "-m", "rumpel.adapters.screen_text", str(cols), str(rows)]
    try:
        done = await proc.run(argv, input=written, timeout_s=DRAW_TIMEOUT_S, cwd="/")
    except TimedOut:
        raise RumpelError(f"what the session of {name} shows takes too long to draw") from None
    if done.code != 0:
        raise RumpelError(f"what the session of {name} shows cannot be drawn: {done.error_text}")
    return done.stdout.decode("utf-8", "replace")


async def _run(
    app: App,
    where: Where,
    command: list[str],
    *,
    env: Environment | None = None,
    given: bytes | None = None,
) -> Completed:
    host = app.world.host(where.host)
    return await host.exec_run(
        where.container_id,
        command,
        user=where.user,
        cwd="/",
        env={**where.env, **(env or {}), TOKEN_ENV: secrets.token_hex(8)},
        input=given,
        timeout_s=TIMEOUT_S,
        max_output_bytes=MAX_ANSWER_BYTES,
    )


def _files(rest: bytes, wanted: tuple[str, ...]) -> dict[str, bytes]:
    """Only those that were asked for, each once, as far as they are whole."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(rest):
        end = rest.find(b"\n", at, at + 200)
        said = FILE.fullmatch(rest, at, end) if end >= 0 else None
        name = "" if said is None else said[2].decode("utf-8", "replace")
        if said is None or name not in wanted or name in found:
            break
        at = end + 1 + int(said[1])
        if at > len(rest):
            break
        found[name] = rest[end + 1 : at]
    return found


def _raise_for(done: Completed, name: str) -> None:
    match done.code:
        case 0:
            return
        case agent_home.NOT_INSTALLED:
            raise agent_home.NotInstalled(f"the program of {name} is not in this pod's volume")
        case 5:  # what runs there ended meanwhile
            raise NotFound(f"no session of {name} runs in this pod")
        case 4:
            raise multiplexer.missing()
        case _:
            said = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise RumpelError(
                f"the session of {name} could not be reached: {said or f'exit code {done.code}'}",
                hint="a pod made before there were agents needs: rumpel recreate --force NAME",
            )
