"""Pods go: guard -> keep -> remove. Nothing is removed before it is known to be safe."""

from __future__ import annotations

from collections.abc import Iterable

from rumpel.engine.graph import Graph
from rumpel.graphs.create import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import guard, keep, remove
from rumpel.tasks.world import Access

KEEP_S = 7 * 86400.0


def delete(
    pods: Iterable[tuple[PodSpec, Access | None]], *, force: bool, keep_s: float = KEEP_S
) -> Graph:
    """`keep_s`: how long they stay in the trash; 0 for pods that nobody ever used."""
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
            keep.Inputs(
                address=where,
                access=access,
                base_branch=spec.base_branch,
                base_oid=spec.base_oid,
                forwards=spec.forwards,
                force=force,
                keep_s=keep_s,
                can_look=guarded.out("can_look"),
                stand_in=guarded.out("stand_in"),
                was_stopped=guarded.out("was_stopped"),
                tips=guarded.out("tips"),
                lost=guarded.out("lost"),
            ),
            pod=spec.pod,
        )
        graph.add(
            remove,
            node_id("remove", spec),
            remove.Inputs(address=where, kept=kept.out("kept")),
            pod=spec.pod,
        )
    return graph
