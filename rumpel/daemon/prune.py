"""`prune`: stopped pods go as `delete` sends them, never with work that is nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rumpel import text
from rumpel.adapters import threads
from rumpel.daemon import moved, requests, stop, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.requests import Target
from rumpel.errors import Partial, RumpelError, Unmerged

STOPPED = "stopped"


async def run(app: App, client: Client) -> dict[str, object]:
    """`ids`: those that somebody agreed to; without any it is all that are stopped now."""
    args = client.request.args
    places = await _places(app, client)
    pods = await _stopped(app, client, {where.ref.repo_id for where in places})
    if args["dry_run"]:
        rows = [_row(pod, STOPPED) for pod in pods]
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    agreed = set(args["ids"])
    pods = [pod for pod in pods if not agreed or pod.pod_id in agreed]
    rows, failed = [], dict[str, RumpelError]()
    for where, those in _by_place(places, pods):
        errors = dict[str, RumpelError]()
        done = await stop.deleted(app, client, where, those, errors=errors, force=False)
        for pod, row in zip(those, done, strict=True):
            rows.append(_done(pod, row, errors))
            if rows[-1]["status"] == "failed":
                failed[_called(pod, args["all"])] = errors[pod.name]
    if not failed:
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    error = next(iter(failed.values()))
    if len(rows) > 1:
        said = "; ".join(f"{name}: {one.message}" for name, one in failed.items())
        made = type(error) if len(failed) == len(rows) else Partial
        error = made(f"{len(failed)} of {len(rows)} pods failed: {said}", hint=error.hint)
    return {"error": error.to_json(), "data": rows, "warnings": client.warnings}


async def _places(app: App, client: Client) -> list[Target]:
    """The repository of the request, or all that have pods and are where they were."""
    if not client.request.args["all"]:
        return [await requests.lenient(client)]
    await moved.tell_gone(app, client)
    found = []
    for repo in {pod.spec.repo.repo_id: pod.spec.repo for pod in app.pods.all()}.values():
        try:
            opened = await threads.call(app.opened, repo)
            found.append(await requests.lenient(client, opened))
        except RumpelError as error:
            names = text.listing(sorted(pod.name for pod in app.pods.of_repo(repo.repo_id)))
            client.warn(f"not looked at: {names} of {repo.work_tree} ({error.message})")
    return found


async def _stopped(app: App, client: Client, repos: set[str]) -> list[Pod]:
    """On hosts that answer; of one that does not nobody can tell."""
    wanted, is_all = client.request.host, client.request.args["all"]
    only = None if wanted is None else requests.local_host(wanted)
    pods = [pod for repo_id in repos for pod in app.pods.of_repo(repo_id)]
    pods = [pod for pod in pods if only in (None, pod.spec.host)]
    hosts = sorted({pod.spec.host for pod in pods})
    await app.engines.glance(hosts)
    for host in hosts:
        if why := app.engines.why(host):
            away = [pod for pod in pods if pod.spec.host == host]
            names = ", ".join(sorted(_called(pod, is_all) for pod in away))
            client.warn(f"not looked at: {names} ({why})")
    found = [pod for pod in pods if view.status(app, pod)[0] == STOPPED]
    return sorted(found, key=lambda pod: (pod.spec.repo.work_tree, pod.name))


def _by_place(places: list[Target], pods: list[Pod]) -> Iterator[tuple[Target, list[Pod]]]:
    for where in places:
        those = [pod for pod in pods if pod.spec.repo.repo_id == where.ref.repo_id]
        if those:
            yield where, those


def _called(pod: Pod, with_repo: bool) -> str:
    return f"{pod.name} of {pod.spec.repo.work_tree}" if with_repo else pod.name


def _done(pod: Pod, row: dict[str, Any], errors: dict[str, RumpelError]) -> dict[str, Any]:
    """What has work of its own was never to go: that is no failure."""
    error = errors.get(pod.name)
    is_kept = isinstance(error, Unmerged)
    return _row(pod, "kept" if is_kept else str(row["status"]), row["error"])


def _row(pod: Pod, status: str, error: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "name": pod.name,
        "id": pod.pod_id,
        "repo": pod.spec.repo.work_tree,
        "host": pod.spec.host,
        "status": status,
        "error": error,
    }
