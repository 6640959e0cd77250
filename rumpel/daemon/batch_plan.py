"""What a run of a batch would do now: for each task whether it is done, and what is begun first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rumpel.batch import order
from rumpel.daemon.batch_run import Asked, BatchRun

if TYPE_CHECKING:
    from rumpel.batch.items import Batch
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target


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
        "concurrency": {
            "total": limits.total,
            "per_host": limits.per_host,
            "agents": dict(limits.agents),
        },
        "tasks": tasks,
    }
