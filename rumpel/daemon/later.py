"""Commands that nobody waits for: those after `waitFor`, where a configuration says so itself.

Without it every command is waited for, as the reference's `up` does. Spec: containers.dev,
"waitFor". A command that is left is run by a graph of its own; it fails, and is tried again, like
any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rumpel.devcontainer.lifecycle import HOOKS
from rumpel.graphs.ids import node_id
from rumpel.graphs.resume import resume
from rumpel.model import HookSpec, PodSpec

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.engine.graph import Graph

VERB = "later"
"""Of the graph that runs them."""


def awaited(spec: PodSpec) -> PodSpec:
    """Without the commands that are left for later."""
    if not _left(spec):
        return spec
    last = _place(spec.waits_for)
    return replace(spec, hooks=tuple(one for one in spec.hooks if _place(one.name) <= last))


def go_on(app: App, specs: Iterable[PodSpec], *, is_asked: bool = False) -> list[str]:
    """With what was left, of pods that came so far; the names of those in which something begins.

    One that has failed is run again for who asks for the pod to be finished.
    """
    begun = []
    for spec in specs:
        running, made_of = app.later.get(spec.pod_id), app.pods.made_of(spec)
        is_busy = spec.pod_id in app.replacing or (running is not None and not running.done())
        if is_busy or made_of is None or not _left(spec):
            continue
        if not is_asked and (failed(app, spec) or _has_ended_badly(app, awaited(spec))):
            continue
        graph = resume(spec, made_of)
        graph.verb = VERB
        if app.engine.plan(graph).is_fresh:
            continue
        task = app.background.spawn(_run(app, graph), f"commands of {spec.pod}")
        app.later[spec.pod_id] = task
        task.add_done_callback(partial(_forget, app, spec.pod_id))
        begun.append(spec.pod)
    return begun


def restore(app: App, host: str) -> None:
    """What the last daemon was at, in pods that run."""
    here = [pod for pod in app.pods.all() if pod.spec.host == host]
    go_on(app, [pod.spec for pod in here if app.access_if_running(pod) is not None])


def failed(app: App, spec: PodSpec) -> str | None:
    """The first command that was left and ended with a failure of its own."""
    for hook in _left(spec):
        record = app.store.records.get(f"{node_id('lifecycle', spec)}/{hook.key}")
        if record is not None and record.failure and record.failure.get("state") == "failed":
            return hook.key
    return None


def _has_ended_badly(app: App, spec: PodSpec) -> bool:
    """A command of it failed or was cancelled: what comes behind it waits for who asks."""
    records = (
        app.store.records.get(f"{node_id('lifecycle', spec)}/{hook.key}")
        for hook in spec.hooks
        if hook.name != HOOKS[-1]
    )
    return any(record is not None and record.failure for record in records)


def _forget(app: App, pod_id: str, task: asyncio.Task[None]) -> None:
    if app.later.get(pod_id) is task:
        del app.later[pod_id]


async def end(app: App, pod_id: str) -> None:
    """For who replaces the pod, in which they are run again, or deletes it."""
    task = app.later.get(pod_id)
    if task is not None:
        task.cancel()
        await asyncio.wait([task])


async def _run(app: App, graph: Graph) -> None:
    await app.runner.follow(graph, app.engine.open_run(), emit=lambda _: None)


def _left(spec: PodSpec) -> list[HookSpec]:
    last = _place(spec.waits_for) if spec.waits_for else len(HOOKS)
    return [one for one in spec.hooks if one.name != HOOKS[-1] and _place(one.name) > last]


def _place(name: str) -> int:
    """initializeCommand is before all of them."""
    return HOOKS.index(name) if name in HOOKS else -1
