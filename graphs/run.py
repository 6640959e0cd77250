"""An agent does one task in a pod: program there -> agent at work -> what it did is on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rumpel.engine.graph import Graph, Handle
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import arrived, headless


def run(
    spec: PodSpec, installed: Graph, inputs: headless.Inputs, before: Mapping[str, str]
) -> Graph:
    """`before`: the pod's branches as the host has them."""
    graph = Graph("run")
    graph.merge(installed)
    ran = graph.add(
        headless,
        node_id(headless.KIND, spec),
        inputs,
        after=[Handle(name) for name in installed.nodes],
        pod=spec.pod,
        title=f"Running {inputs.title}",
        policy=replace(headless.POLICY, timeout_s=inputs.timeout_s + headless.ENDING_S),
    )
    graph.add(
        arrived,
        node_id(arrived.KIND, spec),
        arrived.Inputs(
            address=address(spec),
            before=tuple(sorted(before.items())),
            session=ran.out("session"),
            text=ran.out("text"),
            turns=ran.out("turns"),
            cost_usd=ran.out("cost_usd"),
        ),
        pod=spec.pod,
    )
    return graph
