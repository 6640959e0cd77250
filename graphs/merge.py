"""A pod's commits come to the host, to be merged there; then the pod stops.

The merge itself is git's, in the process of who asked for it: with that user's hooks, filters,
signing and editor. So the daemon runs the first part before it, and `stop` after it.
"""

from __future__ import annotations

from rumpel.engine.graph import Graph, Handle
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import commits
from rumpel.tasks import stop as stop_task
from rumpel.tasks.world import Access


def merge(spec: PodSpec, access: Access | None) -> Graph:
    """What has to be there before git merges."""
    graph = Graph("merge")
    add_commits(graph, spec, access)
    return graph


def whole(spec: PodSpec, access: Access | None) -> Graph:
    """With what follows git's merge, for those who want to know beforehand."""
    graph = Graph("merge")
    imported = add_commits(graph, spec, access)
    if access is not None:
        graph.add(
            stop_task,
            node_id("stop", spec),
            stop_task.Inputs(address=address(spec), access=access),
            after=[imported],
            pod=spec.pod,
        )
    return graph


def add_commits(graph: Graph, spec: PodSpec, access: Access | None) -> Handle:
    return graph.add(
        commits,
        node_id("commits", spec),
        commits.Inputs(address=address(spec), access=access),
        pod=spec.pod,
    )
