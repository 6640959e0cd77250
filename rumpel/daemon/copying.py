"""`cp`: the client at a stream that a tar comes out of, or goes into.

The bytes pass the daemon by: the client gets the stream's descriptor and does the files of this
machine itself, with its user's rights and folder. What runs is never read or written through the
engine's archive call, which a process in the pod could lead astray (notes/reliability.md C2); one
that does not run is read through it.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine

from rumpel import protocol
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_wire import Wire
from rumpel.daemon import requests, terminal, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod, find_container
from rumpel.errors import Conflict, NotFound, RumpelError
from rumpel.resources import resource_text
from rumpel.tasks import shell

log = logging.getLogger(__name__)

OUT, IN = "out", "in"
SCRIPTS = {OUT: "pod_send.sh", IN: "pod_receive.sh"}
CLEAN_UP_S = 60.0
"""What was unpacked so far is removed in the pod when its client went away."""


async def run(app: App, client: Client) -> dict[str, object]:
    args = client.request.args
    target = await requests.lenient(client)
    is_out = args["way"] == OUT
    pod = app.pods.get(target.ref.repo_id, args["name"], prefix=is_out)
    host = await app.host(pod.spec.host)
    state = find_container(app.snapshots[pod.spec.host].containers.values(), pod.pod_id)
    access = app.pods.access(pod.spec)
    if state is None or access is None:
        raise NotFound(f"pod {pod.name} has no container", hint=f"rumpel create {pod.name}")
    workspace = pod.spec.container.workspace_folder
    path = posixpath.join(workspace, args["path"])
    lost = ""
    if state.status != "running":
        if not is_out:
            raise _not_running(app, pod, "nothing can be copied into it")
        if args["follow"]:
            raise _not_running(app, pod, "no link in it is followed")
        if args["archive"] and host.info.kind == "podman":
            raise _not_running(app, pod, "Podman does not tell the owners of its files")
        try:
            code = await _from_archive(client, host, state.id, path)
        except NotFound:
            raise NotFound(f"there is no {args['path']} in pod {pod.name}") from None
    else:
        where = shell.Where(
            host=pod.spec.host,
            container_id=access.container_id,
            user="0" if args["archive"] else access.user,
            cwd="/",
        )
        session = await _start(client, host, where, path, workspace)
        with app.inside(pod.pod_id):
            code = await terminal.follow(client, session, grace_s=0 if is_out else CLEAN_UP_S)
        lost = where.host if session.is_lost else ""
    result = {"exit_code": code, "path": path, "lost": lost}
    return {"result": result, "warnings": client.warnings, "exit_code": code}


def _not_running(app: App, pod: Pod, what: str) -> RumpelError:
    return Conflict(
        f"pod {pod.name} is {view.status(app, pod)[0]}: {what}",
        hint=f"rumpel enter {pod.name} -- true   starts it",
    )


async def _start(
    client: Client, host: DockerHost, where: shell.Where, path: str, workspace: str
) -> terminal.Session:
    args = client.request.args
    is_out = args["way"] == OUT
    own = "1" if args["archive"] else ""
    if is_out:
        words = [path, "1" if args["follow"] else ""]
    else:
        words = [path, args["kind"], args["base"], args["mark"], own, ""]
        words += [posixpath.join(workspace, ".git"), where.container_id]
    token = secrets.token_hex(8)
    stream = await host.exec_stream(
        where.container_id,
        ["/bin/sh", "-c", resource_text(SCRIPTS[args["way"]]), "rumpel-cp", *words],
        user=where.user,
        cwd=where.cwd,
        env={"RUMPEL_EXEC": token, "LC_ALL": "C.UTF-8"},
        stdin=not is_out,
    )
    return await terminal.hand_over(client, host, where, stream, token)


async def _from_archive(client: Client, host: DockerHost, container: str, path: str) -> int:
    """Of a pod that does not run: here the bytes come through the daemon."""
    async with host.get_archive(container, path) as pieces:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        wire = Wire(ours)
        try:
            client.connection.send(protocol.attach("", tty=True), fd=theirs.fileno())
            await client.connection.drain()
        except BaseException:
            wire.close()
            raise
        finally:
            theirs.close()
        try:
            await _until_gone(client, _pass_on(pieces, wire))
        finally:
            wire.close()
    return 0


async def _pass_on(pieces: AsyncIterator[bytes], wire: Wire) -> None:
    try:
        async for piece in pieces:
            await wire.send_all(piece)
    except OSError:
        log.info("nobody takes the copy any more")


async def _until_gone(client: Client, work: Coroutine[None, None, None]) -> None:
    """Also an engine that has fallen silent shall not hold up for ever what nobody waits for."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(client.gone.wait())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.wait({working, gone})
