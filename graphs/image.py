"""The image of a configuration, without a pod: the nodes that `create` begins with."""

from __future__ import annotations

from rumpel.engine.graph import Graph
from rumpel.graphs.create import add_features, add_image
from rumpel.model import PodSpec


def image(
    spec: PodSpec,
    *,
    bases: dict[str, tuple[str, ...]],
    is_nocache: bool = False,
    is_pull: bool = False,
    is_anew: bool = False,
) -> Graph:
    """`spec`: of any pod of the repository; nothing but its image, users and host counts."""
    graph = Graph("image")
    base = add_image(graph, spec, bases, is_nocache=is_nocache, is_pull=is_pull, is_anew=is_anew)
    add_features(graph, spec, base)
    return graph
