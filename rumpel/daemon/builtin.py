"""`seat`: the built-in agent of a client sits in a pod, and has its tools run there.

The agent itself is a process of the person's; it is in the pod for as long as it is connected.
One tool runs at a time: nothing of it is left when it is stopped, when its time is over, when the
client is gone, or when the daemon was killed. Its token begins with that of the seat.

    client -> daemon   {"do":"tool","id":1,"argv":[...],"input":BASE64|null,"timeout_s","keep"}
                       {"do":"stop"}  {"do":"state","state":"working"|"waiting"}
                       {"do":"leave","state":"done"|"failed"|"ended"}
    daemon -> client   {"event":"tool","id":1,"code":0|null,"out":BASE64,"err":BASE64,"left_out"}
                       or {"event":"tool","id":1,"error":{...}}, or ..."stopped":true
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
from collections import deque
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from rumpel import agents, protocol
from rumpel.adapters import task_group
from rumpel.adapters.docker_exec import Environment
from rumpel.adapters.stream import STDERR
from rumpel.agents.told import told
from rumpel.daemon import at_work, enter, headless, lent, requests, sessions
from rumpel.daemon.agent_states import DONE, ENDED, FAILED, WAITING, WORKING
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.errors import RumpelError, TimedOut, UsageError
from rumpel.graphs.ids import address
from rumpel.tasks import arrived, shell

log = logging.getLogger(__name__)

MOST_KEEP_BYTES = 10 << 20
"""Base64 of it fits into a message."""
MOST_TOOL_S = 3600.0
ENV = {
    # Nobody is there to answer.
    "GIT_EDITOR": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "TERM": "dumb",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    app: App
    client: Client
    pod: Pod
    where: shell.Where
    env: Environment
    token: str
    about: str
    """What the agent is told about the pod; empty: nothing."""


class Kept:
    """The beginning and the end of an output, of at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self._head, self._room = bytearray(), most - most // 2
        self._tail: deque[bytes] = deque()
        self._in_tail, self._most_tail = 0, most // 2
        self.left_out = 0

    def add(self, data: bytes) -> None:
        taken = data[: self._room]
        self._head += taken
        self._room -= len(taken)
        rest = data[len(taken) :]
        if rest:
            self._tail.append(rest)
            self._in_tail += len(rest)
        while self._in_tail > self._most_tail:
            over = self._in_tail - self._most_tail
            first = self._tail.popleft()
            dropped = min(over, len(first))
            if dropped < len(first):
                self._tail.appendleft(first[dropped:])
            self._in_tail -= dropped
            self.left_out += dropped

    def bytes(self) -> bytes:
        note = f"\n[{self.left_out} bytes are left out here]\n".encode() if self.left_out else b""
        return bytes(self._head) + note + b"".join(self._tail)


async def run(app: App, client: Client) -> dict[str, object]:
    target = await requests.lenient(client)
    pod = await enter.ready(app, client, target)
    where = sessions.where_of(app, pod)
    async with AsyncExitStack() as stack:
        async with app.links.agents.alone(pod.pod_id):
            token = await stack.enter_async_context(at_work.begun(app, pod, agents.BUILTIN))
            await headless.refuse_session(app, pod, where)
        spec = pod.spec
        env = await shell.environment(
            app.world, where, probe=spec.env_probe, remote_env=spec.remote_env
        )
        before = dict(app.links.branches(pod.pod_id))
        is_told = target.settings.get("tellAgents")
        seat = Seat(
            app=app,
            client=client,
            pod=pod,
            where=where,
            env={**await lent.environment(app, client, pod, target.settings, env), **ENV},
            token=token,
            about=told(workspace=where.cwd, branch=pod.name) if is_told else "",
        )
        state = await _sat(seat)
    return await _answer(seat, state, before)


