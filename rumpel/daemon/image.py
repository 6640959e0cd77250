"""`image build` and `image fetch`: what pods will start from, made before there is one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rumpel.daemon import image_label, image_specs, outside, requests
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.requests import Base
from rumpel.engine.events import reason_json
from rumpel.engine.graph import Graph
from rumpel.engine.plan import NodePlan, Verdict
from rumpel.errors import RumpelError, UsageError
from rumpel.graphs.create import add_image, add_service_image
from rumpel.graphs.ids import feature_id, image_id, service_id
from rumpel.graphs.image import image

if TYPE_CHECKING:
    from rumpel.cache.records import Record
    from rumpel.devcontainer.config import DevConfig
    from rumpel.model import PodSpec

BUILD, FETCH = "build", "fetch"


async def run(app: App, client: Client) -> dict[str, object]:
    where, args = await requests.target(client), client.request.args
    dev = await requests.dev_config(where, client, pod="", pod_id="")
    for warning in (*where.settings.warnings, *dev.warnings):
        client.warn(warning)
    check_action(dev, where.root, str(args["action"]))
    host = await requests.consented_host(app.store, where, client, may_ask=True)
    await requests.consented(app.store, where, client, dev)
    await app.host(host)
    await outside.note(app, client, where.settings, host)
    spec = await requests.pod_spec(where, dev, pod="", pod_id="", start=Base(branch=None, oid=None))
    planned, record = await _base(app, client, spec)
    spec = await image_label.whole(app, client, where, spec, dev)
    row = {
        "host": host,
        "action": args["action"],
        **_made(planned, record),
        "features": await _features(app, client, spec),
        "services": await _services(app, client, spec),
    }
    return {"result": row, "warnings": client.warnings, "exit_code": 0}


async def _base(app: App, client: Client, spec: PodSpec) -> tuple[NodePlan, Record]:
    """What it has to say of features and users is known only when it is there."""
    graph, node, how = Graph("image"), image_id("image", spec), _how(client)
    add_image(graph, spec, await image_specs.bases_of(spec), **how)
    refresh = (node,) if how["is_anew"] else ()
    planned = app.engine.plan(graph, refresh=refresh)[node]
    result = await app.runner.run(graph, client, refresh=refresh)
    for error in result.errors.values():
        raise error
    record = app.store.records.get(node)
    if record is None or record.output is None:
        raise RumpelError("the image was not made")
    return planned, record


def _how(client: Client) -> dict[str, bool]:
    args = client.request.args
    return {
        "is_nocache": bool(args["no_cache"]),
        "is_pull": bool(args["pull"]) or (bool(args["force"]) and args["action"] == FETCH),
        "is_anew": any(args[name] for name in ("no_cache", "pull", "force")),
    }


async def _services(app: App, client: Client, spec: PodSpec) -> list[dict[str, object]]:
    """Images of what a compose project has beside the pod."""
    services = () if spec.project is None else spec.project.services
    if not services:
        return []
    graph, how, bases = Graph("image"), _how(client), await image_specs.bases_of(spec)
    for one in services:
        add_service_image(graph, spec, one, bases, **how)
    nodes = {one.name: service_id(spec, one) for one in services}
    refresh = tuple(nodes.values()) if how["is_anew"] else ()
    planned = app.engine.plan(graph, refresh=refresh)
    result = await app.runner.run(graph, client, refresh=refresh)
    for error in result.errors.values():
        raise error
    records = {name: app.store.records[node] for name, node in nodes.items()}
    return [
        {"service": name, **_made(planned[nodes[name]], record)} for name, record in records.items()
    ]


def _made(planned: NodePlan, record: Record) -> dict[str, object]:
    is_hit, output = planned.verdict is Verdict.FRESH, record.output or {}
    return {
        "image_id": output["image_id"],
        "tag": output["tag"],
        "hit": is_hit,
        "how": "cached" if is_hit else output.get("how") or "found",
        "reasons": [reason_json(reason) for reason in planned.reasons],
        "duration_s": 0.0 if is_hit else round(record.elapsed_s, 3),
        "bases": output["bases"],
    }


async def _features(app: App, client: Client, spec: PodSpec) -> list[dict[str, str]]:
    if not spec.image.features:
        return []
    result = await app.runner.run(image(spec, bases=await image_specs.bases_of(spec)), client)
    for error in result.errors.values():
        raise error
    return [
        {
            "feature": one.written,
            "version": one.version,
            "image_id": result.outputs[feature_id(spec, one)].image_id,
        }
        for one in spec.image.features
    ]


def check_action(dev: DevConfig, root: str, action: str) -> None:
    """Raises UsageError with the other one."""
    beside = () if dev.project is None else dev.project.beside
    if any((one.build is not None) == (action == BUILD) for one in beside):
        return
    if action == FETCH and dev.build is not None:
        file = os.path.relpath(dev.build.dockerfile, root)
        raise UsageError(
            f"this configuration builds its image, from {file}: there is nothing to fetch",
            hint="rumpel image build",
        )
    if action == BUILD and dev.build is None:
        raise UsageError(
            f"this configuration names an image, {dev.image}: there is nothing to build",
            hint="rumpel image fetch",
        )
