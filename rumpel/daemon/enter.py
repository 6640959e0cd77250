"""`enter`: the pod is made ready, then a command of the user runs in it.

The exec stream's descriptor goes to the client: what the command reads and writes passes the
daemon by, and a stalled terminal holds up nobody.
"""

from __future__ import annotations

import asyncio
import logging
import os
import posixpath
import secrets
from dataclasses import replace
from functools import partial

from rumpel import names, protocol
from rumpel.adapters import threads
from rumpel.daemon import create as create_verb
from rumpel.daemon import (
    forward,
    imports,
    later,
    lent,
    outside,
    pending,
    pods,
    replacing,
    requests,
    service_ends,
    terminal,
    view,
)
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.hosts import LOCAL
from rumpel.daemon.pods import Pod, find_container
from rumpel.daemon.requests import Target
from rumpel.daemon.terminal import Session
from rumpel.devcontainer import secret_values
from rumpel.engine.graph import Graph
from rumpel.errors import ConfigError, Conflict, HostUnreachable, NotFound, RumpelError, TimedOut
from rumpel.graphs.ids import address
from rumpel.graphs.resume import resume
from rumpel.model import PodSpec
from rumpel.tasks import shell

log = logging.getLogger(__name__)

# The folder may be missing in the pod: the root is better than an engine error.
IN_FOLDER = (
    'cd "$1" 2>/dev/null || { cd "$2" && '
    'echo "rumpel: no folder $1 in the pod, using $2" >&2; }; shift 2; exec "$@"'
)
# Through a shell: the engine would answer a missing command on stdout, and with 126.
HERE = 'exec "$@"'
IMPORT_WAIT_S = 5.0


async def run(app: App, client: Client) -> dict[str, object]:
    return await _enter(app, client, await requests.lenient(client))


async def _enter(
    app: App, client: Client, target: Target, *, may_have_stopped: bool = True
) -> dict[str, object]:
    try:
        pod = await ready(app, client, target)
    except Conflict:
        found = app.pods.find(target.ref.repo_id, client.request.args["name"])
        if may_have_stopped and found is not None and await _has_stopped(app, found):
            return await _enter(app, client, target, may_have_stopped=False)
        raise
    access = app.pods.access(pod.spec)
    if access is None:
        raise NotFound(f"pod {pod.name!r} has no container")
    for line in imports.lines(app.links.imports.refused.get(pod.pod_id, ())):
        client.warn(line)
    where = shell.Where(
        host=pod.spec.host,
        container_id=access.container_id,
        user=access.user,
        cwd=pod.spec.container.workspace_folder,
    )
    app.background.spawn(app.links.repo(pod.spec.repo).check(), "published branches")
    try:
        await _post_attach(app, client, target, pod, where)
        session = await _start(app, client, target, pod, where)
    except Conflict:
        if may_have_stopped and await _has_stopped(app, pod):
            return await _enter(app, client, target, may_have_stopped=False)
        raise
    with app.inside(pod.pod_id):
        code = await terminal.follow(client, session)
    if session.is_lost:
        client.warn(f"the connection to {where.host} was lost: some of the output may be missing")
    tell_of_ending(app, client, pod)
    await _catch_up(app, pod)
    app.background.spawn(app.links.refresh_dirty(address(pod.spec)), f"status of {pod.name}")
    return {"result": {"exit_code": code}, "warnings": client.warnings, "exit_code": code}


async def _has_stopped(app: App, pod: Pod) -> bool:
    """By hand, just now: the engine's news of it had not come when it was to be entered."""
    host, access = pod.spec.host, app.pods.access(pod.spec)
    if access is None or app.world.snapshot(host) is None:
        return False  # nobody can say: what was refused keeps its own words
    await app.world.looked(host, access.container_id)
    state = app.snapshots[host].containers.get(access.container_id)
    return state is None or state.status != "running"


