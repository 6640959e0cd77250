"""Agents in pods: a hook until who waits knows, a key until its echo, a command to the prompt."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from pods import container_of
from world import DEV, Figure, Raw, Rumpel

sys.path.append(str(Path(__file__).resolve().parents[1]))  # behind the installed package

from rumpel.names import AGENT_HOME_PATH
from rumpel.tasks import agent_home
from tests.support.fake_api import model

CONFIG = {"image": DEV, "remoteUser": "dev", "runArgs": ["--network=none"]}
POD = "agents"
FOLDER = "/workspaces/agents"
STEP_S = 0.002
LIMIT_S = 60.0
KEYS = b"abcdefghijklmnopqrstuvwxyz"
VERSION = "2.1.332"
PROMPT = b"bypass permissions on"


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, argv: Sequence[str], cwd: Path, env: dict[str, str]) -> None:
        self.fd, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env | {"TERM": "xterm-256color"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)

    def until(self, wanted: bytes) -> None:
        """Read until it was shown."""
        shown, end = b"", time.monotonic() + LIMIT_S
        while wanted not in shown:
            if not select.select([self.fd], [], [], max(0.0, end - time.monotonic()))[0]:
                raise SystemExit(f"{wanted!r} was not shown, but {shown[-300:]!r}")
            shown = (shown + os.read(self.fd, 65536))[-65536:]

    def quiet(self) -> None:
        """Until nothing more comes."""
        while select.select([self.fd], [], [], 0.3)[0]:
            os.read(self.fd, 65536)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.fd)


def measure(rumpel: Rumpel, raw: Raw, rounds: int) -> list[Figure]:
    repo = rumpel.repo("agents", json.dumps(CONFIG))
    rumpel.run("create", POD, cwd=repo)
    container = container_of(rumpel, raw, POD)
    found = [_hook(rumpel, raw, repo, container, rounds), *_echo(rumpel, raw, repo, container)]
    rumpel.run("delete", "--force", POD, cwd=repo)
    return found


def _hook(rumpel: Rumpel, raw: Raw, repo: Path, container: str, rounds: int) -> Figure:
    """The pod's clock is ours, so it tells when the hook spoke."""
    took = []
    for _ in range(rounds):
        _says(raw, container, "working")
        while '"working"' not in rumpel.run("list", "--json", cwd=repo):
            time.sleep(STEP_S)
        waits = subprocess.Popen(
            [*rumpel.program, "wait", POD], cwd=repo, env=rumpel.env, stdout=subprocess.DEVNULL
        )
        time.sleep(2.0)  # it waits by then; a pod that says much is slowed
        spoke_at = _says(raw, container, "waiting")
        waits.wait(LIMIT_S)
        took.append((time.time_ns() - spoke_at) / 1e6)
    p95 = sorted(took)[int(len(took) * 0.95)]
    note = f"bar in ms; p95 {p95:.0f} ms of {rounds}"
    return Figure("agent's hook -> wait returns", statistics.median(took), "ms", bar=200, note=note)


def _says(raw: Raw, container: str, state: str) -> int:
    """As the script does that hooks call; when it did, in ns."""
    script = f"date +%s%N; echo agent claude {state} >$(echo {FOLDER}/.git/rumpel/fifo*)"
    done = raw.wait(raw.host.exec_run(container, ["/bin/sh", "-c", script], user="dev"))
    return int(done.stdout)


