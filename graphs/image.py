"""The image of a configuration, without a pod: the nodes that `create` begins with."""

from __future__ import annotations

from rumpel.engine.graph import Graph
from rumpel.graphs.create import add_features, add_image, add_service_image
from rumpel.model import PodSpec


def image(spec: PodSpec, *, bases: dict[str, tuple[str, ...]]) -> Graph:
    """`spec`: of any pod of the repository; nothing but its image, users and host counts."""
    graph = Graph("image")
    add_features(graph, spec, add_image(graph, spec, bases))
    for one in () if spec.project is None else spec.project.services:
        add_service_image(graph, spec, one, bases)
    return graph
