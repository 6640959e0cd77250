"""`wait`: until agents have done what they were asked, or want something of a person."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from rumpel.daemon import requests, sessions, view
from rumpel.daemon.agent_states import ENDED, FAILED, WORKING
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.errors import NotFound, RumpelError, TimedOut
from rumpel.graphs.ids import address

LOOK_S = 5.0
"""Agents tell what they do; a dead one is found by looking, now and then."""


async def run(app: App, client: Client) -> dict[str, object]:
    """The exit code is 1 when an agent failed or its pod does not run any more."""
    args, target = client.request.args, await requests.lenient(client)
    for pod in (pods := [app.pods.get(target.ref.repo_id, name) for name in args["names"]]):
        await app.host(pod.spec.host)
    try:
        async with asyncio.timeout(args["timeout_s"]):
            await client.while_there(_until(app, pods, any_will_do=args["any"]))
    except TimeoutError:
        busy = [pod.name for pod in pods if _is_busy(_row(app, pod))]
        raise TimedOut(f"after {args['timeout_s']} s still at work: {', '.join(busy)}") from None
    rows = [row for row in (_row(app, pod) for pod in pods) if not args["any"] or not _is_busy(row)]
    code = 1 if any(row["state"] == FAILED or row["status"] != "running" for row in rows) else 0
    return {"result": rows, "warnings": client.warnings, "exit_code": code}


async def _until(app: App, pods: list[Pod], *, any_will_do: bool) -> None:
    while True:
        changed = asyncio.ensure_future(app.links.agents.changed())
        try:
            await asyncio.sleep(0)  # it listens before we look
            busy = [pod for pod in pods if _is_busy(_row(app, pod))]
            if len(busy) < len(pods) if any_will_do else not busy:
                return
            done, _ = await asyncio.wait({changed}, timeout=LOOK_S)
            if not done:
                await asyncio.gather(*(_look(app, pod) for pod in busy))
        finally:
            changed.cancel()


async def _look(app: App, pod: Pod) -> None:
    """One that was killed has said nothing."""
    if pod.pod_id in app.links.agents.running:
        return
    name = str(_row(app, pod)["agent"])
    with contextlib.suppress(RumpelError):
        if not await sessions.alive(app, sessions.where_of(app, pod), [name]):
            app.links.agents.said(address(pod.spec), name, ENDED)


def _row(app: App, pod: Pod) -> dict[str, Any]:
    """Raises NotFound when no agent was ever started in it."""
    status, state = view.status(app, pod)
    found = view.agent(app, pod, state)
    if found is None:
        raise NotFound(
            f"no agent was started in pod {pod.name}",
            hint=f"rumpel claude {pod.name}   starts one",
        )
    return {"name": pod.name, "agent": found["name"], "state": found["state"], "status": status}


def _is_busy(row: dict[str, Any]) -> bool:
    return bool(row["state"] == WORKING and row["status"] == "running")
