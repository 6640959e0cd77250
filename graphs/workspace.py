"""The workspace of a pod that runs: its clone, its link to the host, and what else it is given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rumpel.engine.graph import Graph, Handle
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import clone, copy_in, sync
from rumpel.tasks import restore as restore_task


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a pod is to have besides its commits."""

    oid: str | None
    """Of a snapshot; None when there was nothing to take."""
    is_new: bool
    """The pod is made for it: nobody has worked in it."""


def add_work_and_clone(
    graph: Graph,
    spec: PodSpec,
    started: Handle,
    work: Work | None,
    *,
    files: tuple[str, ...] | None = None,
) -> tuple[Handle, list[Handle]]:
    """The clone, and what the lifecycle commands wait for besides: they are to find the same files
    as those of the pod that the work is from, and those of this machine.
    """
    cloned, synced = add_workspace(graph, spec, started, leaves_files=work is not None)
    if work is None:
        return cloned, add_copy_in(graph, spec, started, after=[cloned], files=files)
    restored = graph.add(
        restore_task,
        node_id("restore", spec),
        restore_task.Inputs(
            address=address(spec),
            **_running(started),
            oid=work.oid,
            is_new=work.is_new,
            is_once=True,
        ),
        after=[cloned, synced],
        pod=spec.pod,
    )
    copied = add_copy_in(graph, spec, started, after=[restored], files=files)
    return cloned, [restored, *copied]


def add_copy_in(
    graph: Graph,
    spec: PodSpec,
    started: Handle,
    *,
    after: Iterable[Handle],
    files: tuple[str, ...] | None = None,
    is_kept: Any = False,
) -> list[Handle]:
    """Of a pod that was made with files that `copyIn` names."""
    if not spec.copy_in:
        return []
    inputs = copy_in.Inputs(
        address=address(spec),
        container_id=started.out("container_id"),
        user=started.out("user"),
        patterns=spec.copy_in,
        files=files,
        is_kept=is_kept,
    )
    return [graph.add(copy_in, node_id("copy-in", spec), inputs, after=after, pod=spec.pod)]


def _known(replaced: Handle) -> dict[str, Any]:
    return {"has_moved": replaced.out("has_moved"), "carried_files": replaced.out("files")}


def _running(started: Handle) -> dict[str, Any]:
    return {name: started.out(name) for name in ("container_id", "user", "as_main")}


def add_workspace(
    graph: Graph,
    spec: PodSpec,
    started: Handle,
    *,
    leaves_files: bool = False,
    replaced: Handle | None = None,
) -> tuple[Handle, Handle]:
    """The clone in a container that runs, and its link to the host."""
    where, running = address(spec), _running(started)
    known = {} if replaced is None else _known(replaced)
    cloned = graph.add(
        clone,
        node_id("clone", spec),
        clone.Inputs(
            address=where,
            base_branch=spec.base_branch,
            base_oid=spec.base_oid,
            leaves_files=leaves_files,
            private=spec.container.private_env,
            **running,
            **known,
        ),
        pod=spec.pod,
    )
    synced = graph.add(
        sync,
        node_id("sync", spec),
        sync.Inputs(
            address=where,
            started_at=started.out("started_at"),
            **running,
            oid=cloned.out("oid"),
        ),
        pod=spec.pod,
    )
    return cloned, synced
