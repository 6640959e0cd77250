"""What a fork needs first of its source: its commits, as they are now.

The pods made from it come to be like any other (create). Meanwhile the work not committed is taken
(snapshot), and put into them last (restore): see daemon/pending.py.
"""

from __future__ import annotations

from rumpel.engine.graph import Graph
from rumpel.graphs.merge import add_commits
from rumpel.model import PodSpec
from rumpel.tasks.world import Access


def source(spec: PodSpec, access: Access | None) -> Graph:
    graph = Graph("fork")
    add_commits(graph, spec, access)
    return graph
