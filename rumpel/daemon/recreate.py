"""`recreate`: what changed in the configuration decides what is done; no work is ever lost."""

from __future__ import annotations

from typing import Any

from rumpel import names
from rumpel.daemon import (
    at_work,
    forward,
    ignored,
    initialize,
    outside,
    pending,
    prebuilds,
    replacing,
    requests,
)
from rumpel.daemon import create as create_verb
from rumpel.daemon import graph as graph_verb
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
from rumpel.engine.operation import ReasonKind
from rumpel.engine.plan import Plan, Verdict
from rumpel.graphs.create import Content, create, feature_id, image_id, node_id
from rumpel.graphs.recreate import Before, recreate
from rumpel.model import PodSpec

LATER = ("remote_env", "env_probe", "shares_branches", "ports", "hooks")
"""Parts of a pod that are used, some of them, by no node but by what is run in it next."""


async def run(app: App, client: Client) -> dict[str, object]:
    where = await requests.target(client)
    pod = _pod(app, where, client.request.args["name"])
    await app.host(pod.spec.host)
    await outside.note(app, client, where.settings, pod.spec.host)
    await replacing.undisturbed(app, pod.pod_id)
    spec = await new_spec(app, client, where, pod)
    graph = create([spec], bases=await requests.bases_of(spec))
    refresh = [
        pick(graph.nodes, wanted, f"of pod {pod.name!r}")
        for wanted in client.request.args["refresh"]
    ]
    if client.request.args["plan"]:
        await app.by_hand.look([spec])
    plan = app.engine.plan(graph, refresh=refresh)
    is_forced = _is_forced(client, spec, refresh)
    done = planned(app, plan, pod, spec, is_forced)
    if client.request.args["plan"]:
        if is_forced or needs_container(plan, spec):
            done |= await ignored.would_go(app, where, client, pod)
        return _answer(client, {**_row(app, pod), **done})
    await faults.reach("recreate.planned")
    if plan.is_fresh and not is_forced:
        await replacing.staying(app, pod)
        if spec.to_json() != pod.spec.to_json():
            await app.pods.put(spec, created_at=pod.created_at)
        await forward.settle(app, client, [spec])
        return _answer(client, {**_row(app, pod), **done})
    at_work.refuse(app, pod)  # everybody would wait for its end
    async with replacing.alone(app, pod):
        result = await _run(app, client, where, pod, spec, graph=graph, plan=plan, refresh=refresh)
    done |= ignored.went(client, result.outputs.get(node_id("replace", spec)))
    return _answer(client, {**_row(app, pod), **done})


def _pod(app: App, where: Target, name: str) -> Pod:
    return app.pods.get(where.ref.repo_id, names.check_pod_name(name))


async def new_spec(app: App, client: Client, where: Target, pod: Pod) -> PodSpec:
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
    return await requests.spec_now(where, dev, pod.spec)


def _is_forced(client: Client, spec: PodSpec, refresh: list[str]) -> bool:
    args = client.request.args
    return bool(args["force"] or args["clean"] or node_id("container", spec) in refresh)


def planned(app: App, plan: Plan, pod: Pod, spec: PodSpec, is_forced: bool) -> dict[str, Any]:
    """`action`, and why: what the row says before or after."""
    later = [name for name in LATER if getattr(spec, name) != getattr(pod.spec, name)]
    found = graph_verb.describe(app, plan)
    reasons = [
        {"node": node["id"], **reason}
        for node in found["nodes"]
        for reason in node["reasons"]
        if reason["kind"] not in (ReasonKind.UPSTREAM, ReasonKind.PROBE)
    ]
    return {
        "action": action(plan, spec, later=bool(later), is_forced=is_forced),
        "later": later,
        "reasons": reasons,
    }


