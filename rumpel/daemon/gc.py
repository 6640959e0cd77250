"""`gc`: what nothing needs any more goes, on this machine and on every engine that answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from typing import Any

from rumpel.adapters import docker_images, threads
from rumpel.daemon import garbage, gc_here, ledger, requests, seeds
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.garbage import Engine, Item
from rumpel.daemon.hosts import LOCAL
from rumpel.errors import Partial, RumpelError
from rumpel.tasks import beside

ENGINE_LIMIT_S = 300.0
Remove = Callable[[Item], Awaitable[None]]
Row = dict[str, Any]


async def run(app: App, client: Client) -> dict[str, object]:
    is_dry, every = bool(client.request.args["dry_run"]), bool(client.request.args["all"])
    wanted = client.request.host
    names = hosts(app) if wanted is None else [requests.local_host(wanted)]
    await reach(app, names, is_asked=wanted is not None)
    rows = await asyncio.gather(*(_engine(app, name, is_dry=is_dry, every=every) for name in names))
    if wanted is None:
        rows.append(await _here(app, is_dry=is_dry))
    for row in rows:
        if row["why"]:
            client.warn(f"not looked at: {row['host']} ({row['why']})")
    failed = [item for row in rows for item in row["items"] if item["error"]]
    answer: dict[str, object] = {"warnings": client.warnings}
    if not failed:
        return {**answer, "result": rows, "exit_code": 0}
    first = failed[0]
    error = Partial(f"{first['kind']} {first['name']} is still there: {first['error']}")
    return {**answer, "data": rows, "error": error.to_json()}


def hosts(app: App) -> list[str]:
    """All there are, as far as anybody knows: this one's first."""
    found = {pod.spec.host for pod in app.pods.all()} | set(app.hosts)
    found |= {host_of(record.node_id) for record in app.store.records.values()}
    return [LOCAL, *sorted(found - {LOCAL, ""})]


def host_of(node_id: str) -> str:
    """Inverse of names.host_part for what a node is of; empty when it is of none."""
    part = node_id.split("/", 2)[1] if node_id.count("/") > 1 else ""
    return part if part == LOCAL else part.replace(":", "://", 1) if ":" in part else ""


async def reach(app: App, names: Iterable[str], *, is_asked: bool) -> None:
    """Nobody waits for one that is away, but for the one that was named."""
    if not is_asked:
        await app.engines.glance(names)
        return
    for name in names:
        await app.host(name)


async def _engine(app: App, name: str, *, is_dry: bool, every: bool) -> Row:
    row: Row = {"host": name, "why": app.engines.why(name), "items": [], **ledger.NOTHING}
    if row["why"]:
        return row
    try:
        async with asyncio.timeout(ENGINE_LIMIT_S):
            engine = await garbage.look(app, name)
            found = [*garbage.objects(app, engine)]
            is_busy = garbage.is_busy(app)
            chosen = [] if is_busy else garbage.images(app, engine, every=every)
            kept = set(engine.usage.images) - set(chosen)
            found += await garbage.sized(engine, chosen, kept) if chosen else []
            row |= await ledger.of(app, engine, without={item.id for item in found})
            row["busy"] = is_busy
            row["items"] = await _handled(
                found, lambda item: _remove(app, engine, item, every=every), is_dry=is_dry
            )
            if not is_dry:
                await app.world.saw_image(name)
                await app.snapshots[name].refresh_volumes()
    except RumpelError as error:
        row["why"] = error.message
    except TimeoutError:
        row["why"] = "its engine takes too long"
    return row


async def _remove(app: App, engine: Engine, item: Item, *, every: bool) -> None:
    """Asked again, each one just before it goes: what was made meanwhile may need it."""
    host = engine.host
    if item.kind == garbage.REPOSITORY:
        await seeds.sweep(app, engine.name)
    elif item.id not in {one.id for one in garbage.objects(app, engine)} and item.kind != "image":
        raise RumpelError("it is needed again")
    elif item.kind == "container":
        await host.remove(item.id, force=True, volumes=True)
    elif item.kind == "network":
        await host.remove_network(item.id)
    elif item.kind == "volume":
        for volume in engine.volumes:
            for name in beside.volumes_of(volume) if volume.name == item.name else ():
                await host.remove_volume(name)
    else:
        used = set(garbage.stood_on(app, engine.name, every=every))
        tags = engine.usage.images[item.id].tags
        if garbage.is_busy(app) or not used.isdisjoint((item.id, *tags)):
            raise RumpelError("it is needed again")
        # What is untagged and stood upon by others only is theirs to go with.
        untagged = [name for name in used if name in app.snapshots[engine.name].images]
        is_safe = all(app.snapshots[engine.name].images[name] for name in untagged)
        for ref in tags or (item.id,):
            await docker_images.remove(host.http, ref, force=False, prune=is_safe)


async def remove_objects(app: App, name: str) -> None:
    """Containers, volumes and networks only. Raises RumpelError for the first one that stays."""
    engine = await garbage.look(app, name)
    for item in garbage.objects(app, engine):
        await _remove(app, engine, item, every=False)
    await app.snapshots[name].refresh_volumes()


async def _here(app: App, *, is_dry: bool) -> Row:
    found = await gc_here.items(app)
    state_bytes = await threads.call(gc_here.folder_bytes, app.state_dir)
    items = await _handled(found, lambda item: gc_here.remove(app, item), is_dry=is_dry)
    more = {"host": None, "why": "", "items": items, "total_bytes": state_bytes}
    return {**ledger.NOTHING, **more}


async def _handled(found: list[Item], remove: Remove, *, is_dry: bool) -> list[Row]:
    rows = []
    for item in found:
        error = None
        if not is_dry:
            try:
                await remove(item)
            except RumpelError as problem:
                error = problem.message
        rows.append({**asdict(item), "removed": not is_dry and error is None, "error": error})
    return rows
