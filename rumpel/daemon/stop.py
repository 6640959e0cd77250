"""`stop` and `delete`: several pods at once; one that fails does not keep the others."""

from __future__ import annotations

from typing import Any

from rumpel import protocol, text
from rumpel.daemon import dirty, later, left, lent, replacing, requests, seeds, spared, trash, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod, find_container
from rumpel.daemon.requests import Target
from rumpel.engine import faults
from rumpel.engine.events import DONE
from rumpel.engine.execute import RunResult
from rumpel.errors import NotFound, Partial, RumpelError, UsageError
from rumpel.graphs import delete as delete_graph
from rumpel.graphs import stop as stop_graph
from rumpel.graphs.ids import address, node_id
from rumpel.tasks import beside
from rumpel.tasks.world import Access


async def stop(app: App, client: Client) -> dict[str, object]:
    where = await requests.lenient(client)
    pods, errors = _named(app, client, where)
    rows = await stopped(app, client, pods, errors=errors)
    return _answer(rows, errors, client)


async def stopped(
    app: App, client: Client, pods: list[Pod], *, errors: dict[str, RumpelError]
) -> list[dict[str, Any]]:
    """A row for each; why one still runs is in `errors`, too."""
    pairs = []
    for pod in pods:
        await app.host(pod.spec.host)
        access = access_of(app, pod)
        if access is not None:
            pairs.append((pod.spec, access))
    tell_sessions(app, client, pods)
    with app.pods.are_ending(pods, "stopped"):
        result = await app.runner.run(stop_graph.stop(pairs), client) if pairs else None
    rows, reached = [], {spec.pod_id for spec, _ in pairs}
    for pod in pods:
        error = _error(result, pod)
        if pod.pod_id not in reached:  # it has no container, and services perhaps
            try:
                await beside.stop(app.world, address(pod.spec))
            except RumpelError as problem:
                error = problem
        if error is not None:
            errors[pod.name] = error
        rows.append(_row(pod.name, "stopped", error))
    return rows


async def delete(app: App, client: Client) -> dict[str, object]:
    where = await requests.lenient(client)
    pods, errors = _named(app, client, where)
    for pod in pods:
        await app.host(pod.spec.host)
    await faults.reach("delete.asked")
    force = bool(client.request.args["force"])
    rows = await deleted(app, client, where, pods, errors=errors, force=force)
    return _answer(rows, errors, client)


async def deleted(
    app: App,
    client: Client,
    where: Target,
    pods: list[Pod],
    *,
    errors: dict[str, RumpelError],
    force: bool,
) -> list[dict[str, Any]]:
    """A row for each; why one is still there is in `errors`, too. Their hosts are connected."""
    async with replacing.leaving(app, pods):
        rows = await _deleted(app, client, where, pods, errors=errors, force=force)
    for host in {pod.spec.host for pod in pods}:
        await seeds.release(app, where.ref, host)
    return rows


async def _deleted(
    app: App,
    client: Client,
    where: Target,
    pods: list[Pod],
    *,
    errors: dict[str, RumpelError],
    force: bool,
) -> list[dict[str, Any]]:
    keep_s = float(where.settings.get("keepDeleted"))
    # Anew: one that was replaced until now has another container.
    pods = [app.pods.by_id(pod.pod_id) or pod for pod in pods]
    pairs = [(pod.spec, access_of(app, pod)) for pod in pods]
    result = None
    if pairs:
        seen = {pod.pod_id: await _seen(app, pod) for pod in pods}
        graph = delete_graph.delete(pairs, force=force, keep_s=keep_s, seen=seen)
        tell_sessions(app, client, pods)
        try:
            with app.pods.are_ending(pods, "deleted"):
                result = await app.runner.run(graph, client)
        finally:
            await spared.go_on(app, [pod.spec for pod in pods], result)
        await faults.reach("delete.removed")
    rows = []
    for pod, (_, access) in zip(pods, pairs, strict=True):
        error = _error(result, pod)
        if error is None:
            tell_lost(client, result, pod)
            _tell_services(client, pod)
            _tell_unseen(app, client, pod, access)
            lent.forget(app, pod)
            await later.end(app, pod.pod_id)  # else it fails, and is remembered by the pod's name
            await app.pods.remove(pod)
            await trash.remember(app, pod.spec.repo)
        else:
            errors[pod.name] = error
        rows.append(_row(pod.name, "deleted", error))
    return rows


