"""The work of pods is held on the host as it is now; the pods go on."""

from __future__ import annotations

from collections.abc import Iterable

from rumpel.engine.graph import Graph, Handle
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import snapshot as snapshot_task
from rumpel.tasks.world import Access


def snapshot(pods: Iterable[tuple[PodSpec, Access | None]]) -> Graph:
    graph = Graph("snapshot")
    for spec, access in pods:
        add_snapshot(graph, spec, access)
    return graph


def add_snapshot(graph: Graph, spec: PodSpec, access: Access | None) -> Handle:
    return graph.add(
        snapshot_task,
        node_id("snapshot", spec),
        snapshot_task.Inputs(address=address(spec), access=access),
        pod=spec.pod,
    )
