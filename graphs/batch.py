"""Many tasks, as one graph: start -> pod -> work -> verify -> leave of each.

A task that needs others starts from what they committed, once that is verified. What is done
already is in the graph without its pod: nothing is made for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from rumpel.engine.graph import Graph, Handle
from rumpel.model import RepoRef
from rumpel.tasks import starting, task_leave, task_pod, task_verify, task_work
from rumpel.tasks.batching import TaskKey

HOST = "batch"
"""In the ids of nodes, where others have their host: a task's is decided while it runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the graph has to know of a task."""

    name: str
    digest: str
    around: str
    base: str | None
    agent: str
    """Empty: a command."""
    title: str
    needs: tuple[str, ...]
    verify: str
    attempt: int


def node_id(kind: str, repo_id: str, task: str) -> str:
    return f"{kind}/{HOST}/{repo_id[:12]}/{task}"


def batch(repo: RepoRef, name: str, tasks: Iterable[Task], *, done: Collection[str] = ()) -> Graph:
    """`done`: names of those whose work and verification hold; in an order that `needs` allows."""
    graph = Graph("batch")
    ends: dict[str, tuple[Handle, Handle]] = {}
    for task in tasks:
        key = TaskKey(repo_id=repo.repo_id, batch=name, task=task.name)
        start = _start(graph, repo, task, [ends[need] for need in task.needs])
        is_done = task.name in done
        ready = [] if is_done else [_pod(graph, key, start)]
        work = _work(graph, key, task, start, ready=ready)
        last = _verify(graph, key, task, work, ready=ready) if task.verify else work
        if not is_done:
            leave = task_leave.Inputs(key=key)
            graph.add(task_leave, _id(task_leave, key), leave, after=[last], pod=key.task)
        ends[task.name] = work, last
    return graph


def _id(operation: Any, key: TaskKey) -> str:
    return node_id(operation.KIND, key.repo_id, key.task)


def _start(
    graph: Graph, repo: RepoRef, task: Task, needs: Iterable[tuple[Handle, Handle]]
) -> Handle:
    """What it needs is (the work, and what has to be done before anybody starts from that)."""
    return graph.add(
        starting,
        node_id(starting.KIND, repo.repo_id, task.name),
        starting.Inputs(
            repo=repo,
            task=task.name,
            base=task.base,
            needs=tuple(work.out("commit") for work, _ in needs),
        ),
        after=[last for _, last in needs],
        pod=task.name,
    )


def _pod(graph: Graph, key: TaskKey, start: Handle) -> Handle:
    inputs = task_pod.Inputs(key=key, oid=start.out("oid"))
    return graph.add(task_pod, _id(task_pod, key), inputs, pod=key.task)


def _work(
    graph: Graph, key: TaskKey, task: Task, start: Handle, *, ready: Iterable[Handle]
) -> Handle:
    slots = (f"agent:{task.agent}",) if task.agent else ()
    inputs = task_work.Inputs(
        key=key, digest=task.digest, oid=start.out("oid"), attempt=task.attempt
    )
    return graph.add(
        task_work,
        _id(task_work, key),
        inputs,
        after=ready,
        pod=key.task,
        title=task.title,
        policy=replace(task_work.POLICY, slots=slots),
    )


def _verify(
    graph: Graph, key: TaskKey, task: Task, work: Handle, *, ready: Iterable[Handle]
) -> Handle:
    inputs = task_verify.Inputs(
        key=key,
        command=task.verify,
        commit=work.out("commit"),
        tree=work.out("tree"),
        dirty=work.out("dirty"),
        around=task.around,
    )
    return graph.add(task_verify, _id(task_verify, key), inputs, after=ready, pod=key.task)
