"""What a fork takes from its source: the commits and the work not committed, as they are now.

The pods made from it come to be like any other (create), and get the work last (restore).
"""

from __future__ import annotations

from rumpel.engine.graph import Graph
from rumpel.graphs.create import address, node_id
from rumpel.graphs.merge import add_commits
from rumpel.model import PodSpec
from rumpel.tasks import snapshot as snapshot_task
from rumpel.tasks.world import Access


def source(spec: PodSpec, access: Access | None) -> Graph:
    graph = Graph("fork", subject=spec.pod)
    arrived = add_commits(graph, spec, access)
    graph.add(
        snapshot_task,
        node_id("snapshot", spec),
        snapshot_task.Inputs(address=address(spec), access=access),
        after=[arrived],
        pod=spec.pod,
    )
    return graph
