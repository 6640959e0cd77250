"""Running commands in a pod as its user would: environment of a login shell, own process group.

No operation of its own; lifecycle commands and `enter` share it. The environment is the
container's, then what the user's shell profile makes of it (userEnvProbe), then remoteEnv.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_exec import TOKEN_ENV, Environment
from rumpel.adapters.pod_link import Ask
from rumpel.adapters.stream import STDERR, Stream
from rumpel.devcontainer.variables import running_stage
from rumpel.errors import RumpelError, TimedOut
from rumpel.tasks.world import World

PROBE_TIMEOUT_S = 10.0
MAX_ENV_BYTES = 1 << 20
MARKS = 3
"""In what PROBE_SCRIPT prints."""
MAX_LINE_BYTES = 16 << 10
SHELL_FLAGS = {
    "loginInteractiveShell": "-lic",
    "interactiveShell": "-ic",
    "loginShell": "-lc",
}

# Prints the passwd shell and home of the user, then the environment its profile makes. The
# profile may start a background process that keeps the pipe open: everything after the end
# marker is somebody else's, so the reader stops there and does not wait for the end.
PROBE_SCRIPT = r"""
mark=$1 flags=$2
entry=$(getent passwd "$(id -u)" 2>/dev/null || grep "^[^:]*:[^:]*:$(id -u):" /etc/passwd)
shell=${entry##*:}; home=${entry%:*}; home=${home##*:}
[ -x "${shell:-/none}" ] || shell=/bin/sh
export HOME="${home:-/}" SHELL="$shell"
printf '%s\000%s\000%s\000' "$mark" "$shell" "$HOME"
if [ -n "$flags" ]; then
    "$shell" "$flags" "printf '%s\\000' $mark; cat /proc/self/environ; printf '%s\\000' $mark" \
        </dev/null 2>/dev/null
else
    printf '%s\000' "$mark"; cat /proc/self/environ; printf '%s\000' "$mark"
fi
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    host: str
    container_id: str
    user: str
    cwd: str
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What the container was not created with and yet is part of its environment."""
    ask: Ask | None = field(default=None, compare=False, repr=False)
    """The pod's link, when it is at hand and leads into what an exec would (`Links.near`)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What the probe found; `env` is the whole environment of the user's shell."""

    shell: str
    env: Mapping[str, str]


_profiles: dict[tuple[str, str, str, str], Profile] = {}


async def profile(world: World, where: Where, probe: str) -> Profile:
    """The user's shell and environment; asked once per container, user and kind of probe."""
    key = (where.host, where.container_id, where.user, probe)
    found = _profiles.get(key)
    if found is None:
        found = await _probe(world.host(where.host), where, SHELL_FLAGS.get(probe, ""))
        if len(_profiles) > 512:
            _profiles.clear()
        _profiles[key] = found
    return found


async def environment(
    world: World, where: Where, *, probe: str, remote_env: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Everything a command of the user gets; None takes a variable of the container away."""
    found = await profile(world, where, probe)
    own = {name: value for name, value in found.env.items() if name not in ("PWD", "OLDPWD")}
    env: dict[str, str | None] = {**world.proxies.get(where.host, {}), **own}
    container = await container_env(world, where) if _mentions(remote_env) else {}
    for name, value in remote_env.items():
        env[name] = None if value is None else running_stage(value, container)
    return env


async def container_env(world: World, where: Where) -> dict[str, str]:
    """The container's own environment, which `${containerEnv:...}` reads."""
    detail = await world.host(where.host).inspect(where.container_id)
    pairs = (str(item).partition("=") for item in detail.config.get("Env") or ())
    return {**{name: value for name, _, value in pairs}, **where.env}


def _mentions(remote_env: Mapping[str, str | None]) -> bool:
    return any("${containerEnv:" in (value or "") for value in remote_env.values())


async def run(
    world: World,
    where: Where,
    argv: tuple[str, ...],
    *,
    env: Environment,
    on_line: Callable[[str], None],
    token: str | None = None,
) -> int:
    """Run to the end, line by line; killed with all it started when cancelled.

    `token` marks its processes, for who wants to end them later. Returns the exit code as the
    engine reports it, never as the output claims.
    """
    host = world.host(where.host)
    token = token or secrets.token_hex(8)
    stream = await host.exec_stream(
        where.container_id,
        argv,
        user=where.user,
        cwd=where.cwd,
        env={**env, TOKEN_ENV: token},
        stdin=False,
    )
    done = False
    try:
        await _lines(stream, on_line)
        code = await host.exec_exit_code(stream.exec_id)
        done = True
        return code
    finally:
        await stream.close()
        if not done:
            await host.kill_tree(where.container_id, token, user=where.user)


async def _lines(stream: Stream, on_line: Callable[[str], None]) -> None:
    pending = b""
    while (frame := await stream.read()) is not None:
        pending += frame[1]
        *lines, pending = pending.split(b"\n")
        for line in lines:
            on_line(line[:MAX_LINE_BYTES].decode(errors="replace").rstrip("\r"))
        if len(pending) > MAX_LINE_BYTES:
            on_line(pending[:MAX_LINE_BYTES].decode(errors="replace"))
            pending = b""
    if pending:
        on_line(pending.decode(errors="replace"))


async def _probe(host: DockerHost, where: Where, flags: str) -> Profile:
    """Source: spec, userEnvProbe. A profile that hangs costs 10 s once, then goes without."""
    mark = f"rumpel-{secrets.token_hex(8)}"
    try:
        raw = await _asked(host, where, mark, flags) or await _read_marked(host, where, mark, flags)
    except TimedOut:
        raw = await _read_marked(host, where, mark, "")
    fields = raw.split(mark.encode() + b"\0")
    first = fields[1] if len(fields) > 1 else b""
    head = [part.decode(errors="replace") for part in first.split(b"\0")[:2]]
    shell, home = (*head, "", "")[:2]
    env: dict[str, str] = {}
    for item in (fields[2] if len(fields) > 2 else b"").split(b"\0"):
        variable, eq, value = item.partition(b"=")
        if eq and variable:
            env[variable.decode(errors="surrogateescape")] = value.decode(errors="replace")
    env.setdefault("HOME", home or "/")
    for name in (TOKEN_ENV, "SHLVL", "_"):
        env.pop(name, None)
    return Profile(shell or "/bin/sh", env)


async def _asked(host: DockerHost, where: Where, mark: str, flags: str) -> bytes | None:
    """The same over the pod's link, without an exec; None: that takes one. Raises TimedOut."""
    if where.ask is None or where.env:
        return None
    token = secrets.token_hex(8)
    words = (where.cwd, PROBE_SCRIPT, mark, flags, f"{TOKEN_ENV}={token}")
    try:
        answer = await where.ask("probe", *words, timeout_s=PROBE_TIMEOUT_S)
        raw = base64.b64decode(answer, validate=True)
    except TimedOut:
        await host.kill_tree(where.container_id, token, user=where.user)
        raise
    except (RumpelError, ValueError):
        return None
    return raw if raw.count(f"{mark}\0".encode()) == MARKS else None


async def _read_marked(host: DockerHost, where: Where, mark: str, flags: str) -> bytes:
    token = secrets.token_hex(8)
    stream = await host.exec_stream(
        where.container_id,
        ["/bin/sh", "-c", PROBE_SCRIPT, "sh", mark, flags],
        user=where.user,
        cwd="/",
        env={**where.env, TOKEN_ENV: token},
        stdin=False,
    )
    raw = b""
    finished = False
    end = mark.encode() + b"\0"
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            while raw.count(end) < MARKS and len(raw) < MAX_ENV_BYTES:
                frame = await stream.read()
                if frame is None:
                    break
                if frame[0] != STDERR:
                    raw += frame[1]
        finished = True
    except TimeoutError as error:
        raise TimedOut("the shell profile did not end") from error
    finally:
        await stream.close()
        if not finished:
            await host.kill_tree(where.container_id, token, user=where.user)
    return raw
