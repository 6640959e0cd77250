"""One more port of a pod that runs appears on this machine."""

from __future__ import annotations

from rumpel.engine.graph import Graph
from rumpel.graphs.create import add_port
from rumpel.model import PodSpec, PortSpec
from rumpel.tasks.world import Access


def forward(spec: PodSpec, access: Access, port: PortSpec) -> Graph:
    graph = Graph("forward-port")
    add_port(graph, spec, port, access.container_id, access.user)
    return graph
