"""A pod that has a container is made ready again: seed -> start -> clone -> lifecycle -> sync.

The image and the configuration on disk play no part: entering never rebuilds a pod. The seed
does, because after a restart of the engine nobody else starts its gateway.
"""

from __future__ import annotations

from rumpel.engine.graph import Graph
from rumpel.graphs.create import Work, add_hooks, add_ports, add_work_and_clone, node_id
from rumpel.model import PodSpec
from rumpel.tasks import container, seed


def resume(spec: PodSpec, made_of: container.Inputs, work: Work | None = None) -> Graph:
    """`made_of`: the inputs the container was created with. `work`: what it did not get yet."""
    graph = Graph("enter")
    seeded = graph.add(
        seed,
        node_id("seed", spec, shared=True),
        seed.Inputs(host=spec.host, repo=spec.repo, image_id=made_of.image_id),
    )
    started = graph.add(
        container, node_id("container", spec), made_of, after=[seeded], pod=spec.pod
    )
    cloned, after = add_work_and_clone(graph, spec, started, work)
    add_hooks(graph, spec, started, cloned, after=after)
    add_ports(graph, spec, started)
    return graph
