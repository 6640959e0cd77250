"""`logs`: what the steps of a pod wrote in their last attempts, and write as they run. And what a
service beside it prints.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection

from rumpel import names, protocol
from rumpel.cache import runs
from rumpel.cache.records import Attempt
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.nodes import REPO_CHARS, pick, place_of
from rumpel.daemon.pieces import Piece, Pieces, of_attempt, piece
from rumpel.daemon.pods import Pod
from rumpel.errors import NotFound
from rumpel.graphs.batch import HOST as BATCH
from rumpel.graphs.ids import address
from rumpel.tasks import beside

MAX_LINE_BYTES = 1 << 16


async def run(app: App, client: Client) -> dict[str, object]:
    args = client.request.args
    pod = app.pods.get(app.target_of(client.request.cwd).repo_id, args["name"], prefix=True)
    wanted, chosen = args["node"], None
    if wanted is not None:
        steps, project = await _known(app, pod), pod.spec.project
        is_step = wanted in {place_of(node_id).name for node_id in steps}
        services = {one.name for one in project.services} if project else set()
        if not is_step and wanted in services:
            return await _of_service(app, client, pod, wanted)
        chosen = pick(steps, wanted, f"that ran for {pod.name}", services)

    def is_wanted(node_id: str) -> bool:
        return node_id == chosen if chosen is not None else is_about(node_id, pod)

    pieces = Pieces(app.engine, is_wanted)
    with app.engine.watch(pieces.hear):
        pieces.begin()
        kept = await _kept(app, pod)
        shown = [one for one in kept if is_wanted(one.node_id) and one.node_id not in pieces.heard]
        client.connection.is_patient = True
        here = [*map(of_attempt, shown), *pieces.take()]
        await _tell(client, [one | {"text": _last(one["text"], args["lines"])} for one in here])
        while args["follow"] and _goes_on(app, pod) and not client.gone.is_set():
            await client.while_there(pieces.changed.wait())
            await _tell(client, pieces.take())
        await _tell(client, pieces.take())
    return {"result": None, "warnings": client.warnings, "exit_code": 0}


async def _of_service(app: App, client: Client, pod: Pod, service: str) -> dict[str, object]:
    """What it prints itself, in the containers that it has now; followed until they end."""
    host = await app.host(pod.spec.host)
    client.connection.is_patient = True
    found = await beside.containers(app.world, address(pod.spec), service)
    if not found:
        raise NotFound(
            f"service {service} of pod {pod.name} has no container",
            hint=f"rumpel create {pod.name}   makes it",
        )
    for state in found:
        detail = await host.inspect(state.id)
        pieces = host.read_log(
            state.id,
            client.request.args["lines"],
            follows=bool(client.request.args["follow"]),
            is_tty=bool(detail.config.get("Tty")),
        )
        async with contextlib.aclosing(_lines(pieces)) as lines:
            while not client.gone.is_set():
                text = await client.while_there(anext(lines, None))
                if text is None:
                    break
                await _tell(client, [{**piece(service, "running", text=text), "pod": pod.name}])
    return {"result": None, "warnings": client.warnings, "exit_code": 0}


def _last(text: str, count: int | None) -> str:
    lines = text.splitlines(keepends=True)
    return text if count is None else "".join(lines[max(len(lines) - count, 0) :])


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncGenerator[str]:
    """Whole ones, several at once; a very long one in parts."""
    rest = b""
    async for data in pieces:
        whole, end, rest = (rest + data).rpartition(b"\n")
        if len(rest) > MAX_LINE_BYTES:
            end, rest = end + rest, b""
        if whole or end:  # an empty line is one, too
            yield (whole + end).decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def is_about(node_id: str, pod: Pod) -> bool:
    """A pod's own, also as a task of a batch, or shared by those of its repository and host."""
    place, spec = place_of(node_id), pod.spec
    hosts, repo = (names.host_part(spec.host), BATCH), spec.repo.repo_id[:REPO_CHARS]
    return place.host in hosts and place.repo == repo and place.pod in (None, pod.name)


async def _known(app: App, pod: Pod) -> set[str]:
    """What ran for the pod, and what is to run for it now."""
    found = {one.node_id for one in await _kept(app, pod)}
    for active in app.engine.runs.values():
        if _is_about(active.graph.nodes, pod):
            found.update(node_id for node_id in active.graph.nodes if is_about(node_id, pod))
    return found


async def _kept(app: App, pod: Pod) -> list[Attempt]:
    """Not of an earlier pod by this name."""
    found = await app.store.query(runs.last_attempts, lambda node_id: is_about(node_id, pod))
    return [
        one
        for one in found
        if one.ended_at is not None
        and (place_of(one.node_id).pod is None or one.started_at >= pod.created_at)
    ]


def _goes_on(app: App, pod: Pod) -> bool:
    return any(_is_about(active.graph.nodes, pod) for active in app.engine.runs.values())


def _is_about(node_ids: Collection[str], pod: Pod) -> bool:
    return any(place_of(node_id).pod is not None and is_about(node_id, pod) for node_id in node_ids)


async def _tell(client: Client, found: list[Piece]) -> None:
    for one in found:
        client.send(protocol.output(one))
    await client.connection.drain()
