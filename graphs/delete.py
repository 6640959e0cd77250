"""Pods go: guard -> keep -> remove. Nothing is removed before it is known to be safe."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rumpel.engine.graph import Graph, Handle
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import guard, keep, remove
from rumpel.tasks.world import Access

KEEP_S = 7 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of a pod that it may not tell any more."""

    dirty: int = 0
    """Uncommitted files, as last seen."""
    left: tuple[str, ...] = ()
    """Commits that a restore took off its branches."""


def delete(
    pods: Iterable[tuple[PodSpec, Access | None]],
    *,
    force: bool,
    keep_s: float = KEEP_S,
    seen: Mapping[str, Seen] | None = None,
) -> Graph:
    """`keep_s`: how long they stay in the trash; 0 for pods that nobody ever used.

    `seen`: by pod id.
    """
    graph = Graph("delete")
    for spec, access in pods:
        where = address(spec)
        guarded = _guarded(
            graph, spec, access, force=force, seen=(seen or {}).get(spec.pod_id, Seen())
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
                asked=spec.asked,
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
        going = remove.Inputs(address=where, kept=kept.out("kept"))
        graph.add(remove, node_id("remove", spec), going, pod=spec.pod)
    return graph


def _guarded(
    graph: Graph, spec: PodSpec, access: Access | None, *, force: bool, seen: Seen
) -> Handle:
    inputs = guard.Inputs(
        address=address(spec),
        access=access,
        force=force,
        known_dirty=seen.dirty,
        left=seen.left,
    )
    return graph.add(guard, node_id("guard", spec), inputs, pod=spec.pod)
