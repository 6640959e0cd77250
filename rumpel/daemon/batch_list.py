"""`batch list`: the batches of a repository, the one begun last first; and each as a graph."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rumpel.batch import items
from rumpel.daemon import batch_state
from rumpel.daemon.batch_run import Asked, BatchRun
from rumpel.daemon.times import iso
from rumpel.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target
    from rumpel.engine.graph import Graph


def known(app: App, repo_id: str) -> dict[str, dict[str, Any]]:
    """What was noted of each, by name."""
    prefix = f"{batch_state.BATCH}{repo_id}/"
    found = {
        key.removeprefix(prefix): value
        for key, value in app.store.kv.items()
        if key.startswith(prefix)
    }
    return dict(sorted(found.items(), key=lambda one: -float(one[1]["began"])))


def rows(
    app: App, repo_id: str, row_of: Callable[[App, str, str], dict[str, Any]]
) -> list[dict[str, Any]]:
    found = []
    for name, noted in known(app, repo_id).items():
        row = row_of(app, repo_id, name)
        ended = noted.get("ended")
        found.append(
            {
                "name": name,
                "file": row["file"],
                "is_running": row["is_running"],
                "started_at": row["started_at"],
                "ended_at": None if ended is None or row["is_running"] else iso(ended),
                "tasks": len(row["tasks"]),
                "counts": dict(Counter(str(task["state"]) for task in row["tasks"])),
            }
        )
    return found


async def graph(app: App, client: Client, where: Target, name: str) -> Graph:
    """As it runs, or as it would go on. Raises NotFound."""
    running = app.batches.find(where.ref.repo_id, name)
    if running is None or running.ended.is_set():
        noted = known(app, where.ref.repo_id).get(name)
        if noted is None:
            raise NotFound(f"there is no batch {name!r} of this repository")
        tasks = [items.from_json(said) for said in noted["items"]]
        batch = items.Batch(
            name=name,
            concurrency=items.Concurrency(),
            items={item.name: item for item in tasks},
        )
        asked = Asked(batch=batch, file=str(noted["file"]), client=client, where=where)
        running = BatchRun(app, asked)
        await running.look()
    return running.graph()