def tell_of_ending(app: App, client: Client, pod: Pod) -> None:
    gone = app.pods.by_id(pod.pod_id) is None
    now = app.pods.ending.get(pod.pod_id) or ("deleted" if gone else view.status(app, pod)[0])
    if now != "running" and not now.startswith(("failed", "cancelled", "creating")):
        client.warn(f"pod {pod.name} is {now}: what ran in it was ended")


async def _catch_up(app: App, pod: Pod) -> None:
    """What the command committed is on the host when its end is told; nobody waits long for it."""
    try:
        async with asyncio.timeout(IMPORT_WAIT_S):
            await app.links.catch_up(address(pod.spec))
    except (RumpelError, TimeoutError) as error:
        log.info("pod %s: its last commits come later: %s", pod.name, error)


async def ready(app: App, client: Client, target: Target) -> Pod:
    """The pod, running and set up. An existing container is never rebuilt by entering."""
    name = names.check_pod_name(client.request.args["name"])
    pod = app.pods.find(target.ref.repo_id, name)
    if pod is not None:
        await app.host(pod.spec.host)
        await replacing.made_good(app, pod)
        pod = app.pods.by_id(pod.pod_id) or pod
        await outside.note(app, client, target.settings, pod.spec.host)
        snapshot = app.snapshots[pod.spec.host]
        made_of = app.pods.made_of(pod.spec)
        state = find_container(snapshot.containers.values(), pod.pod_id)
        if state is not None and made_of is not None and state.status != "created":
            _tell_of_limits(client, target, pod)
            spec = await forward.refreshed(app, client, target, pod)
            failed, owed = app.pods.failed_node(spec), [spec]
            if client.request.args.get("ignore_failed"):
                owed = []
                if failed:
                    client.warn(f"{failed} failed and was not run again")
                    spec = replace(spec, hooks=(), copy_in=())
            graph = Graph("enter")
            work = pending.add(app, graph, owed, ())
            graph.merge(resume(later.awaited(spec), made_of, work.get(spec.pod_id)))
            await _resume(app, client, graph, spec, owed)
            _go_on(app, client, spec)
            return pod
    target = await requests.target(client)
    _tell_of_making(app, client, target, name)
    outcome = await create_verb.make(app, client, target, [name])
    for error in outcome.errors.values():
        raise error
    return outcome.pods[name]


async def _resume(
    app: App, client: Client, graph: Graph, spec: PodSpec, owed: list[PodSpec]
) -> None:
    """Do what is to be done, which mostly is nothing."""
    if app.engine.plan(graph).is_fresh:
        await pending.forget(app, owed)
        await forward.settle(app, client, [spec])
        await service_ends.tell(app, client, [spec])
        return
    result = await app.runner.run(graph, client)
    await pending.settle(app, client, owed, result)
    await forward.settle(app, client, [spec], result)
    await service_ends.tell(app, client, [spec], result)
    forward.raise_unless_port(client, result)


def _go_on(app: App, client: Client, spec: PodSpec) -> None:
    """With the commands that nobody waits for; who enters a second time does not run them again."""
    if failed := later.failed(app, spec):
        logs = f"rumpel logs {spec.pod} {failed}"
        client.warn(f"{failed} failed ({logs}): rumpel create {spec.pod}   runs it again")
    later.go_on(app, [spec])


def _tell_of_limits(client: Client, target: Target, pod: Pod) -> None:
    for key, value in target.asked.items():
        if pod.spec.asked.get(key) != value:
            client.warn(
                f"pod {pod.name} is there already, {requests.flag(key)} was not used: "
                f"rumpel recreate {pod.name} {requests.flag(key)} {value or 'default'}"
            )


def _tell_of_making(app: App, client: Client, target: Target, name: str) -> None:
    """A mistyped name, and a container that went by other hands, must not look like a welcome."""
    pod = app.pods.find(target.ref.repo_id, name)
    if pod is None:
        known = [known.name for known in app.pods.of_repo(target.ref.repo_id)]
        near = pods.nearest(name, known)
        if near is not None:
            client.send(protocol.notice(f"new pod {name}; did you mean {near}?", level="warning"))
    elif app.pods.access(pod.spec) is not None and pod.pod_id not in app.creating:
        text = f"the container of pod {name} is gone; it is made again, from its commits"
        client.send(protocol.notice(text, level="warning"))


