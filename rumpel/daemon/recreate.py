"""`recreate`: what changed in the configuration decides what is done; no work is ever lost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rumpel import names
from rumpel.daemon import (
    at_work,
    copied_in,
    forward,
    ignored,
    image_label,
    image_specs,
    initialize,
    later,
    outside,
    pending,
    planned,
    prebuilds,
    remembering,
    replacing,
    requests,
    service_ends,
)
from rumpel.daemon import create as create_verb
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.nodes import pick, place_of
from rumpel.daemon.pods import Pod
from rumpel.daemon.requests import Target
from rumpel.daemon.stop import tell_sessions
from rumpel.daemon.view import listing
from rumpel.engine import faults
from rumpel.engine.events import DONE
from rumpel.engine.execute import RunResult
from rumpel.engine.graph import Graph
from rumpel.engine.plan import Plan
from rumpel.errors import RumpelError
from rumpel.graphs.create import Content, create
from rumpel.graphs.ids import image_id, node_id
from rumpel.graphs.recreate import Before, recreate
from rumpel.model import PodSpec
from rumpel.tasks import copy_in

if TYPE_CHECKING:
    from rumpel.devcontainer.config import DevConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is to be done, and why."""

    spec: PodSpec
    graph: Graph
    plan: Plan
    refresh: list[str]
    is_forced: bool
    is_fresh: bool
    """Nothing is to be done now."""
    goes_on: bool
    """Commands that nobody waits for are at work, and stay so."""
    done: dict[str, Any]


async def run(app: App, client: Client) -> dict[str, object]:
    where = await requests.target(client)
    pod = _pod(app, where, client.request.args["name"])
    await app.host(pod.spec.host)
    await outside.note(app, client, where.settings, pod.spec.host)
    await replacing.undisturbed(app, pod.pod_id)
    await replacing.made_good(app, pod)
    pod = app.pods.by_id(pod.pod_id) or pod
    spec, dev = await new_spec(app, client, where, pod)
    draft = await _draft(app, client, pod, spec)
    if client.request.args["plan"]:
        done = draft.done
        if _is_swap(app, draft):
            done |= await ignored.would_go(app, where, client, pod)
        return _answer(client, {**_row(app, pod), **done})
    draft = await _with_image(app, client, where, pod, draft=draft, dev=dev)
    spec, done = draft.spec, draft.done
    await faults.reach("recreate.planned")
    if draft.is_fresh:
        await replacing.staying(app, pod)
        if spec.to_json() != pod.spec.to_json():
            await app.pods.put(spec, created_at=pod.created_at)
        await forward.settle(app, client, [spec])
        await service_ends.tell(app, client, [spec])
        return _answer(client, {**_row(app, pod), **done})
    at_work.refuse(app, pod)  # everybody would wait for its end
    is_spared = draft.goes_on and not _is_swap(app, draft)
    if not is_spared:
        await later.end(app, pod.pod_id)  # what it was at is run again
    async with replacing.alone(app, pod, beside=later.VERB if is_spared else ""):
        old = app.pods.access(pod.spec)
        result = await _run(app, client, where, pod, draft)
    await service_ends.tell(app, client, [spec], result)
    done |= planned.after_all(done, spec, old, result)
    done |= ignored.went(client, result.outputs.get(node_id("replace", spec)))
    return _answer(client, {**_row(app, pod), **done})


async def _draft(
    app: App, client: Client, pod: Pod, spec: PodSpec, *, without: Collection[str] = ()
) -> Draft:
    """`without`: steps that were made anew just now."""
    graph = await _staying(app, spec)
    refresh = [
        pick(graph.nodes, wanted, f"of pod {pod.name!r}")
        for wanted in client.request.args["refresh"]
    ]
    refresh = [name for name in refresh if name not in without]
    if client.request.args["plan"]:
        await app.by_hand.look([spec])
    plan = app.engine.plan(graph, refresh=refresh)
    is_forced = _is_forced(client, spec, refresh)
    goes_on = planned.goes_on(app, plan, pod, spec, refresh)
    done = planned.planned(app, plan, pod, spec, is_forced=is_forced, goes_on=goes_on)
    return Draft(
        spec=spec,
        graph=graph,
        plan=plan,
        refresh=refresh,
        is_forced=is_forced,
        is_fresh=done["action"] in (planned.NOTHING, planned.LATER_ON),
        goes_on=goes_on,
        done=done,
    )


