"""What a run of a batch would do now: for each task whether it is done, and what is begun first."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from rumpel.batch import order
from rumpel.daemon.batch_pool import AWAY
from rumpel.daemon.batch_run import Asked, BatchRun
from rumpel.errors import RumpelError

if TYPE_CHECKING:
    from rumpel.batch.items import Batch
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target

REACH_S = 5.0


async def plan(app: App, client: Client, where: Target, found: Batch) -> dict[str, Any]:
    """Nothing is asked, signed in or begun."""
    running = BatchRun(
        app, Asked(batch=found, file=client.request.args["file"], client=client, where=where)
    )
    await running.look()
    settled, done = running.settled(), running.done()
    tasks = []
    for name, depth in order.levels(found.items).items():
        item = found.items[name]
        would = "done" if name in done else "settled" if name in settled else "run"
        tasks.append({**item.to_json(), "level": depth, "would": would})
    limits = found.concurrency
    return {
        "name": found.name,
        "hosts": list(running.pool.load()),
        "room": await _room(app, running),
        "concurrency": {
            "total": limits.total,
            "per_host": limits.per_host,
            "agents": dict(limits.agents),
        },
        "tasks": tasks,
    }


async def _room(app: App, running: BatchRun) -> list[dict[str, Any]]:
    """Of the hosts that answer soon; what is not known is told as that."""
    hosts = list(running.pool.load())
    for host, why in zip(hosts, await asyncio.gather(*map(partial(_why, app), hosts)), strict=True):
        if why:
            running.pool.close_host(host, AWAY, why)
    await running.hosts.look()
    return running.hosts.rows()


async def _why(app: App, host: str) -> str:
    """It cannot be reached; empty when it can."""
    try:
        async with asyncio.timeout(REACH_S):
            await app.host(host)
    except TimeoutError:
        return f"{host} has not answered yet"
    except RumpelError as error:
        return error.message
    return ""
