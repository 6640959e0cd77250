"""Once more what failed on something that was taken for there.

The engine tells what others remove a moment later, and an image may go in between.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from rumpel.engine.operation import ProbeState
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
    if not any(_is_gone(app, graph, name) for name in result.states):
        return result
    client.notice("an image was removed just now: it is made again")
    return await app.runner.run(graph, client)


def _is_gone(app: App, graph: Graph, node_id: str) -> bool:
    """Whether a node told of an image, now or in an earlier run, that is not there."""
    record, host = app.store.records.get(node_id), getattr(graph.nodes[node_id].inputs, "host", "")
    image_id = ((record.output if record else None) or {}).get("image_id")
    if not image_id:
        return False
    return app.world.has_image(host, image_id).state is ProbeState.GONE
