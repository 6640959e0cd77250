"""What `doctor` finds on pods: can their commits arrive, is what they stand on there."""

from __future__ import annotations

import asyncio
import functools
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from rumpel import names, text
from rumpel.daemon import service_ends, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.finding import Finding
from rumpel.daemon.hosts import LOCAL
from rumpel.daemon.pods import Pod
from rumpel.errors import RumpelError
from rumpel.resources import resource_text
from rumpel.tasks import seed
from rumpel.tasks.beside import is_over, serving
from rumpel.tasks.world import Access

LIMIT_S = 4.0
MOST_PODS = 100
JUST_STARTED_S, LOOK_AGAIN_S = 3.0, 0.05
"""Connections into the pods are made after the daemon has started."""
LINK_S = 3.0
LOOK_FOR_HOOK = """\
cd "$1" && git=$(git rev-parse --git-common-dir) && [ -x "$git/hooks/reference-transaction" ]
"""
PUT_HOOK = """\
cd "$1" && git=$(git rev-parse --git-common-dir) && mkdir -p "$git/hooks" &&
[ ! -e "$git/hooks/reference-transaction" ] && cat >"$git/hooks/reference-transaction" &&
chmod 755 "$git/hooks/reference-transaction"
"""
Running = Sequence[tuple[Pod, Access]]


async def pods(app: App, client: Client) -> list[Finding]:
    """Of all repositories."""
    if any(pod.spec.host == LOCAL for pod in app.pods.all()):
        await app.host(LOCAL)
    accesses = [(pod, app.access_if_running(pod)) for pod in app.pods.all()]
    running = [(pod, access) for pod, access in accesses if access is not None]
    looks = (_hook(app, *item) for item in running[:MOST_PODS])
    cut, bare = await asyncio.gather(
        _cut(app, running), asyncio.gather(*looks, return_exceptions=True)
    )
    found = [
        *_gone(app, client),
        *_seeds(app, running),
        *_ports(app, running),
        *_services(app, running),
    ]
    if cut:
        missing = f"no connection into {_listed(cut)}: commits arrive later"
        relink = functools.partial(_relink, app, cut)
        found.append(
            Finding("pods", "warning", missing, "rumpel daemon restart", "pod-cut", relink)
        )
    without = [item for item in bare if isinstance(item, tuple)]
    if without:
        which = _listed(without)
        slow = f"the git hook of {which} is gone: commits arrive within 3 s, not at once"
        put = functools.partial(_put_hooks, app, without)
        found.append(Finding("pods", "warning", slow, "rumpel doctor --fix", "pod-hook", put))
    count = f"{text.count(len(app.pods.all()), 'pod')}, {len(running)} running"
    return found or [Finding("pods", "ok", count)]


def _listed(items: Running) -> str:
    return text.listing(sorted(pod.name for pod, _ in items))


async def _cut(app: App, running: Running) -> list[tuple[Pod, Access]]:
    """Those without a connection, once a daemon that has just started had time to make them."""
    while True:
        found = [
            (pod, access)
            for pod, access in running
            if not app.links.is_live(pod.pod_id, access.container_id)
        ]
        if not found or time.time() > app.started_at + JUST_STARTED_S:
            return found
        await asyncio.sleep(LOOK_AGAIN_S)


async def _relink(app: App, cut: Running) -> None:
    for pod, _ in cut:
        app.link_up(pod)
    async with asyncio.timeout(LINK_S):
        while True:
            if all(app.links.is_live(pod.pod_id, access.container_id) for pod, access in cut):
                return
            await asyncio.sleep(LOOK_AGAIN_S)


def _gone(app: App, client: Client) -> list[Finding]:
    found = []
    for pod in app.pods.all():
        if view.status(app, pod)[0] == "gone":
            words = f"the container of pod {pod.name} is gone; its commits are on the host"
            hint = f"rumpel{_place(client, pod)} create {pod.name}"
            found.append(Finding("pods", "warning", words, hint, "pod-gone"))
    return found


def _place(client: Client, pod: Pod) -> str:
    root = pod.spec.repo.work_tree
    is_here = Path(client.request.cwd).is_relative_to(root)
    return "" if is_here else f" -C {shlex.quote(root)}"