async def _staying(app: App, spec: PodSpec) -> Graph:
    """With the container that it has."""
    bases, ended = await image_specs.bases_of(spec), {spec.pod_id: app.pods.ended(spec)}
    return create([spec], bases=bases, may_replace=True, ended=ended)


def _is_swap(app: App, draft: Draft) -> bool:
    """May the pod have another container afterwards?"""
    return draft.is_forced or planned.needs_container(app, draft.plan, draft.spec)


async def _with_image(
    app: App, client: Client, where: Target, pod: Pod, *, draft: Draft, dev: DevConfig
) -> Draft:
    """Its image is made now: what that says of its containers is part of the pod."""
    try:
        spec = await image_label.whole(app, client, where, draft.spec, dev, refresh=draft.refresh)
    except RumpelError as error:
        create_verb.point_to_log(error, pod.name)
        client.warn(f"pod {pod.name!r} goes on as it was")
        raise
    found = await _draft(app, client, pod, spec, without=[image_id("image", spec)])
    return replace(found, done=draft.done) if draft.done["action"] == planned.NEW_IMAGE else found


def _pod(app: App, where: Target, name: str) -> Pod:
    return app.pods.get(where.ref.repo_id, names.check_pod_name(name))


async def new_spec(app: App, client: Client, where: Target, pod: Pod) -> tuple[PodSpec, DevConfig]:
    """The pod as the configuration wants it now; it keeps its host and where it came from."""
    config_file = client.request.args["config"] or pod.spec.config_file
    if not client.request.args["plan"]:
        await initialize.before(app, client, where, config_file=config_file)
    dev = await requests.dev_config(
        where, client, pod=pod.name, pod_id=pod.pod_id, config_file=config_file
    )
    for warning in (*where.settings.warnings, *dev.warnings):
        client.warn(warning)
    await requests.consented(app.store, where, client, dev)
    spec = await requests.spec_now(where, dev, pod.spec)
    spec = await _with_files(app, client, where, spec)
    return await image_label.looked_at(app, where, spec, dev), dev


async def _with_files(app: App, client: Client, where: Target, spec: PodSpec) -> PodSpec:
    """One that was made before `copyIn` was set is given them when that is asked for."""
    args = client.request.args
    if spec.copy_in or not (args["clean"] or copy_in.KIND in args["refresh"]):
        return spec
    if args["plan"]:
        return (await copied_in.look(client, where)).given(spec)
    return (await copied_in.wanted(app, client, where)).given(spec)


def _is_forced(client: Client, spec: PodSpec, refresh: list[str]) -> bool:
    args = client.request.args
    return bool(args["force"] or args["clean"] or node_id("container", spec) in refresh)


