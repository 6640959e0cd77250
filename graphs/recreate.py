"""A pod gets a new container with all its work: the old one goes when the new one is good.

image -> tools -> seed (, prebuild, services) -> replace -> container -> clone -> sync -> retire
(-> copy-in) -> lifecycle. `container` and those behind it find the new one made, and their records
know it from then on. A build that fails touches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from rumpel.engine.graph import Graph, Handle
from rumpel.graphs.create import (
    Content,
    add_hooks,
    add_ports,
    add_services,
    made_of,
)
from rumpel.graphs.ids import address, node_id
from rumpel.graphs.workspace import add_copy_in, add_workspace
from rumpel.model import PodSpec, ProjectSpec
from rumpel.tasks import container, replace, retire, services
from rumpel.tasks.world import Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The pod as it is."""

    access: Access | None
    folder: str
    is_running: bool
    has_services: bool = False
    ended: Mapping[str, str] = field(default_factory=dict)
    """Services that came to a good end, and what they were made of."""


def recreate(
    spec: PodSpec,
    before: Before,
    *,
    kept: tuple[str, ...],
    named: tuple[str, ...] = (),
    force: bool = False,
    bases: dict[str, tuple[str, ...]] | None = None,
    content: Content | None = None,
    has_copied: bool = False,
    files: tuple[str, ...] | None = None,
) -> Graph:
    """`content`: what its commands are run on beforehand. `has_copied`: files of `copyIn` come
    over, else these `files` are copied."""
    graph = Graph("recreate")
    inputs = made_of(graph, spec, bases or {}, content)
    last = node_id("seed" if content is None else "prebuild", spec, shared=True)
    beside = _add_services_last(graph, spec, before, bases or {}, last)
    same = {one.name: getattr(inputs, one.name) for one in fields(inputs)}
    wanted = replace.Inputs(
        **same,
        old=before.access,
        old_folder=before.folder,
        was_running=before.is_running,
        kept=kept,
        named=named,
        force=force,
        reads=() if spec.prebuild is None else spec.prebuild.inputs,
    )
    replaced = graph.add(replace, node_id("replace", spec), wanted, after=beside, pod=spec.pod)
    found = container.Inputs(**{**same, "made": replaced.out("container_id"), "start_image": ""})
    started = graph.add(container, node_id("container", spec), found, pod=spec.pod)
    cloned, synced = add_workspace(graph, spec, started, replaced=replaced)
    retired = _add_retire(graph, spec, started, synced)
    _add_end_of_services(graph, spec, before, retired)
    is_kept = replaced.out("is_kept") if has_copied else False
    copied = add_copy_in(graph, spec, started, after=[retired], files=files, is_kept=is_kept)
    add_hooks(graph, spec, started, cloned, after=[retired, *copied])
    add_ports(graph, spec, started, after=[retired])
    return graph


def _add_retire(graph: Graph, spec: PodSpec, started: Handle, synced: Handle) -> Handle:
    inputs = retire.Inputs(address=address(spec), container_id=started.out("container_id"))
    return graph.add(retire, node_id("retire", spec), inputs, after=[synced], pod=spec.pod)


def _add_services_last(
    graph: Graph, spec: PodSpec, before: Before, bases: dict[str, tuple[str, ...]], last: str
) -> list[Handle]:
    """Their old containers cannot be had back: what may fail before the pod's own comes before."""
    return add_services(
        graph, spec, bases, may_replace=True, after=[Handle(last)], ended=before.ended
    )


def _add_end_of_services(graph: Graph, spec: PodSpec, before: Before, after: Handle) -> None:
    """Where there is no compose project any more; the old container was in its network."""
    if spec.project is not None or not before.has_services:
        return
    inputs = services.Inputs(
        address=address(spec), project=ProjectSpec(service=services.NONE), image_ids=()
    )
    graph.add(services, node_id("services", spec), inputs, after=[after], pod=spec.pod)
