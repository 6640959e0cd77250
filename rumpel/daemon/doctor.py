"""`doctor`: what can be wrong around the daemon, looked at all at once and not for long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from rumpel import text
from rumpel.adapters import git, proc, threads
from rumpel.daemon import doctor_git, doctor_left, requests, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.hosts import LOCAL
from rumpel.daemon.pods import Pod
from rumpel.errors import ConfigError, HostUnreachable, NotFound, RumpelError, UsageError
from rumpel.tasks.world import Access

LIMIT_S = 5.0
GIB = 1 << 30
LOW_BYTES, VERY_LOW_BYTES = 5 * GIB, GIB
MERGE_GIT = (2, 38)
"""Before it nothing tells of conflicts without touching the working tree."""
MOST_PODS = 100
JUST_STARTED_S, LOOK_AGAIN_S = 3.0, 0.05
"""Connections into the pods are made after the daemon has started."""
LOOK_FOR_HOOK = """\
cd "$1" && git=$(git rev-parse --git-common-dir) && [ -x "$git/hooks/reference-transaction" ]
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """`state`: ok, warning or problem; `hint` is what to type."""

    check: str
    state: str
    text: str
    hint: str | None = None


Check = Callable[[App, Client], Awaitable[list[Finding]]]


async def run(app: App, client: Client) -> dict[str, object]:
    checks: dict[str, Check] = {
        "docker": _docker,
        "hosts": _hosts,
        "git": _git,
        "disk": _disk,
        "pods": _pods,
        "repository": _repository,
        "config": _configuration,
        "leftovers": _leftovers,
    }
    found = await asyncio.gather(*(_bounded(app, client, *item) for item in checks.items()))
    rows = [asdict(finding) for findings in found for finding in findings]
    return {"result": rows, "warnings": client.warnings, "exit_code": 0}


async def _bounded(app: App, client: Client, name: str, check: Check) -> list[Finding]:
    try:
        async with asyncio.timeout(LIMIT_S):
            return await check(app, client)
    except TimeoutError:
        return [Finding(name, "problem", f"no answer within {text.duration(LIMIT_S)}")]
    except RumpelError as error:
        return [Finding(name, "problem", error.message, error.hint)]


async def _docker(app: App, client: Client) -> list[Finding]:
    host = await app.host(LOCAL)
    if not await host.ping():
        return [Finding("docker", "problem", f"{host.url} does not answer", "docker info")]
    info = host.info
    words = f"{info.kind} {info.version}, API {info.api_version}, {text.count(info.cpus, 'CPU')}"
    found = [Finding("docker", "ok", f"{words} at {host.url}")]
    wanted, own = client.request.env.get("DOCKER_HOST"), os.environ.get("DOCKER_HOST")
    if wanted and wanted != own:
        words = f"DOCKER_HOST is {wanted}, but the daemon uses {host.url}"
        found.append(Finding("docker", "warning", words, "rumpel daemon restart"))
    return found


async def _hosts(app: App, client: Client) -> list[Finding]:
    """Those of pods that are far away."""
    far = sorted({pod.spec.host for pod in app.pods.all()} - {LOCAL})
    await app.engines.glance(far)
    whys = {host: app.engines.why(host) for host in far}
    return [
        Finding("hosts", "problem" if why else "ok", why or f"{host} is connected")
        for host, why in whys.items()
    ]


async def _git(app: App, client: Client) -> list[Finding]:
    done = await proc.run(["git", "--version"], env=proc.clean_env({}), timeout_s=LIMIT_S)
    words = done.stdout.decode(errors="replace").removeprefix("git version").split()
    version = words[0] if words else ""
    parts = [part for part in version.split(".")[:2] if part.isdecimal()]
    if tuple(map(int, parts)) < MERGE_GIT:
        least = ".".join(map(str, MERGE_GIT))
        old = f"git {version or 'of unknown version'}: `rumpel merge` works best from {least} on"
        return [Finding("git", "warning", old)]
    return [Finding("git", "ok", f"git {version}")]


async def _disk(app: App, client: Client) -> list[Finding]:
    folders = {"state": str(app.state_dir)}
    with contextlib.suppress(HostUnreachable):
        host = await app.host(LOCAL)
        if host.url.startswith("unix:") and host.info.root_dir:
            folders["docker"] = host.info.root_dir
    found = []
    for name, folder in folders.items():
        free = await threads.call(_free, folder)
        if free is not None:
            found.append(room(name, folder, free))
    return found


