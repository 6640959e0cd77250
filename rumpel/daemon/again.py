"""Once more what failed on something that was taken for there.

The engine tells what others remove a moment later, and an image may go in between.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rumpel.engine.events import NodeState
from rumpel.engine.plan import Verdict
from rumpel.errors import RumpelError

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.engine.execute import RunResult
    from rumpel.engine.graph import Graph


async def run(app: App, client: Client, graph: Graph, hosts: set[str]) -> RunResult:
    """As `Runner.run`. Costs nothing when all goes well."""
    result = await app.runner.run(graph, client)
    if result.is_ok:
        return result
    for host in hosts & app.snapshots.keys():
        with contextlib.suppress(RumpelError):
            await app.snapshots[host].refresh_images()
    found = app.engine.plan(graph).nodes.values()
    was_there = {name for name, state in result.states.items() if state is NodeState.CACHED}
    if not any(item.verdict is Verdict.RUN for item in found if item.id in was_there):
        return result
    client.notice("an image was removed just now: it is made again")
    return await app.runner.run(graph, client)
