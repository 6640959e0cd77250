"""A snapshot goes back into a pod that has a container: that is made ready first.

The work a new pod is made with comes before its lifecycle commands: see graphs/create.py.
"""

from __future__ import annotations

from rumpel.engine.graph import Graph, Handle
from rumpel.graphs.ids import address, node_id
from rumpel.graphs.resume import resume
from rumpel.model import PodSpec
from rumpel.tasks import container, port
from rumpel.tasks import restore as restore_task


def restore(spec: PodSpec, made_of: container.Inputs, oid: str) -> Graph:
    """After everything else of the pod: its lifecycle commands may have changed files.

    Not after its ports: one that cannot be had must not keep work out of the pod.
    """
    graph = Graph("restore")
    graph.merge(resume(spec, made_of))
    started = Handle(node_id("container", spec))
    own = [
        Handle(node.id)
        for node in graph.nodes.values()
        if node.pod == spec.pod and node.operation.KIND != port.KIND
    ]
    graph.add(
        restore_task,
        node_id("restore", spec),
        restore_task.Inputs(
            address=address(spec),
            container_id=started.out("container_id"),
            user=started.out("user"),
            as_main=started.out("as_main"),
            oid=oid,
            is_new=False,
        ),
        after=own,
        pod=spec.pod,
    )
    return graph
