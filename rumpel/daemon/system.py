"""`list`, `config`, `daemon status` and `daemon stop`: questions that run no graph."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

from rumpel import __version__, agents, paths, text
from rumpel.adapters import threads
from rumpel.daemon import at_work, compose, features, forward, moved, outside, requests, sign_in
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.hosts import LOCAL
from rumpel.daemon.pods import Pod
from rumpel.daemon.view import left_behind, listing
from rumpel.devcontainer import check
from rumpel.devcontainer import config as devcontainer
from rumpel.errors import Conflict, HostUnreachable
from rumpel.graphs.ids import address

GLANCE_S = 0.2
REFRESH_S = 20.0


async def list_pods(app: App, client: Client) -> dict[str, object]:
    """From memory when warm; an engine that is down makes pods `unreachable`, no error."""
    everything = bool(client.request.args["all"])
    if everything:
        pods = app.pods.all()
        await moved.tell_gone(app, client)
    else:
        repo = app.target_of(client.request.cwd)
        pods = app.pods.of_repo(repo.repo_id)
        if pods:
            app.background.spawn(app.links.repo(pods[0].spec.repo).check(), "published branches")
    if (wanted := client.request.host) is not None:
        name = requests.local_host(wanted)
        pods = [pod for pod in pods if pod.spec.host == name]
    if pods:
        await _reach(app, client, {pod.spec.host for pod in pods})
    await _look(app, client, pods)
    rows = listing(app, pods) if len(pods) < 8 else await threads.call(listing, app, pods)
    if not client.request.args["quiet"] and await _are_merged(app, pods, rows):
        rows = await threads.call(listing, app, pods)
    ports = {(pod.spec.repo.work_tree, pod.name): forward.summary(app, pod) for pod in pods}
    for row in rows:
        row["ports"] = ports[row["repo"], row["name"]]
    return {"result": rows, "warnings": client.warnings, "exit_code": 0}


async def _reach(app: App, client: Client, hosts: set[str]) -> None:
    """The local engine answers or is down; nobody waits for one that is far away."""
    if LOCAL in hosts:
        try:
            await app.host(LOCAL)
        except HostUnreachable as error:
            client.warn(error.message)
    far = sorted(hosts - {LOCAL})
    await app.engines.glance(far)
    for host in far:
        if why := app.engines.why(host):
            client.warn(why)


async def _are_merged(app: App, pods: list[Pod], rows: list[dict[str, Any]]) -> bool:
    """News of pods that are ahead of a base that went on? Also that one is no longer merged."""
    apart = {
        (row["repo"], row["name"]) for row in rows if row["git"]["ahead"] and row["git"]["behind"]
    }
    if not apart:
        return False
    asked = [pod for pod in pods if (pod.spec.repo.work_tree, pod.name) in apart]
    pairs = await threads.call(left_behind, app, asked)
    return await app.landed.look(pairs, within_s=GLANCE_S)


async def _look(app: App, client: Client, pods: list[Pod]) -> None:
    """For uncommitted files: with --refresh in all that run, else where the number is no use."""
    everything = bool(client.request.args["refresh"])
    if client.request.args["quiet"] and not everything:
        return
    asked = []
    for pod in pods:
        access = app.pods.access(pod.spec)
        is_wanted = app.links.dirty.get(pod.pod_id) is None or (
            pod.pod_id in app.pods.open_sessions and not app.links.dirty.is_fresh(pod.pod_id)
        )
        if access is None or not (everything or is_wanted):
            continue
        if app.links.is_live(pod.pod_id, access.container_id):
            asked.append(pod)
    within_s = REFRESH_S if everything else GLANCE_S
    addresses = [address(pod.spec) for pod in asked]
    late = await app.links.dirty.refresh_all(addresses, within_s=within_s)
    if late and everything:
        names = sorted(pod.name for pod in asked if pod.pod_id in late)
        client.warn(f"no answer from {text.listing(names)}: uncommitted files are as last seen")


async def config(app: App, client: Client) -> dict[str, object]:
    where = await requests.target(client)
    if client.request.args["check"]:
        found = await threads.call(
            check.check,
            where.root,
            config_path=client.request.args["config"],
            local_env=client.request.env,
            repo_basename=where.ref.basename,
            composer=compose.composer(requests.granted(app.store, where)),
            fetcher=partial(features.fetcher, Path(paths.cache_dir()), where.root),
        )
        for warning in found.pop("warnings"):
            client.warn(warning)
        code = found.pop("exit_code")
        return {"result": {"devcontainer": found}, "warnings": client.warnings, "exit_code": code}
    dev = await requests.dev_config(where, client, pod="", pod_id="")
    data: dict[str, Any] = {
        "settings": where.settings.to_json(),
        "sign_ins": [
            await sign_in.listed(app, agent, client, where.settings)
            for agent in agents.AGENTS.values()
        ],
        "ssh_keys": [
            {"pod": pod.name, "fingerprint": key.fingerprint, "comment": key.comment}
            for pod in app.pods.of_repo(where.ref.repo_id)
            if (agent := app.ssh_agents.of(pod.pod_id)) is not None
            for key in agent.held()
        ],
        "docker": await outside.listed(app, client, where.settings, where.host),
        "devcontainer": devcontainer.describe(dev),
        "host_effects": [{"kind": item.kind, "text": item.text} for item in dev.effects],
    }
    for warning in dev.warnings:
        client.warn(warning)
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def status(app: App, client: Client) -> dict[str, object]:
    data = {
        "pid": os.getpid(),
        "version": __version__,
        "socket": paths.socket_path(),
        "state_dir": str(app.state_dir),
        "uptime_s": round(time.time() - app.started_at, 1),
        "pods": len(app.pods.all()),
        "runs": app.runner.active,
    }
    return {"result": data, "warnings": [], "exit_code": 0}


async def stop(app: App, client: Client) -> dict[str, object]:
    """Pods and sessions go on; graphs and agents that work without one are only ended by force."""
    if app.runner.active and not client.request.args["force"]:
        raise Conflict(
            f"{app.runner.active} operation{'s' if app.runner.active > 1 else ''} in progress",
            hint="rumpel daemon stop --force   ends them; they go on when run again",
        )
    if (working := at_work.pods(app)) and not client.request.args["force"]:
        raise Conflict(
            f"an agent is at work in {text.listing(working)}",
            hint="rumpel daemon stop --force   ends it",
        )
    app.stopping.set()
    return {"result": {"pid": os.getpid()}, "warnings": [], "exit_code": 0}
