"""Pods go: guard -> keep -> remove. Nothing is removed before it is known to be safe."""

from __future__ import annotations

from collections.abc import Iterable

from rumpel.engine.graph import Graph
from rumpel.graphs.create import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import guard, keep, remove
from rumpel.tasks.world import Access


def delete(pods: Iterable[tuple[PodSpec, Access | None]], *, force: bool) -> Graph:
    graph = Graph("delete")
    for spec, access in pods:
        where = address(spec)
        guarded = graph.add(
            guard,
            node_id("guard", spec),
            guard.Inputs(address=where, access=access, force=force),
            pod=spec.pod,
        )
        kept = graph.add(
            keep,
            node_id("keep", spec),
            keep.Inputs(address=where),
            after=[guarded],
            pod=spec.pod,
        )
        graph.add(
            remove,
            node_id("remove", spec),
            remove.Inputs(address=where, kept=kept.out("kept")),
            pod=spec.pod,
        )
    return graph