async def _run(app: App, client: Client, where: Target, pod: Pod, draft: Draft) -> RunResult:
    """Raises the error of the node that failed; the pod is then as it was, or goes on there."""
    spec, graph, refresh = draft.spec, draft.graph, draft.refresh
    is_swap = _is_swap(app, draft)
    was = replacing.before(app, pod)
    graph.verb, content = "recreate", None
    if is_swap:
        has_copied = _has_copied(app, client, spec, refresh)
        files = None if has_copied else await copied_in.anew(client, spec)
        tell_sessions(app, client, [pod])
        content = await _content(app, client, where, pod, spec, refresh=refresh)
        graph = await _swapping(
            client,
            where,
            spec,
            was,
            force=draft.is_forced,
            has_copied=has_copied,
            files=files,
            content=content,
        )
        await replacing.note(app, pod, spec, was, has_copied=has_copied)
        await faults.reach("recreate.noted")
    elif draft.goes_on:
        graph = await _staying(app, later.awaited(spec))
        graph.verb = "recreate"
    async with replacing.making(app, pod):
        result = await app.runner.run(graph, client, refresh=refresh)
        if not is_swap or result.states[node_id("retire", spec)] in DONE:
            await faults.reach("recreate.swapped")
            await _remember(app, spec, result, content, kept=ignored.kept(where, client, spec))
            await replacing.forget(app, pod, result)
            replacing.dismiss(app, spec, result.outputs.get(node_id("retire", spec)))
        copied_in.tell(client, [spec], result)
        await pending.settle(app, client, [spec], result)
        await forward.settle(app, client, [spec], result)
    if result.errors and was.is_running and not _runs(app, pod):
        client.warn(f"pod {pod.name!r} is stopped, with all work in it: rumpel recreate {pod.name}")
    _explain(client, pod, result)
    return result


def _runs(app: App, pod: Pod) -> bool:
    """As far as is known."""
    is_away = app.world.snapshot(pod.spec.host) is None
    return is_away or replacing.before(app, pod).is_running


def _has_copied(app: App, client: Client, spec: PodSpec, refresh: list[str]) -> bool:
    """The pod was given files of the host, and keeps what it has of them.

    A record may be of a container before the one it has; then this one lacks them still.
    """
    if client.request.args["clean"] or node_id(copy_in.KIND, spec) in refresh:
        return False
    record, access = app.pods.record(copy_in.KIND, spec), app.pods.access(spec)
    if record is None or record.output is None or record.failure is not None or access is None:
        return False
    return bool(record.output["container_id"] == access.container_id)


async def _remember(
    app: App, spec: PodSpec, result: RunResult, content: Content | None, *, kept: tuple[str, ...]
) -> None:
    await remembering.remember(app, [spec], result)
    await prebuilds.learn(app, [spec], result)
    done = result.outputs.get(node_id("replace", spec))
    if content is not None and done is not None and done.mixed:
        await prebuilds.note_mixed(app, spec, content, kept)


def _explain(client: Client, pod: Pod, result: RunResult) -> None:
    """Raises the error of the node that failed, unless that is a port."""
    for name, error in result.errors.items():
        create_verb.point_to_log(error, pod.name, name)
    if any(place_of(name).pod is None for name in result.errors):  # nothing of its own was reached
        client.warn(f"pod {pod.name!r} goes on as it was")
    forward.raise_unless_port(client, result)


async def _content(
    app: App, client: Client, where: Target, pod: Pod, spec: PodSpec, *, refresh: list[str]
) -> Content | None:
    """None: its commands run in it, as when they are asked for."""
    own = f"{node_id('lifecycle', spec)}/"
    if client.request.args["no_prebuild"] or any(item.startswith(own) for item in refresh):
        return None
    kept, bases = ignored.kept(where, client, spec), await image_specs.bases_of(spec)
    return await prebuilds.content_again(app, pod, spec, bases, kept=kept)


async def _swapping(
    client: Client,
    where: Target,
    spec: PodSpec,
    was: Before,
    *,
    force: bool,
    has_copied: bool,
    files: tuple[str, ...] | None,
    content: Content | None,
) -> Graph:
    return recreate(
        spec,
        was,
        kept=ignored.kept(where, client, spec),
        named=ignored.named(client),
        has_copied=has_copied,
        files=files,
        force=force,
        bases=await image_specs.bases_of(spec),
        content=content,
    )


def _row(app: App, pod: Pod) -> dict[str, Any]:
    found = app.pods.by_id(pod.pod_id) or pod
    return listing(app, [found])[0]


def _answer(client: Client, row: dict[str, Any]) -> dict[str, object]:
    return {"result": row, "warnings": client.warnings, "exit_code": 0}
