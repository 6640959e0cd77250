"""Agents that work in pods without a session: one in a pod, that ends with its daemon.

How its processes are known is written down before they start, so that the next daemon ends what a
killed one left and says that it failed.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from rumpel import agents
from rumpel.daemon.agent_states import FAILED, WORKING
from rumpel.daemon.pods import Pod, find_container
from rumpel.errors import Conflict, RumpelError
from rumpel.graphs.ids import address
from rumpel.tasks import task_work

if TYPE_CHECKING:
    from rumpel.daemon.app import App

log = logging.getLogger(__name__)

KEY = "at-work"
"""`at-work/<pod id>` in the store: [agent, token of its processes, does it go on without us]."""


@contextlib.asynccontextmanager
async def begun(app: App, pod: Pod, agent: str, *, token: str | None = None) -> AsyncIterator[str]:
    """The token for its processes. Only for who holds `agents.alone`, to begin with.

    `token`: of one that goes on when its daemon ends, and may do so already. Raises Conflict when
    another one is at work.
    """
    lives_on, token = token is not None, token or secrets.token_hex(12)
    running, key = app.links.agents.running, f"{KEY}/{pod.pod_id}"
    refuse(app, pod)
    running[pod.pod_id] = agent
    try:
        left: list[str] | None = app.store.kv_get(key)
        if (left is None or left[1] != token) and not await _settle(app, pod):
            raise Conflict(
                f"what an agent left in pod {pod.name} could not be ended",
                hint=f"rumpel stop {pod.name}   ends all that runs in it",
            )
        await app.store.kv_set(key, [agent, token, lives_on])
        try:
            with app.inside(pod.pod_id):
                yield token
        except BaseException as error:
            if lives_on and not (isinstance(error, RumpelError) and task_work.unfit(error)):
                raise  # it may be at work still
            if await _is_ended(app, pod, token):
                await app.store.kv_set(key, None)
            raise
        await app.store.kv_set(key, None)
    finally:
        del running[pod.pod_id]


def pods(app: App) -> list[str]:
    """Names of those where one works this moment; one that waits for its person does not."""
    states = app.links.agents
    found = [
        pod.name
        for pod_id, agent in states.running.items()
        if (pod := app.pods.by_id(pod_id)) is not None
        and (said := states.of(pod_id).get(agent)) is not None
        and said["state"] == WORKING
    ]
    return sorted(found)


def refuse(app: App, pod: Pod) -> None:
    """Raises Conflict when one is at work."""
    name = app.links.agents.running.get(pod.pod_id)
    if name is not None:
        look = (
            ""
            if name == agents.BUILTIN
            else f"rumpel logs -f {pod.name} run   shows what it does; "
        )
        raise Conflict(
            f"{agents.title(name)} is at work in pod {pod.name}",
            hint=f"{look}rumpel wait {pod.name}; rumpel stop {pod.name}   ends it",
        )


async def settle(app: App, host: str) -> None:
    """At start: what a killed daemon left at work on this host."""
    for pod in app.pods.all():
        if pod.spec.host != host:
            continue
        left = app.store.kv_get(f"{KEY}/{pod.pod_id}")
        if left is None or left[2:] == [True]:
            continue
        async with app.links.agents.alone(pod.pod_id):
            if pod.pod_id not in app.links.agents.running:
                await _settle(app, pod)


async def _settle(app: App, pod: Pod) -> bool:
    """Whether nothing is left of it."""
    key = f"{KEY}/{pod.pod_id}"
    left: list[str] | None = app.store.kv_get(key)
    if left is None:
        return True
    name, token = left[:2]
    if not await _is_ended(app, pod, token):
        log.warning("pod %s: what %s left at work could not be ended", pod.name, name)
        return False
    known = app.links.agents.of(pod.pod_id).get(name)
    if known is not None and known["state"] == WORKING:
        app.links.agents.said(address(pod.spec), name, FAILED)
    await app.store.kv_set(key, None)
    return True


async def _is_ended(app: App, pod: Pod, token: str) -> bool:
    """Its processes are, by now. False when nobody could be asked."""
    access, view = app.pods.access(pod.spec), app.snapshots.get(pod.spec.host)
    if access is None:
        return True
    if view is None or view.state != "live":
        return False
    state = find_container(view.containers.values(), pod.pod_id)
    if state is None or state.status not in ("running", "paused", "restarting"):
        return True
    host = app.world.host(pod.spec.host)
    return await host.kill_tree(access.container_id, token, user=access.user)
