"""A pod that has a container is made ready again: start -> clone -> lifecycle -> sync.

The image and the configuration on disk play no part: entering never rebuilds a pod.
"""

from __future__ import annotations

from rumpel.engine.graph import Graph
from rumpel.graphs.create import add_workspace, node_id
from rumpel.model import PodSpec
from rumpel.tasks import container


def resume(spec: PodSpec, made_of: container.Inputs) -> Graph:
    """`made_of`: the inputs the container was created with."""
    graph = Graph("resume", subject=spec.pod)
    started = graph.add(container, node_id("container", spec), made_of, pod=spec.pod)
    add_workspace(graph, spec, started)
    return graph
