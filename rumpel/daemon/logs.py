"""`logs`: what the steps of a pod wrote in their last attempts, and write as they run."""

from __future__ import annotations

from collections.abc import Collection

from rumpel import names, protocol
from rumpel.cache import runs
from rumpel.cache.records import Attempt
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.nodes import REPO_CHARS, pick, place_of
from rumpel.daemon.pieces import Piece, Pieces, of_attempt
from rumpel.daemon.pods import Pod
from rumpel.graphs.batch import HOST as BATCH


async def run(app: App, client: Client) -> dict[str, object]:
    args = client.request.args
    pod = app.pods.get(app.target_of(client.request.cwd).repo_id, args["name"], prefix=True)
    wanted = args["node"]
    chosen = (
        None if wanted is None else pick(await _known(app, pod), wanted, f"that ran for {pod.name}")
    )

    def is_wanted(node_id: str) -> bool:
        return node_id == chosen if chosen is not None else is_about(node_id, pod)

    pieces = Pieces(app.engine, is_wanted)
    with app.engine.watch(pieces.hear):
        pieces.begin()
        kept = await _kept(app, pod)
        shown = [one for one in kept if is_wanted(one.node_id) and one.node_id not in pieces.heard]
        client.connection.is_patient = True
        await _tell(client, [of_attempt(one) for one in shown])
        await _tell(client, pieces.take())
        while args["follow"] and _goes_on(app, pod) and not client.gone.is_set():
            await client.while_there(pieces.changed.wait())
            await _tell(client, pieces.take())
        await _tell(client, pieces.take())
    return {"result": None, "warnings": client.warnings, "exit_code": 0}


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
