"""A pod gets a new container with all its work: the old one goes when the new one is good.

image -> tools -> seed (, prebuild) -> replace -> container -> clone -> sync -> retire -> lifecycle.
`container` and those behind it find the new one made, and their records know it from then on. A
build that fails touches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from rumpel.engine.graph import Graph
from rumpel.graphs.create import (
    Content,
    add_hooks,
    add_ports,
    add_workspace,
    address,
    made_of,
    node_id,
)
from rumpel.model import PodSpec
from rumpel.tasks import container, replace, retire
from rumpel.tasks.world import Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The pod as it is."""

    access: Access | None
    folder: str
    is_running: bool


def recreate(
    spec: PodSpec,
    before: Before,
    *,
    kept: tuple[str, ...],
    named: tuple[str, ...] = (),
    force: bool = False,
    bases: dict[str, tuple[str, ...]] | None = None,
    content: Content | None = None,
) -> Graph:
    """`content`: what its commands are run on beforehand, if they are."""
    graph = Graph("recreate")
    inputs = made_of(graph, spec, bases or {}, content)
    same = {item.name: getattr(inputs, item.name) for item in fields(inputs)}
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
    replaced = graph.add(replace, node_id("replace", spec), wanted, pod=spec.pod)
    found = container.Inputs(**{**same, "made": replaced.out("container_id"), "start_image": ""})
    started = graph.add(container, node_id("container", spec), found, pod=spec.pod)
    cloned, synced = add_workspace(graph, spec, started, replaced=replaced)
    retired = graph.add(
        retire,
        node_id("retire", spec),
        retire.Inputs(address=address(spec), container_id=started.out("container_id")),
        after=[synced],
        pod=spec.pod,
    )
    add_hooks(graph, spec, started, cloned, after=[retired])
    add_ports(graph, spec, started, after=[retired])
    return graph
