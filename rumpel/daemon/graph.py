"""`graph`: the nodes of a pod, what each would do now, and why. Nothing is changed."""

from __future__ import annotations

from typing import Any

from rumpel import paths
from rumpel.daemon import (
    copied_in,
    graph_follow,
    graph_history,
    image_label,
    image_specs,
    prebuilds,
    requests,
    review,
    undelete,
    work,
)
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.nodes import pick
from rumpel.daemon.pods import Pod, new_pod_id
from rumpel.daemon.requests import Target
from rumpel.engine.doit_bridge import dodo_text
from rumpel.engine.events import reason_json
from rumpel.engine.graph import Graph
from rumpel.engine.operation import Reason, ReasonKind
from rumpel.engine.plan import Plan, Verdict
from rumpel.errors import NotFound, RumpelError, UsageError
from rumpel.graphs import delete as delete_graph
from rumpel.graphs import merge as merge_graph
from rumpel.graphs import snapshot as snapshot_graph
from rumpel.graphs import stop as stop_graph
from rumpel.graphs.create import create
from rumpel.graphs.resume import resume

STATES = {
    Verdict.FRESH: "cached",
    Verdict.RUN: "stale",
    Verdict.MAY_RUN: "may-run",
    Verdict.BLOCKED: "unknown",
}
MAKING = ("create", "enter")
NOT_YET = 0.0
"""When a pod was created that is none yet."""
ANEW = frozenset({"commits", "guard", "keep", "remove", "restore", "snapshot", "uncommitted"})
"""Kinds of nodes that are never what they were."""
PLANS = (
    *("create", "enter", "review", "merge", "stop", "delete"),
    *("snapshot", "restore", "undelete"),
)


async def run(app: App, client: Client) -> dict[str, object]:
    args = client.request.args
    read = requests.target if args["plan"] in (*MAKING, "undelete") else requests.lenient
    where = await read(client)
    verb = args["plan"] or "create"
    if args["batch"] and (args["plan"] or args["follow"]):
        hint = "rumpel batch check FILE; rumpel batch status --follow"
        raise UsageError("--plan and --follow are for pods", hint=hint)
    if verb not in PLANS:
        raise UsageError(f"no plan for {verb!r}", hint=f"one of {', '.join(PLANS)}")
    try:
        for host in await _hosts(app, client, where, args["name"]):
            await app.host(host)
    except RumpelError as error:
        client.warn(f"{error.message}: what needs it is unknown")
    else:
        looked_at = [] if args["batch"] else _looked_at(app, where, args["name"])
        await app.by_hand.look(pod.spec for pod in looked_at)
    if args["follow"]:
        told = await _followed(app, client, where, args["name"])
        if told is not None:
            return {"result": told, "warnings": client.warnings, "exit_code": 0}
    if args["batch"]:
        graph = await _of_batch(app, client, where, args["name"] or "")
    else:
        graph = await _graph(app, client, where, args["name"], verb)
    plan = app.engine.plan(graph)
    data = describe(app, plan)
    if verb not in MAKING:
        forget_last(data["nodes"])
    if args["history"]:
        data["history"] = await graph_history.history(app.store, _of_pods(plan))
    if args["why"] is not None:
        wanted = pick([node["id"] for node in data["nodes"]], args["why"], "in this graph")
        data["nodes"] = [node for node in data["nodes"] if node["id"] == wanted]
        data["edges"] = []
    if args["format"] == "doit":
        data["dodo"] = dodo_text(paths.socket_path(), where.root, args["name"] or "")
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def _hosts(app: App, client: Client, where: Target, name: str | None) -> set[str]:
    """Of the pods it is about; of a draft the one where it would be made."""
    pods = _looked_at(app, where, None if client.request.args["batch"] else name)
    if not pods and client.request.args["batch"]:
        return set()
    if not pods:
        return {await requests.consented_host(app.store, where, client, may_ask=False)}
    return {pod.spec.host for pod in pods}


async def _followed(
    app: App, client: Client, where: Target, name: str | None
) -> dict[str, Any] | None:
    """None: nothing runs."""
    repo_id = where.ref.repo_id
    pod = None if name is None else app.pods.get(repo_id, name, prefix=True).name
    told = await graph_follow.follow(app, client, repo_id, pod)
    if told is None:
        client.notice("nothing runs now")
    return told


def describe(app: App, plan: Plan) -> dict[str, Any]:
    """The JSON of features.md part 1: nodes with state and reasons, edges as pairs."""
    found = plan.to_json()
    for node in found["nodes"]:
        record = app.store.records.get(node["id"])
        node["state"] = STATES[Verdict(node.pop("verdict"))]
        if record is not None and record.failure is not None and node["state"] == "stale":
            node["state"] = str(record.failure.get("state", "failed"))
        if node["id"] in app.engine.flights:
            node["state"] = "running"
        node["duration_s"] = None if record is None else round(record.elapsed_s, 3)
        node["updated_at"] = None if record is None else record.updated_at
        node["by"] = None if record is None else (record.output or {}).get("by") or None
        node["error"] = None if record is None or not record.failure else record.failure["error"]
    found["edges"] = [[edge["from"], edge["to"]] for edge in found["edges"]]
    took = {node["id"]: node["duration_s"] or 0.0 for node in found["nodes"]}
    found["critical_path"] = graph_history.slowest(plan, took)
    return found


