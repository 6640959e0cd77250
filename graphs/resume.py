"""A pod that has a container is made ready again: seed -> start -> clone -> lifecycle -> sync.

The image and the configuration on disk play no part: entering never rebuilds a pod. The seed
does, because after a restart of the engine nobody else starts its gateway.
"""

from __future__ import annotations

from dataclasses import replace

from rumpel.engine.graph import Graph
from rumpel.graphs.create import add_hooks, add_ports, network_of
from rumpel.graphs.ids import address, node_id
from rumpel.graphs.workspace import Work, add_work_and_clone
from rumpel.model import PodSpec
from rumpel.tasks import container, seed, services


def resume(spec: PodSpec, made_of: container.Inputs, work: Work | None = None) -> Graph:
    """`made_of`: the inputs the container was created with. `work`: what it did not get yet."""
    graph = Graph("enter")
    seeded = graph.add(
        seed,
        node_id("seed", spec, shared=True),
        seed.Inputs(host=spec.host, repo=spec.repo, image_id=made_of.image_id),
    )
    before = [seeded]
    if spec.project is not None:
        inputs = services.Inputs(
            address=address(spec),
            project=spec.project,
            image_ids=made_of.service_images,
            as_is=True,
            ended=made_of.ended_services,
        )
        before.append(graph.add(services, node_id("services", spec), inputs, pod=spec.pod))
        made_of = replace(made_of, network_of=network_of(spec))
    started = graph.add(container, node_id("container", spec), made_of, after=before, pod=spec.pod)
    cloned, after = add_work_and_clone(graph, spec, started, work)
    add_hooks(graph, spec, started, cloned, after=after)
    add_ports(graph, spec, started)
    return graph