def room(name: str, folder: str, free: int) -> Finding:
    words = f"{free / GIB:.1f} GiB free for {folder}"
    hint = "docker system df" if name == "docker" else f"du -sh {folder}"
    state = "problem" if free < VERY_LOW_BYTES else "warning" if free < LOW_BYTES else "ok"
    return Finding("disk", state, words, None if state == "ok" else hint)


def _free(folder: str) -> int | None:
    """Bytes for us; None where nobody may look."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


async def _pods(app: App, client: Client) -> list[Finding]:
    """Of all repositories: can the commits of those that run arrive?"""
    if any(pod.spec.host == LOCAL for pod in app.pods.all()):
        await app.host(LOCAL)
    accesses = [(pod, app.access_if_running(pod)) for pod in app.pods.all()]
    running = [(pod, access) for pod, access in accesses if access is not None]
    looks = (_hook(app, *item) for item in running[:MOST_PODS])
    cut, words = await asyncio.gather(
        _cut(app, running), asyncio.gather(*looks, return_exceptions=True)
    )
    bare = sorted(name for name in words if isinstance(name, str))
    found = _gone(app, client)
    if cut:
        missing = f"no connection into {text.listing(cut)}: commits arrive later"
        found.append(Finding("pods", "warning", missing, "rumpel daemon restart"))
    if bare:
        slow = (
            f"the git hook of {text.listing(bare)} is gone: commits arrive within 3 s, not at once"
        )
        found.append(Finding("pods", "warning", slow))
    count = f"{text.count(len(app.pods.all()), 'pod')}, {len(running)} running"
    return found or [Finding("pods", "ok", count)]


async def _cut(app: App, running: list[tuple[Pod, Access]]) -> list[str]:
    """Those without a connection, once a daemon that has just started had time to make them."""
    while True:
        found = [
            pod.name
            for pod, access in running
            if not app.links.is_live(pod.pod_id, access.container_id)
        ]
        if not found or time.time() > app.started_at + JUST_STARTED_S:
            return sorted(found)
        await asyncio.sleep(LOOK_AGAIN_S)


def _gone(app: App, client: Client) -> list[Finding]:
    found = []
    for pod in app.pods.all():
        if view.status(app, pod)[0] == "gone":
            root = pod.spec.repo.work_tree
            is_here = Path(client.request.cwd).is_relative_to(root)
            place = "" if is_here else f" -C {shlex.quote(root)}"
            words = f"the container of pod {pod.name} is gone; its commits are on the host"
            hint = f"rumpel{place} create {pod.name}"
            found.append(Finding("pods", "warning", words, hint))
    return found


async def _hook(app: App, pod: Pod, access: Access) -> str | None:
    """The pod's name when its hook is not there; None when it is, or when nobody can tell."""
    argv = ["sh", "-c", LOOK_FOR_HOOK, "sh", pod.spec.container.workspace_folder]
    done = await app.hosts[pod.spec.host].exec_run(
        access.container_id, argv, user=access.user, timeout_s=LIMIT_S - 1
    )
    return pod.name if done.code == 1 else None


async def _repository(app: App, client: Client) -> list[Finding]:
    """And the remotes of it."""
    try:
        repo = await threads.call(git.discover, client.request.cwd)
    except (UsageError, NotFound):
        return [Finding("repository", "ok", "this folder is in none: nothing to look at")]
    rows = await doctor_git.namespaces(app, repo)
    entries = await threads.call(git.config_entries, repo, doctor_git.REMOTE_KEYS)
    quiet = ("ok", "no remote is given, or prunes, what belongs to pods", None)
    dangers = doctor_git.dangers(entries) or [quiet]
    return [
        *(Finding("repository", *row) for row in rows),
        *(Finding("remotes", *row) for row in dangers),
    ]


async def _configuration(app: App, client: Client) -> list[Finding]:
    """Of this repository: what is wrong in its files is else told when a pod is to be made."""
    try:
        where, problems = await requests.judged(client)
    except (UsageError, NotFound):
        return []  # the repository's finding says so
    try:
        dev = await requests.dev_config(where, client, pod="", pod_id="")
    except ConfigError as error:
        problems.append(error)
    found = [
        Finding("config", "warning", f"{one.message}: no pod can be made", one.hint)
        for one in problems
    ]
    if found:
        return found
    words = dev.source or f"no devcontainer.json: pods are of {dev.image}"
    return [Finding("config", "ok", words)]


async def _leftovers(app: App, client: Client) -> list[Finding]:
    await app.host(LOCAL)
    return [Finding("leftovers", *row) for row in await doctor_left.leftovers(app, LOCAL)]
