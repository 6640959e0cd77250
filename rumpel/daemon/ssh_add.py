"""`ssh-add`: keys of an ssh agent of one pod."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import Any

from rumpel.adapters import ssh_keys, threads
from rumpel.adapters.ssh_keys import Key
from rumpel.daemon import requests
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.times import iso
from rumpel.errors import NotFound, UsageError

MAX_LIFE_S = 366 * 86_400
ACTIONS = ("list", "add", "agent", "remove", "clear")


async def run(app: App, client: Client) -> dict[str, object]:
    """The keys that the pod has after it, or those that went."""
    args = client.request.args
    where = await requests.lenient(client)
    pod = app.pods.get(where.ref.repo_id, args["name"], prefix=args["action"] == "list")
    if args["action"] not in ACTIONS:
        raise UsageError(f"ssh-add does not know {args['action']!r}")
    if args["action"] in ("remove", "clear"):
        rows = _remove(app, pod, args["key"] if args["action"] == "remove" else None)
    else:
        if args["action"] != "list":
            await _add(app, client, pod)
        agent = app.ssh_agents.of(pod.pod_id)
        rows = [] if agent is None else [_row(key) for key in agent.held()]
    return {"result": rows, "warnings": client.warnings, "exit_code": 0}


async def _add(app: App, client: Client, pod: Pod) -> None:
    args, life_s = client.request.args, client.request.args["life_s"]
    if life_s is not None and not 0 < life_s <= MAX_LIFE_S:
        raise UsageError(f"a lifetime of {life_s} s is not possible", hint="rumpel ssh-add -t 1h")
    if args["action"] == "agent":
        key = await ssh_keys.at_agent(args["socket"], args["key"])
    else:
        key = await threads.call(ssh_keys.load, args["key"], args["passphrase"], args["comment"])
    expires_at = None if life_s is None else time.time() + life_s
    await app.ssh_agents.add(pod, replace(key, expires_at=expires_at))


def _remove(app: App, pod: Pod, public: str | None) -> list[dict[str, Any]]:
    """`public`: a fingerprint or a line of a `.pub` file; all without it."""
    agent = app.ssh_agents.of(pod.pod_id)
    held = [] if agent is None else agent.held()
    words = () if public is None else public.split()
    wanted = [key for key in held if public is None or _fits(key, words)]
    if agent is None or not wanted:
        if public is None:
            return []
        raise NotFound(
            f"pod {pod.name!r} does not have that key",
            hint=f"rumpel ssh-add -l {pod.name}   shows those it has",
        )
    gone = [key for one in wanted for key in agent.remove(one.blob)]
    app.ssh_agents.of(pod.pod_id)  # the last one takes its socket along
    return [_row(key) for key in gone]


def _fits(key: Key, words: tuple[str, ...] | list[str]) -> bool:
    return key.fingerprint in words or base64.b64encode(key.blob).decode() in words


def _row(key: Key) -> dict[str, Any]:
    size = int.from_bytes(key.blob[:4], "big")
    kind = key.blob[4 : 4 + size].decode("ascii", "replace")
    return {
        "fingerprint": key.fingerprint,
        "type": kind,
        "comment": key.comment,
        "public_key": f"{kind} {base64.b64encode(key.blob).decode()}",
        "source": key.source,
        "expires_at": None if key.expires_at is None else iso(key.expires_at),
    }