async def _sat(seat: Seat) -> str:
    """Until the agent leaves, or is gone; how it ended."""
    client, states = seat.client, seat.app.links.agents
    state = ENDED
    states.said(address(seat.pod.spec), agents.BUILTIN, WORKING, is_new=True)
    client.tell_warnings()
    client.send(
        {
            "event": "seat",
            "name": seat.pod.name,
            "pod_id": seat.pod.pod_id,
            "workspace": seat.where.cwd,
            "about": seat.about,
        }
    )
    serving = asyncio.ensure_future(_serve(seat))
    others = [asyncio.ensure_future(one.wait()) for one in (client.gone, client.cancelled)]
    try:
        await asyncio.wait({serving, *others}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            state = serving.result()
    finally:
        for future in (serving, *others):
            future.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await serving  # what it runs is ended by then
        states.said(address(seat.pod.spec), agents.BUILTIN, state)
    return state


async def _serve(seat: Seat) -> str:
    """What it asks for; the state it leaves with."""
    tool: asyncio.Task[None] | None = None
    async with task_group.opened() as group:
        while True:
            message = await seat.client.asked.get()
            if message["do"] in ("stop", "leave") and tool is not None:
                tool.cancel()
            if message["do"] == "leave":
                state = message.get("state")
                return state if state in (DONE, FAILED) else ENDED
            if message["do"] == "state" and message.get("state") in (WORKING, WAITING):
                seat.app.links.agents.said(address(seat.pod.spec), agents.BUILTIN, message["state"])
            if message["do"] == "tool":
                if tool is None or tool.done():
                    tool = group.create_task(_tool(seat, message))
                    tool.add_done_callback(partial(_tell_stopped, seat, message))
                else:
                    _tell(seat, message, error=UsageError("a tool runs already").to_json())


async def _tool(seat: Seat, message: Mapping[str, Any]) -> None:
    try:
        answer = await _ran(seat, message)
    except RumpelError as error:
        answer = {"error": error.to_json()}
    _tell(seat, message, **answer)


def _tell_stopped(seat: Seat, message: Mapping[str, Any], tool: asyncio.Task[None]) -> None:
    """Also of one that was stopped before its first step."""
    if tool.cancelled():
        _tell(seat, message, stopped=True)


def _tell(seat: Seat, message: Mapping[str, Any], **answer: object) -> None:
    seat.client.send({"event": "tool", "id": message.get("id"), **answer})


async def _ran(seat: Seat, message: Mapping[str, Any]) -> dict[str, object]:
    argv, data, timeout_s, keep = _checked(message)
    out, err = Kept(keep), Kept(min(keep, 64 << 10))

    def hear(kind: int, piece: bytes) -> None:
        (err if kind == STDERR else out).add(piece)

    host, token = seat.app.world.host(seat.where.host), f"{seat.token}-{_number(message):09d}"
    code: int | None = None
    try:
        done = await host.exec_run(
            seat.where.container_id,
            argv,
            user=seat.where.user,
            env=seat.env,
            cwd=seat.where.cwd,
            input=data,
            timeout_s=timeout_s,
            max_output_bytes=0,
            on_output=hear,
            token=token,
        )
        code = done.code
    except TimedOut:  # also of one that has closed its output and goes on
        await host.kill_tree(seat.where.container_id, token, user=seat.where.user)
    return {
        "code": code,
        "out": base64.b64encode(out.bytes()).decode(),
        "err": base64.b64encode(err.bytes()).decode(),
        "left_out": out.left_out,
    }


def _number(message: Mapping[str, Any]) -> int:
    number = message.get("id")
    return number if type(number) is int and 0 <= number < 1e9 else 0


def _checked(message: Mapping[str, Any]) -> tuple[list[str], bytes | None, float, int]:
    """Raises UsageError."""
    argv, data = message.get("argv"), message.get("input")
    timeout_s, keep = message.get("timeout_s"), message.get("keep")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) for word in argv):
        raise UsageError("malformed request: argv of a tool")
    if not isinstance(timeout_s, int | float) or not 0 < timeout_s <= MOST_TOOL_S:
        raise UsageError("malformed request: timeout_s of a tool")
    if type(keep) is not int or not 0 < keep <= MOST_KEEP_BYTES:
        raise UsageError("malformed request: keep of a tool")
    if not isinstance(data, str | None):
        raise UsageError("malformed request: input of a tool")
    try:
        decoded = None if data is None else base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise UsageError("malformed request: input of a tool is no base64") from error
    return argv, decoded, float(timeout_s), keep


async def _answer(seat: Seat, state: str, before: dict[str, str]) -> dict[str, object]:
    """What it committed is on the host when its end is told."""
    app, client, pod = seat.app, seat.client, seat.pod
    enter.tell_of_ending(app, client, pod)
    try:
        came = await arrived.look(app.world, address(pod.spec), before)
    except RumpelError as error:
        log.info("pod %s: its last commits come later: %s", pod.name, error.message)
        came = None
    data = {"name": pod.name, "state": state, **headless.arrived_rows(came)}
    return protocol.result(data, warnings=client.warnings)