async def _seen(app: App, pod: Pod) -> delete_graph.Seen:
    files = app.links.dirty.get(pod.pod_id)
    return delete_graph.Seen(dirty=files[0] if files else 0, left=await left.known(app, pod))


def tell_lost(client: Client, result: RunResult | None, pod: Pod) -> None:
    """What went with the pod: it is never lost silently."""
    kept = None if result is None else result.outputs.get(node_id("keep", pod.spec))
    for line in () if kept is None else kept.lost:
        client.warn(f"pod {pod.name!r} is deleted, and this went with it: {line}")


def _tell_services(client: Client, pod: Pod) -> None:
    """Their volumes are no work, so nothing keeps them."""
    project = pod.spec.project
    kinds = {} if project is None else project.volumes
    if own := [key for key, one in kinds.items() if not one.get("external")]:
        went = text.count(len(own), "volume")
        client.notice(f"with pod {pod.name} went {went} of its services: {text.listing(own)}")


def _tell_unseen(app: App, client: Client, pod: Pod, access: Access | None) -> None:
    """Its container went by other hands, and what was not committed with it."""
    seen = app.store.kv_get(f"{dirty.KEY}/{pod.pod_id}")
    if access is None and seen is not None and seen[0]:
        files = text.count(seen[0], "uncommitted file")
        client.warn(f"pod {pod.name!r} had {files} when it was last seen: gone with its container")


def tell_sessions(app: App, client: Client, pods: list[Pod]) -> None:
    """Who works there loses it in mid-sentence."""
    for pod in pods:
        sessions = app.pods.open_sessions.get(pod.pod_id, 0)
        if sessions:
            what = text.count(sessions, "open session")
            client.send(protocol.notice(f"pod {pod.name} has {what}", level="warning"))
        if (agent := view.at_work(app, pod)) is not None:
            what = f"{agent} is ended in the middle of its work in pod {pod.name}"
            client.send(protocol.notice(what, level="warning"))


def _named(app: App, client: Client, where: Target) -> tuple[list[Pod], dict[str, RumpelError]]:
    """The pods named; a name that is none is an error of its own."""
    args = client.request.args
    if args.get("all"):
        return app.pods.of_repo(where.ref.repo_id), {}
    if not args["names"]:
        raise UsageError("name at least one pod")
    pods, errors = [], dict[str, RumpelError]()
    for name in dict.fromkeys(args["names"]):
        try:
            pods.append(app.pods.get(where.ref.repo_id, name))
        except NotFound as error:
            errors[name] = error
    return pods, errors


def access_of(app: App, pod: Pod) -> Access | None:
    """How to reach the pod's container, None when there is none in the world."""
    snapshot = app.world.snapshot(pod.spec.host)
    access = app.pods.access(pod.spec)
    if snapshot is None or access is None:
        return access
    state = find_container(snapshot.containers.values(), pod.pod_id)
    return None if state is None else access


def _error(result: RunResult | None, pod: Pod) -> RumpelError | None:
    if result is None:
        return None
    for kind in ("stop", "guard", "keep", "remove"):
        name = node_id(kind, pod.spec)
        if name in result.states and result.states[name] not in DONE:
            return result.errors.get(name) or RumpelError(f"{kind} of {pod.name} did not run")
    return None


def _row(name: str, status: str, error: RumpelError | None) -> dict[str, Any]:
    return {
        "name": name,
        "status": status if error is None else "failed",
        "error": None if error is None else error.to_json(),
    }


def _answer(
    rows: list[dict[str, Any]], errors: dict[str, RumpelError], client: Client
) -> dict[str, object]:
    known = {row["name"] for row in rows}
    rows += [_row(name, "failed", error) for name, error in errors.items() if name not in known]
    if not errors:
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    error = next(iter(errors.values()))
    if len(rows) > 1:
        worst = error
        made = type(worst) if len(errors) == len(rows) else Partial
        error = made(
            f"{len(errors)} of {len(rows)} pods failed: "
            + "; ".join(f"{name}: {one.message}" for name, one in errors.items()),
            hint=worst.hint,
            details={"errors": {name: one.to_json() for name, one in errors.items()}},
        )
    return {"error": error.to_json(), "data": rows, "warnings": client.warnings}