def action(plan: Plan, spec: PodSpec, *, later: bool, is_forced: bool) -> str:
    """The greatest thing that is to be done."""
    steps = [image_id("image", spec), *(feature_id(spec, one) for one in spec.image.features)]
    if any(plan[name].verdict is not Verdict.FRESH for name in steps):
        return "new image"
    if is_forced or needs_container(plan, spec):
        return "new container"
    if not plan.is_fresh:
        stale = {
            item.partition("/")[0]
            for item, found in plan.nodes.items()
            if found.verdict is not Verdict.FRESH
        }
        return "lifecycle" if "lifecycle" in stale else "ports" if stale == {"port"} else "start"
    return "later" if later else "nothing"


def needs_container(plan: Plan, spec: PodSpec) -> bool:
    """May the container be another one afterwards? One that is only stopped is started."""
    found = plan[node_id("container", spec)]
    if found.verdict is Verdict.FRESH:
        return False
    return any(reason.kind is not ReasonKind.PROBE for reason in found.reasons)


async def _run(
    app: App,
    client: Client,
    where: Target,
    pod: Pod,
    spec: PodSpec,
    *,
    graph: Graph,
    plan: Plan,
    refresh: list[str],
) -> RunResult:
    """Raises the error of the node that failed; the pod is then as it was, or goes on there."""
    is_forced = _is_forced(client, spec, refresh)
    is_swap = is_forced or needs_container(plan, spec)
    was = replacing.before(app, pod)
    graph.verb, content = "recreate", None
    if is_swap:
        tell_sessions(app, client, [pod])
        content = await _content(app, client, where, pod, spec, refresh=refresh)
        graph = await _swapping(client, where, spec, was, force=is_forced, content=content)
        await replacing.note(app, pod, spec, was)
        await faults.reach("recreate.noted")
    app.creating[pod.pod_id] = app.creating.get(pod.pod_id, 0) + 1
    try:
        result = await app.runner.run(graph, client, refresh=refresh)
        if not is_swap or result.states[node_id("retire", spec)] in DONE:
            await faults.reach("recreate.swapped")
            await _remember(app, spec, result, content, kept=ignored.kept(where, client))
            await replacing.forget(app, pod.pod_id)
            replacing.dismiss(app, spec, result.outputs.get(node_id("retire", spec)))
        await pending.settle(app, client, [spec], result)
        await forward.settle(app, client, [spec], result)
    finally:
        await replacing.settle(app, pod)
        app.creating[pod.pod_id] -= 1
        if not app.creating[pod.pod_id]:
            del app.creating[pod.pod_id]
        app.reopen_ports(pod.pod_id)
    _explain(client, pod, result)
    return result


async def _remember(
    app: App, spec: PodSpec, result: RunResult, content: Content | None, *, kept: tuple[str, ...]
) -> None:
    await create_verb.remember(app, [spec], result)
    await prebuilds.learn(app, [spec], result)
    done = result.outputs.get(node_id("replace", spec))
    if content is not None and done is not None and done.mixed:
        await prebuilds.note_mixed(app, spec, content, kept)


def _explain(client: Client, pod: Pod, result: RunResult) -> None:
    """Raises the error of the node that failed, unless that is a port."""
    for error in result.errors.values():
        create_verb.point_to_log(error, pod.name)
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
    kept, bases = ignored.kept(where, client), await requests.bases_of(spec)
    return await prebuilds.content_again(app, pod, spec, bases, kept=kept)


async def _swapping(
    client: Client,
    where: Target,
    spec: PodSpec,
    was: Before,
    *,
    force: bool,
    content: Content | None,
) -> Graph:
    return recreate(
        spec,
        was,
        kept=ignored.kept(where, client),
        named=ignored.named(client),
        force=force,
        bases=await requests.bases_of(spec),
        content=content,
    )


def _row(app: App, pod: Pod) -> dict[str, Any]:
    found = app.pods.by_id(pod.pod_id) or pod
    return listing(app, [found])[0]


def _answer(client: Client, row: dict[str, Any]) -> dict[str, object]:
    return {"result": row, "warnings": client.warnings, "exit_code": 0}