def _echo(rumpel: Rumpel, raw: Raw, repo: Path, container: str) -> list[Figure]:
    """`cat` in place of an agent: a terminal echoes what is typed into it."""
    own = ["chown", "dev", AGENT_HOME_PATH]  # as the first agent of a pod would find it
    raw.wait(raw.host.exec_run(container, own, user="0"))
    begin = agent_home.argv("start", "claude", "40", "120", FOLDER, "/bin/cat")
    empty = agent_home.packed({})
    done = raw.wait(raw.host.exec_run(container, begin, user="dev", input=empty))
    if done.code:
        raise SystemExit(f"no session: {done.stdout!r} {done.stderr!r}")
    ours = Terminal([*rumpel.program, "attach", POD], repo, rumpel.env)
    plain = ["docker", "exec", "-it", "-u", "dev", container, "cat"]
    base = Terminal(plain, repo, dict(os.environ))
    try:
        time.sleep(1.0)
        ours.quiet()
        base.quiet()
        mine, theirs = [], []
        for key in KEYS * 4:
            theirs.append(_typed(base, bytes([key])))
            mine.append(_typed(ours, bytes([key])))
    finally:
        ours.close()
        base.close()
    more = statistics.median(mine) - statistics.median(theirs)
    told = f"bar in ms; {statistics.median(mine):.1f} against {statistics.median(theirs):.1f} ms"
    return [Figure("keystroke echo, more than docker exec -it", more, "ms", bar=5, note=told)]


def _typed(terminal: Terminal, key: bytes) -> float:
    begun = time.perf_counter()
    os.write(terminal.fd, key)
    terminal.until(key)
    return (time.perf_counter() - begun) * 1e3


def prompt(rumpel: Rumpel, raw: Raw, rounds: int) -> list[Figure]:
    """The real Claude Code, with a model on loopback."""
    repo = rumpel.repo("prompt", json.dumps(CONFIG | {"runArgs": ["--network=host"]}))
    with model() as server:
        env = rumpel.env | {
            "ANTHROPIC_BASE_URL": server.url,
            "ANTHROPIC_API_KEY": "sk-ant-bench-0123456789abcdefghij",
            "RUMPEL_AGENT_VERSIONS": f"claude={VERSION}",
            "npm_config_cache": os.environ.get("NPM_CONFIG_CACHE") or str(Path.home() / ".npm"),
        }
        before, rumpel.env = rumpel.env, env
        try:
            rumpel.run("create", "first", "--trust", cwd=repo)
            _shown([*rumpel.program, "claude", "first"], repo, env)
            mine, made, bare = [], [], []
            for number in range(rounds):
                made.append(_ms(lambda n=number: rumpel.run("create", f"c{n}", cwd=repo)))
                argv = [*rumpel.program, "claude", f"p{number}"]
                mine.append(_ms(lambda a=argv: _shown(a, repo, env)))
                bare.append(_ms(lambda: _shown(_bare(rumpel, raw, server.url), repo, env)))
        finally:
            rumpel.env = before
    rumpel.run("delete", "--force", *rumpel.run("list", "-q", cwd=repo).split(), cwd=repo)
    ours, create, alone = (statistics.median(found) for found in (mine, made, bare))
    note = f"{ours:.0f} ms, of them create {create:.0f}; the bare program {alone:.0f}"
    what = "claude to its prompt, without the create"
    return [Figure(what, ours - create, "ms", alone, "the bare program", 1.3, note)]


def _bare(rumpel: Rumpel, raw: Raw, url: str) -> list[str]:
    container = container_of(rumpel, raw, "first")
    found = raw.wait(
        raw.host.exec_run(container, ["/bin/sh", "-c", "ls -d /rumpel/agents/claude/*/claude"])
    )
    env = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "sk-ant-bench-0123456789abcdefghij",
        "CLAUDE_CONFIG_DIR": "/rumpel/home/claude",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    flags = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
    program = found.stdout.decode().split()[0]
    where = ["-u", "dev", "-w", "/workspaces/prompt", container]
    return ["docker", "exec", "-it", *flags, *where, program, "--dangerously-skip-permissions"]


def _shown(argv: Sequence[str], cwd: Path, env: dict[str, str]) -> None:
    terminal = Terminal(argv, cwd, env)
    try:
        terminal.until(PROMPT)
    finally:
        terminal.close()


def _ms(action: object) -> float:
    begun = time.perf_counter()
    assert callable(action)
    action()
    return (time.perf_counter() - begun) * 1e3
