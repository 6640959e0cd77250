"""Terminals in pods that live on when nobody looks: `screen` or `tmux`, asked by one script.

The session is a process of the pod: it outlives the CLI, the daemon and the connection. What the
script answers comes from the pod and is taken for nothing more than it is.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rumpel.adapters.docker_exec import TOKEN_ENV
from rumpel.adapters.docker_types import Completed
from rumpel.agents.model import Agent, Platform
from rumpel.daemon.app import App
from rumpel.errors import NotFound, RumpelError, TimedOut
from rumpel.names import AGENT_HOME_PATH
from rumpel.resources import resource_text
from rumpel.tasks.shell import Where

TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 32 << 20
MAX_SCREEN_BYTES = 4 << 20
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


def argv(verb: str, name: str, *args: str) -> list[str]:
    script = resource_text("pod_session.sh")
    return ["/bin/sh", "-c", script, "rumpel", verb, AGENT_HOME_PATH, name, *args]


async def look(app: App, where: Where, agent: Agent) -> Look:
    done = await _run(app, where, argv("look", agent.name, *agent.reads))
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
    env: Mapping[str, str],
    files: Mapping[str, bytes],
    size: tuple[int, int] | None,
) -> None:
    """`env` has what signs it in: it goes nowhere but into the exec. Idempotent."""
    rows, cols = size or (ROWS, COLS)
    given = b"".join(
        b"%d %s\n%s" % (len(text), path.encode(), text) for path, text in files.items()
    )
    begin = argv("start", name, str(rows), str(cols), where.cwd, *command)
    _raise_for(await _run(app, where, begin, env=env, given=given), name)


async def alive(app: App, where: Where, names: Sequence[str]) -> list[str]:
    """Those of them whose session runs."""
    done = await _run(app, where, argv("alive", *names))
    _raise_for(done, names[0])
    said = done.stdout.decode("ascii", "replace").split()
    return [name for name in names if name in said]


async def send(app: App, where: Where, name: str, text: bytes, *, enter: bool) -> None:
    """With `enter` as a text that is pasted and sent off, else as keys."""
    keys = ["\r"] if enter else []
    _raise_for(await _run(app, where, argv("send", name, *keys), given=text), name)


async def capture(app: App, where: Where, name: str, *, with_history: bool) -> str:
    """The screen as text. With what scrolled away, `screen` knows ASCII only."""
    done = await _run(app, where, argv("capture", name, *(["all"] if with_history else [])))
    _raise_for(done, name)
    head, _, rest = done.stdout.partition(b"\n")
    if head == b"text":
        return "".join(c if c.isprintable() or c == "\n" else "?" for c in rest.decode("latin-1"))
    cols, _, rows = head.decode("ascii", "replace").removeprefix("draw ").partition(",")
    if not (cols.isdecimal() and rows.isdecimal() and int(cols) <= 1000 and int(rows) <= 1000):
        raise RumpelError(f"the session of {name} does not say how large it is")
    return await _drawn(app, where, name, int(cols), int(rows))


async def _drawn(app: App, where: Where, name: str, cols: int, rows: int) -> str:
    """What a display shows that is attached and at once detached again."""
    host, token = app.world.host(where.host), secrets.token_hex(8)
    stream = await host.exec_stream(
        where.container_id,
        argv("draw", name, str(cols), str(rows)),
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
    return "\n".join(drawn(shown.rpartition(DETACHED)[0], cols, rows))


def drawn(written: bytes, cols: int, rows: int) -> list[str]:
    """The lines of a terminal that `written` was written to."""
    import pyte  # 40 ms, for one verb

    screen = pyte.Screen(cols, rows)
    stream = pyte.ByteStream(screen)
    for piece in re.split(rb"(?=[\x1b\x9b])", written):
        try:
            stream.feed(piece)
        except (TypeError, ValueError, LookupError, UnboundLocalError):
            stream = pyte.ByteStream(screen)  # what no terminal knows breaks it
    return [line.replace("\xa0", " ").rstrip() for line in screen.display]


async def _run(
    app: App,
    where: Where,
    command: list[str],
    *,
    env: Mapping[str, str] | None = None,
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
    while rest:
        head, _, rest = rest.partition(b"\n")
        size, _, name = head.decode("utf-8", "replace").partition(" ")
        if not size.isdecimal() or name not in wanted or len(rest) < int(size):
            break
        found[name], rest = rest[: int(size)], rest[int(size) :]
    return found


def no_terminals() -> RumpelError:
    return RumpelError(
        "the pod has neither screen nor tmux: nothing could go on there when nobody looks",
        hint="install screen in the image, e.g. RUN apt-get update && apt-get install -y screen",
    )


def _raise_for(done: Completed, name: str) -> None:
    match done.code:
        case 0:
            return
        case 5:  # what runs there ended meanwhile
            raise NotFound(f"no session of {name} runs in this pod")
        case 4:
            raise no_terminals()
        case _:
            said = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise RumpelError(
                f"the session of {name} could not be reached: {said or f'exit code {done.code}'}",
                hint="a pod made before there were agents needs: rumpel recreate --force NAME",
            )
