"""A pod that has a container is made ready again: seed -> start -> clone -> lifecycle -> sync.

The image and the configuration on disk play no part: entering never rebuilds a pod. The seed
does, because after a restart of the engine nobody else starts its gateway.
"""

from __future__ import annotations

from rumpel.engine.graph import Graph
from rumpel.graphs.create import add_hooks, add_ports, add_workspace, node_id
from rumpel.model import PodSpec
from rumpel.tasks import container, seed


def resume(spec: PodSpec, made_of: container.Inputs) -> Graph:
    """`made_of`: the inputs the container was created with."""
    graph = Graph("resume")
    seeded = graph.add(
        seed,
        node_id("seed", spec, shared=True),
        seed.Inputs(host=spec.host, repo=spec.repo, image_id=made_of.image_id),
    )
    started = graph.add(
        container, node_id("container", spec), made_of, after=[seeded], pod=spec.pod
    )
    cloned, _ = add_workspace(graph, spec, started)
    add_hooks(graph, spec, started, cloned)
    add_ports(graph, spec, started)
    return graph