def forget_last(nodes: list[dict[str, Any]]) -> None:
    """What looks or acts anew each time is not what it was: how that ended tells nothing now."""
    for node in nodes:
        if node["kind"] in ANEW and node["state"] != "running":
            node |= {"state": "stale", "duration_s": None, "updated_at": None, "error": None}
            node["reasons"] = [reason_json(Reason(ReasonKind.ALWAYS, "asked for every time"))]


def _of_pods(plan: Plan) -> list[str]:
    """What several pods share is in the runs of others, too: those are not asked for."""
    nodes = plan.graph.nodes
    return [node_id for node_id in plan.nodes if nodes[node_id].pod] or [*plan.nodes]


async def _of_batch(app: App, client: Client, where: Target, name: str) -> Graph:
    from rumpel.daemon import batch, batch_list

    found = batch.named(app, where.ref.repo_id, name)
    return await batch_list.graph(app, client, where, found)


async def _graph(app: App, client: Client, where: Target, name: str | None, verb: str) -> Graph:
    if verb == "undelete":
        if name is None:
            raise UsageError("--plan undelete needs the name of a deleted pod")
        return await undelete.plan(app, client, where, name)
    if name is None:
        pods = app.pods.of_repo(where.ref.repo_id)
        if not pods:
            raise NotFound(
                "no pods of this repository yet",
                hint="rumpel graph NAME --plan create   shows what creating one would do",
            )
    else:
        pods = await _pod_or_draft(app, client, where, name)
    if verb == "stop":
        return stop_graph.stop(
            (pod.spec, access) for pod in pods if (access := app.pods.access(pod.spec))
        )
    if verb == "delete":
        return delete_graph.delete(
            ((pod.spec, app.pods.access(pod.spec)) for pod in pods), force=False
        )
    if verb == "merge":
        graph = Graph("merge")
        for pod in pods:
            graph.merge(merge_graph.whole(pod.spec, app.pods.access(pod.spec)))
        return graph
    if verb == "snapshot":
        return snapshot_graph.snapshot((pod.spec, app.pods.access(pod.spec)) for pod in pods)
    if verb == "restore":
        return await work.plan(app, where, pods)
    if verb == "enter" and all(pod.created_at != NOT_YET for pod in pods):
        return _enter(app, pods)
    if verb == "review":
        graph = Graph("review")
        for pod in pods:
            graph.merge((await review.plan(app, where, pod)).graph)
        return graph
    return await _create(app, client, where, pods)


def _looked_at(app: App, where: Target, name: str | None) -> list[Pod]:
    found = app.pods.of_repo(where.ref.repo_id)
    return found if name is None else [pod for pod in found if pod.name.startswith(name)]


async def _pod_or_draft(app: App, client: Client, where: Target, name: str) -> list[Pod]:
    """A pod that does not exist yet has a plan too, for who asks: everything in it would run."""
    try:
        return [app.pods.get(where.ref.repo_id, name, prefix=True)]
    except NotFound:
        if client.request.args["plan"] not in MAKING:
            raise
        start = await requests.base(where, None)
        pod_id = new_pod_id()
        dev = await requests.dev_config(where, client, pod=name, pod_id=pod_id)
        spec = await requests.pod_spec(where, dev, pod=name, pod_id=pod_id, start=start)
        spec = await image_label.looked_at(app, where, spec, dev)
        spec = (await copied_in.look(client, where)).given(spec)
        return [Pod(spec=spec, created_at=NOT_YET)]


async def _create(app: App, client: Client, where: Target, pods: list[Pod]) -> Graph:
    """With the configuration as it is on disk now."""
    graph = Graph("create")
    for pod in pods:
        dev = await requests.dev_config(where, client, pod=pod.name, pod_id=pod.pod_id)
        spec = await requests.spec_now(where, dev, pod.spec)
        spec = await image_label.looked_at(app, where, spec, dev)
        bases = await image_specs.bases_of(spec)
        contents = await prebuilds.contents(app, [spec], bases)
        ended = {spec.pod_id: app.pods.ended(spec)}
        graph.merge(create([spec], bases=bases, contents=contents, ended=ended))
    return graph


def _enter(app: App, pods: list[Pod]) -> Graph:
    graph = Graph("enter")
    for pod in pods:
        made_of = app.pods.made_of(pod.spec)
        if made_of is not None:
            graph.merge(resume(pod.spec, made_of))
    return graph