async def _hook(app: App, pod: Pod, access: Access) -> tuple[Pod, Access] | None:
    """The pod when its hook is not there; None when it is, or when nobody can tell."""
    argv = ["sh", "-c", LOOK_FOR_HOOK, "sh", pod.spec.container.workspace_folder]
    done = await app.hosts[pod.spec.host].exec_run(
        access.container_id, argv, user=access.user, timeout_s=LIMIT_S
    )
    return (pod, access) if done.code == 1 else None


async def _put_hooks(app: App, without: Running) -> None:
    """As the pod's user; where somebody put another one there, that stays."""
    for pod, access in without:
        argv = ["sh", "-c", PUT_HOOK, "sh", pod.spec.container.workspace_folder]
        await app.hosts[pod.spec.host].exec_run(
            access.container_id,
            argv,
            user=access.user,
            input=resource_text("pod_hook.sh").encode() + b"\n",
            timeout_s=LIMIT_S,
        )


def _services(app: App, running: Running) -> list[Finding]:
    """A service that ended and is there to run; one that came to a good end has done its work."""
    found = []
    for pod, _ in running:
        serves = set() if pod.spec.project is None else serving(pod.spec.project)
        for service, state in service_ends.of(app, pod.spec):
            if state.status not in service_ends.ENDED:
                continue
            if service in serves or not is_over(state):
                start = functools.partial(app.hosts[pod.spec.host].start, state.id)
                words = f"service {service} of pod {pod.name} has ended with {state.exit_code}"
                hint = f"rumpel logs {pod.name} {service}; docker start {state.name}"
                found.append(Finding("pods", "warning", words, hint, "pod-service", start))
    return found


def _seeds(app: App, running: Running) -> list[Finding]:
    """Without its gateway nothing of the host gets to the pods of a repository."""
    found = []
    for host, repo_id in sorted({(pod.spec.host, pod.spec.repo.repo_id) for pod, _ in running}):
        pod = next(one for one, _ in running if one.spec.repo.repo_id == repo_id)
        snapshot = app.world.snapshot(host)
        gateways = (
            []
            if snapshot is None
            else [
                state
                for state in snapshot.containers.values()
                if state.labels.get(names.LABEL_KIND) == seed.GATEWAY
                and state.labels.get(names.LABEL_REPO) == repo_id
            ]
        )
        if snapshot is None or any(state.status == "running" for state in gateways):
            continue
        what = f"what brings branches of {pod.spec.repo.work_tree} to its pods"
        if not gateways:
            words, hint = f"{what} is gone", f"rumpel create {pod.name}"
            found.append(Finding("pods", "warning", words, hint, "seed-gone"))
            continue
        start = functools.partial(_start, app, host, gateways[0].id)
        words, hint = f"{what} is stopped", f"rumpel create {pod.name}"
        found.append(Finding("pods", "warning", words, hint, "seed-stopped", start))
    return found


async def _start(app: App, host: str, container_id: str) -> None:
    await app.hosts[host].start(container_id)
    await app.world.looked(host, container_id)


def _ports(app: App, running: Running) -> list[Finding]:
    found = []
    for pod, access in running:
        closed = [
            one.key
            for one in pod.spec.open_ports
            if app.ports.local(pod.pod_id, one.key, access.container_id) is None
        ]
        if closed and pod.pod_id not in app.creating:
            why = next((w for key in closed if (w := app.ports.why(pod.pod_id, key))), "not open")
            words = f"port {text.listing(closed)} of pod {pod.name} is not forwarded: {why}"
            again = functools.partial(_open, app, pod, access)
            hint = f"rumpel ports {pod.name}"
            found.append(Finding("pods", "warning", words, hint, "port-closed", again))
    return found


async def _open(app: App, pod: Pod, access: Access) -> None:
    """Raises RumpelError when one still cannot be had."""
    await app.ports.follow(pod.spec, access)
    for one in pod.spec.open_ports:
        if app.ports.listener(pod.pod_id, one.key) is None:
            raise RumpelError(app.ports.why(pod.pod_id, one.key) or "it cannot be opened")
