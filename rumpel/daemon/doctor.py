"""`doctor`: what can be wrong around the daemon, looked at all at once and not for long."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import Awaitable, Callable
from typing import Any

from rumpel import text
from rumpel.adapters import git, proc, threads
from rumpel.daemon import doctor_git, doctor_left, doctor_pods, gc, requests
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.finding import Finding
from rumpel.daemon.hosts import LOCAL
from rumpel.errors import ConfigError, HostUnreachable, NotFound, RumpelError, UsageError

LIMIT_S = 5.0
HOST_S = 4.0
FIX_S = 60.0
GIB = 1 << 30
LOW_BYTES, VERY_LOW_BYTES = 5 * GIB, GIB
MERGE_GIT = (2, 38)
"""Before it nothing tells of conflicts without touching the working tree."""
LEAST_API = (1, 40)
"""Of Docker 19.03; nothing older was tried."""

Check = Callable[[App, Client], Awaitable[list[Finding]]]


async def run(app: App, client: Client) -> dict[str, object]:
    """With `fix` what can be put right is, and then all is looked at once more."""
    found = await _look(app, client)
    fixed: list[dict[str, Any]] = []
    if client.request.args["fix"] and any(one.fix is not None for one in found):
        tried = [(one, await _fixed(one)) for one in found if one.fix is not None]
        found = await _look(app, client)
        left = {one.code for one in found}
        for one, why in tried:
            if one.code not in left:
                fixed.append({**one.row(), "state": "fixed", "hint": None, "fixable": False})
            elif why:
                client.warn(f"{one.text}: not put right: {why}")
    rows = [*fixed, *(one.row() for one in found)]
    return {"result": rows, "warnings": client.warnings, "exit_code": 0}


async def _fixed(one: Finding) -> str:
    """Why not; empty when it went well."""
    if one.fix is None:
        return "only you can"
    try:
        async with asyncio.timeout(FIX_S):
            await one.fix()
    except RumpelError as error:
        return error.message
    except TimeoutError:
        return "it took too long"
    return ""


async def _look(app: App, client: Client) -> list[Finding]:
    checks: dict[str, Check] = {
        "docker": _docker,
        "hosts": _hosts,
        "git": _git,
        "disk": _disk,
        "pods": doctor_pods.pods,
        "repository": _repository,
        "config": _configuration,
        "leftovers": _leftovers,
    }
    found = await asyncio.gather(*(_bounded(app, client, *item) for item in checks.items()))
    return [finding for findings in found for finding in findings]


async def _bounded(app: App, client: Client, name: str, check: Check) -> list[Finding]:
    try:
        async with asyncio.timeout(LIMIT_S):
            return await check(app, client)
    except TimeoutError:
        words = f"no answer within {text.duration(LIMIT_S)}"
        return [Finding(name, "problem", words, None, "no-answer")]
    except RumpelError as error:
        return [Finding(name, "problem", error.message, error.hint, error.code)]


async def _docker(app: App, client: Client) -> list[Finding]:
    host = await app.host(LOCAL)
    if not await host.ping():
        words = f"{host.url} does not answer"
        return [Finding("docker", "problem", words, "docker info", HostUnreachable.code)]
    info = host.info
    words = f"{info.kind} {info.version}, API {info.api_version}, {text.count(info.cpus, 'CPU')}"
    found = [Finding("docker", "ok", f"{words} at {host.url}"), *api(info.api_version)]
    wanted, own = client.request.env.get("DOCKER_HOST"), os.environ.get("DOCKER_HOST")
    if wanted and wanted != own:
        words = f"DOCKER_HOST is {wanted}, but the daemon uses {host.url}"
        hint = "rumpel daemon restart"
        found.append(Finding("docker", "warning", words, hint, "docker-address"))
    return found


def api(version: str) -> list[Finding]:
    parts = [int(part) for part in version.split(".") if part.isdecimal()]
    if tuple(parts) >= LEAST_API:
        return []
    least = ".".join(map(str, LEAST_API))
    words = f"API {version} is older than {least}, the oldest that was tried: upgrade Docker"
    return [Finding("docker", "problem", words, "docker version", "docker-api-old")]


async def _hosts(app: App, client: Client) -> list[Finding]:
    """Those that are far away: of pods, and of what else is known to be there."""
    far = [host for host in gc.hosts(app) if host != LOCAL]
    return list(await asyncio.gather(*(_host(app, host) for host in far)))


async def _host(app: App, name: str) -> Finding:
    try:
        async with asyncio.timeout(HOST_S):
            await app.host(name)
    except TimeoutError:
        words = f"{name} does not answer within {text.duration(HOST_S)}"
        return Finding("hosts", "problem", words, None, HostUnreachable.code)
    except RumpelError as error:
        return Finding("hosts", "problem", error.message, error.hint, error.code)
    return Finding("hosts", "ok", f"{name} is connected")


async def _git(app: App, client: Client) -> list[Finding]:
    done = await proc.run(["git", "--version"], env=proc.clean_env({}), timeout_s=LIMIT_S)
    words = done.stdout.decode(errors="replace").removeprefix("git version").split()
    version = words[0] if words else ""
    parts = [part for part in version.split(".")[:2] if part.isdecimal()]
    if tuple(map(int, parts)) < MERGE_GIT:
        least = ".".join(map(str, MERGE_GIT))
        old = f"git {version or 'of unknown version'}: `rumpel merge` works best from {least} on"
        return [Finding("git", "warning", old, "git --version", "git-old")]
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
    hint = "rumpel gc" if name == "docker" else f"du -sh {folder}"
    state = "problem" if free < VERY_LOW_BYTES else "warning" if free < LOW_BYTES else "ok"
    if state == "ok":
        return Finding("disk", state, words)
    return Finding("disk", state, words, hint, "disk-low")


def _free(folder: str) -> int | None:
    """Bytes for us; None where nobody may look."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


