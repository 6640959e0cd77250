"""`prune`: stopped pods go as `delete` sends them, never with work that is nowhere else."""

from __future__ import annotations

from typing import Any

from rumpel.daemon import requests, stop, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.requests import Target
from rumpel.errors import Partial, RumpelError, Unmerged

STOPPED = "stopped"


async def run(app: App, client: Client) -> dict[str, object]:
    """`names`: those that somebody agreed to; without any it is all that are stopped now."""
    where = await requests.lenient(client)
    pods = await _stopped(app, client, where)
    if client.request.args["dry_run"]:
        rows = [_row(pod, STOPPED) for pod in pods]
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    agreed = set(client.request.args["names"])
    pods = [pod for pod in pods if not agreed or pod.name in agreed]
    errors = dict[str, RumpelError]()
    rows = []
    if pods:
        done = await stop.deleted(app, client, where, pods, errors=errors, force=False)
        hosts = {pod.name: pod for pod in pods}
        rows = [_done(hosts[row["name"]], row, errors) for row in done]
    failed = {row["name"]: errors[row["name"]] for row in rows if row["status"] == "failed"}
    if not failed:
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    error = next(iter(failed.values()))
    if len(rows) > 1:
        said = "; ".join(f"{name}: {one.message}" for name, one in failed.items())
        made = type(error) if len(failed) == len(rows) else Partial
        error = made(f"{len(failed)} of {len(rows)} pods failed: {said}", hint=error.hint)
    return {"error": error.to_json(), "data": rows, "warnings": client.warnings}


async def _stopped(app: App, client: Client, where: Target) -> list[Pod]:
    """Of this repository, on hosts that answer; of one that does not nobody can tell."""
    wanted = client.request.host
    only = None if wanted is None else requests.local_host(wanted)
    pods = [pod for pod in app.pods.of_repo(where.ref.repo_id) if only in (None, pod.spec.host)]
    hosts = sorted({pod.spec.host for pod in pods})
    await app.engines.glance(hosts)
    for host in hosts:
        if why := app.engines.why(host):
            names = ", ".join(sorted(pod.name for pod in pods if pod.spec.host == host))
            client.warn(f"not looked at: {names} ({why})")
    found = [pod for pod in pods if view.status(app, pod)[0] == STOPPED]
    return sorted(found, key=lambda pod: pod.name)


def _done(pod: Pod, row: dict[str, Any], errors: dict[str, RumpelError]) -> dict[str, Any]:
    """What has work of its own was never to go: that is no failure."""
    error = errors.get(pod.name)
    is_kept = isinstance(error, Unmerged)
    return _row(pod, "kept" if is_kept else str(row["status"]), row["error"])


def _row(pod: Pod, status: str, error: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": pod.name, "host": pod.spec.host, "status": status, "error": error}
