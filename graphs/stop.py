"""Pods stop: their commits are imported, then the container stops."""

from __future__ import annotations

from collections.abc import Iterable

from rumpel.engine.graph import Graph
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import stop as stop_task
from rumpel.tasks.world import Access


def stop(pods: Iterable[tuple[PodSpec, Access]]) -> Graph:
    graph = Graph("stop")
    for spec, access in pods:
        graph.add(
            stop_task,
            node_id("stop", spec),
            stop_task.Inputs(address=address(spec), access=access),
            pod=spec.pod,
        )
    return graph
