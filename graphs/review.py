"""What a pod changed: imported -> (uncommitted) -> range -> risk. What is shown of it: the CLI."""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.graph import Graph, Handle
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import imported, review_range, risk, uncommitted
from rumpel.tasks.world import Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A pod, and what can be known of it before the graph runs (see `imported.Inputs`)."""

    spec: PodSpec
    access: Access | None
    why_not: str | None
    told: str | None
    branch: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Against what, and which files."""

    base: str | None
    against: Subject | None = None
    with_uncommitted: bool = False
    paths: tuple[str, ...] = ()
    prefix: str = ""


def review(pod: Subject, question: Question) -> Graph:
    graph = Graph("review")
    newest = _imported(graph, pod)
    other = question.against
    ranged = graph.add(
        review_range,
        node_id("range", pod.spec),
        review_range.Inputs(
            repo=pod.spec.repo,
            new=newest.out("oid"),
            base=question.base if other is None else _imported(graph, other).out("oid"),
            made_from=pod.spec.base_oid,
            is_direct=other is not None,
        ),
        pod=pod.spec.pod,
    )
    shown = newest.out("oid")
    if question.with_uncommitted:
        shown = _uncommitted(graph, pod, newest).out("tree")
    graph.add(
        risk,
        node_id("risk", pod.spec),
        risk.Inputs(
            repo=pod.spec.repo,
            old=ranged.out("old"),
            new=shown,
            paths=question.paths,
            prefix=question.prefix,
        ),
        pod=pod.spec.pod,
    )
    return graph


def _imported(graph: Graph, pod: Subject) -> Handle:
    return graph.add(
        imported,
        node_id("imported", pod.spec),
        imported.Inputs(
            address=address(pod.spec),
            access=pod.access,
            why_not=pod.why_not,
            told=pod.told,
            branch=pod.branch,
        ),
        pod=pod.spec.pod,
    )


def _uncommitted(graph: Graph, pod: Subject, newest: Handle) -> Handle:
    return graph.add(
        uncommitted,
        node_id("uncommitted", pod.spec),
        uncommitted.Inputs(
            address=address(pod.spec),
            access=pod.access,
            why_not=pod.why_not,
            commit=newest.out("oid"),
        ),
        pod=pod.spec.pod,
    )
