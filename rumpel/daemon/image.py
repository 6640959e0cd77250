"""`image build` and `image fetch`: what pods will start from, made before there is one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rumpel.daemon import outside, requests
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.requests import Base
from rumpel.engine.events import reason_json
from rumpel.engine.plan import NodePlan, Verdict
from rumpel.errors import RumpelError, UsageError
from rumpel.graphs.create import feature_id, image_id
from rumpel.graphs.image import image

if TYPE_CHECKING:
    from rumpel.cache.records import Record
    from rumpel.devcontainer.config import DevConfig
    from rumpel.engine.execute import RunResult
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
    is_anew = any(args[name] for name in ("no_cache", "pull", "force"))
    graph = image(
        spec,
        bases=await requests.bases_of(spec),
        is_nocache=bool(args["no_cache"]),
        is_pull=bool(args["pull"]) or (bool(args["force"]) and args["action"] == FETCH),
        is_anew=is_anew,
    )
    node = image_id("image", spec)
    planned = app.engine.plan(graph, refresh=(node,) if is_anew else ())[node]
    result = await app.runner.run(graph, client, refresh=(node,) if is_anew else ())
    for error in result.errors.values():
        raise error
    record = app.store.records.get(node)
    if record is None or record.output is None:
        raise RumpelError("the image was not made")
    row = {
        "host": host,
        "action": args["action"],
        **_made(planned, record),
        "features": _features(spec, result),
    }
    return {"result": row, "warnings": client.warnings, "exit_code": 0}


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


def _features(spec: PodSpec, result: RunResult) -> list[dict[str, str]]:
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