async def _post_attach(
    app: App, client: Client, target: Target, pod: Pod, where: shell.Where
) -> None:
    hooks = [hook for hook in pod.spec.hooks if hook.name == "postAttachCommand"]
    if not hooks:
        return
    env = await _environment(app, client, target, pod, where)
    try:
        secrets = await threads.call(secret_values.read, pod.spec.secrets_file, pod.spec.secrets)
    except ConfigError as error:  # as the commands themselves: they do not keep anybody out
        client.warn(f"postAttachCommand is run without secrets: {error.message}")
        secrets = {}
    private = secret_values.of(env, pod.spec.container.private_env)
    hidden = secret_values.maskable([*secrets.values(), *private])

    def tell(line: str) -> None:
        client.notice(str(secret_values.mask(line, hidden)))

    run = partial(shell.run, app.world, where, env={**env, **secrets}, on_line=tell)
    for hook in hooks:
        codes = await asyncio.gather(*(run(argv) for _, argv in hook.steps))
        for (name, _), code in zip(hook.steps, codes, strict=True):
            if code != 0:
                client.warn(f"postAttachCommand {name} exited with {code}".replace("  ", " "))


async def _environment(
    app: App, client: Client, target: Target, pod: Pod, where: shell.Where
) -> dict[str, str | None]:
    env = await shell.environment(
        app.world, where, probe=pod.spec.env_probe, remote_env=pod.spec.remote_env
    )
    return await lent.environment(app, client, pod, target.settings, env)


async def _start(app: App, client: Client, target: Target, pod: Pod, where: shell.Where) -> Session:
    args = client.request.args
    host = await app.host(pod.spec.host)
    env = await _environment(app, client, target, pod, where)
    argv = list(args["argv"])
    if not argv:
        profile = await shell.profile(app.world, where, pod.spec.env_probe)
        argv = [profile.shell, "-l"]
    if client.request.tty:
        env["TERM"] = args["term"] or "xterm-256color"
    token = secrets.token_hex(8)
    env["RUMPEL_EXEC"] = token
    folder = _folder(target, client, where.cwd)
    if folder == where.cwd:
        argv = ["/bin/sh", "-c", HERE, "sh", *argv]
    else:
        argv = ["/bin/sh", "-c", IN_FOLDER, "sh", folder, where.cwd, *argv]
    stream = await host.exec_stream(
        where.container_id, argv, user=where.user, cwd=where.cwd, env=env, tty=client.request.tty
    )
    return await terminal.hand_over(client, host, where, stream, token)


def _folder(target: Target, client: Client, root: str) -> str:
    """The caller's folder, inside the pod's workspace."""
    relative = os.path.relpath(
        os.path.realpath(client.request.args["cwd"] or client.request.cwd),
        os.path.realpath(target.root),
    )
    return root if relative.startswith("..") or relative == "." else posixpath.join(root, relative)


async def exit_code(app: App, client: Client) -> dict[str, object]:
    """`exec-exit`: for a client whose daemon was restarted while its command ran.

    What went to another machine went by that daemon, so it was lost with it.
    """
    hosts = sorted({LOCAL, *(pod.spec.host for pod in app.pods.all())}, key=LOCAL.__ne__)
    missing: RumpelError | None = None
    for name in hosts:  # it does not say on which one it ran
        try:
            host = await app.host(name)
            code = await host.exec_exit_code(client.request.args["exec"])
        except TimedOut:
            if host.is_near:
                raise
            raise HostUnreachable(
                f"the connection to {name} went with the daemon; what ran may go on in the pod",
                hint="rumpel list",
            ) from None
        except RumpelError as error:
            missing = missing or error
        else:
            result = {"exit_code": code, "lost": "" if host.is_near else name}
            return {"result": result, "warnings": [], "exit_code": code}
    raise missing or NotFound("that command is not known any more")