async def _repository(app: App, client: Client) -> list[Finding]:
    """And the remotes of it."""
    try:
        repo = await threads.call(git.discover, client.request.cwd)
    except (UsageError, NotFound):
        return [Finding("repository", "ok", "this folder is in none: nothing to look at")]
    rows = await doctor_git.namespaces(app, repo)
    entries = await threads.call(git.config_entries, repo, doctor_git.REMOTE_KEYS)
    quiet = ("ok", "no remote is given, or prunes, what belongs to pods", None, None)
    dangers = doctor_git.dangers(entries) or [quiet]
    fixes = {doctor_git.FOREIGN: functools.partial(doctor_git.remove_foreign, app, repo)}
    return [
        *(Finding("repository", *row, fix=fixes.get(row[3] or "")) for row in rows),
        *(Finding("remotes", *row) for row in dangers),
    ]


async def _configuration(app: App, client: Client) -> list[Finding]:
    """Of this repository: what is wrong in its files is else told when a pod is to be made."""
    try:
        where, problems = await requests.judged(client)
    except (UsageError, NotFound):
        return []  # the repository's finding says so
    try:
        dev = await requests.dev_config(
            where, client, pod="", pod_id="", may_ask=False, is_whole=False
        )
    except ConfigError as error:
        problems.append(error)
    found = [
        Finding("config", "warning", f"{one.message}: no pod can be made", one.hint, "config")
        for one in problems
    ]
    if found:
        return found
    words = dev.source or f"no devcontainer.json: pods are of {dev.image}"
    return [Finding("config", "ok", words)]


async def _leftovers(app: App, client: Client) -> list[Finding]:
    """On engines that answer; of others `hosts` tells."""
    found = await doctor_left.here(app)
    with contextlib.suppress(HostUnreachable):
        await app.host(LOCAL)
    for name in gc.hosts(app):
        if not app.engines.why(name):
            found += await doctor_left.leftovers(app, name)
    return found
