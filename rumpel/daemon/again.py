"""Once more what failed on something that was taken for there.

The engine tells what others remove a moment later, and an image may go in between.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from rumpel.engine.events import DONE, NodeState
from rumpel.engine.operation import ProbeState
from rumpel.errors import RumpelError
from rumpel.tasks import lifecycle

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.engine.execute import RunResult
    from rumpel.engine.graph import Graph


async def run(
    app: App, client: Client, graph: Graph, hosts: set[str], *, refresh: Collection[str] = ()
) -> RunResult:
    """As `Runner.run`. Costs nothing when all goes well."""
    result = await app.runner.run(graph, client, refresh=refresh)
    if result.is_ok:
        return result
    for host in hosts & app.snapshots.keys():
        with contextlib.suppress(RumpelError):
            await app.snapshots[host].refresh_images()
    states = {name: state for name, state in result.states.items() if name in graph.nodes}
    done = [name for name, state in states.items() if state in DONE]
    if _has_answered(graph, states) or not any(_is_gone(app, graph, name) for name in done):
        return result
    client.notice("an image was removed just now: it is made again")
    return await app.runner.run(graph, client)


def _has_answered(graph: Graph, states: Mapping[str, NodeState]) -> bool:
    """A command of the user's, with a failure: it is not run twice for what others lack."""
    return any(
        state is NodeState.FAILED and graph.nodes[name].operation.KIND == lifecycle.KIND
        for name, state in states.items()
    )


def _is_gone(app: App, graph: Graph, node_id: str) -> bool:
    """Whether a node told of an image that is not there."""
    record, host = app.store.records.get(node_id), getattr(graph.nodes[node_id].inputs, "host", "")
    image_id = ((record.output if record else None) or {}).get("image_id")
    if not image_id:
        return False
    return app.world.has_image(host, image_id).state is ProbeState.GONE
