"""What a configuration wants done on this machine first: alone, since the rest is read after it."""

from __future__ import annotations

from collections.abc import Mapping

from rumpel.engine.graph import Graph
from rumpel.model import HookSpec, RepoRef
from rumpel.tasks import initialize as initialize_task


def initialize(repo: RepoRef, hook: HookSpec, *, cwd: str, env: Mapping[str, str]) -> Graph:
    graph = Graph("initialize")
    graph.add(
        initialize_task,
        f"initialize/local/{repo.repo_id[:12]}",
        initialize_task.Inputs(hook=hook, cwd=cwd, env=env),
    )
    return graph
