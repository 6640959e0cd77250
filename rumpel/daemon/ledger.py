"""Where the room on an engine went: by pod, and once for all what pods share."""

from __future__ import annotations

from collections.abc import Collection
from types import MappingProxyType
from typing import Any

from rumpel import names
from rumpel.adapters import docker_usage
from rumpel.daemon.app import App
from rumpel.daemon.garbage import POD, Engine, is_own, stood_on
from rumpel.tasks import mountpoint, seed

NOTHING = MappingProxyType(
    {
        "pods": [],
        "images": 0,
        "image_bytes": 0,
        "repository_bytes": 0,
        "agent_bytes": 0,
        "other_bytes": 0,
        "total_bytes": 0,
        "busy": False,
    }
)


def ours(app: App, engine: Engine) -> set[str]:
    """Images that were made by us, or that pods were made from."""
    used = {state.image_id for state in engine.containers}
    used.update(stood_on(app, engine.name, every=False))
    return {
        image_id
        for image_id, image in engine.usage.images.items()
        if is_own(app, image) or not used.isdisjoint((image_id, *image.tags))
    }


async def of(app: App, engine: Engine, *, without: Collection[str]) -> dict[str, Any]:
    """`without`: ids of what is told as garbage."""
    usage, image_ids = engine.usage, ours(app, engine) - set(without)
    layers = dict[str, int]()
    for image_id in image_ids:
        layers.update(await docker_usage.layers(engine.host.http, image_id))
    pods = [_pod(app, engine, pod_id) for pod_id in sorted(_pod_ids(engine))]
    told = {seed.KIND: 0, mountpoint.AGENTS: 0, "": 0}
    for volume in engine.volumes:
        kind = volume.labels.get(names.LABEL_KIND, "")
        if not volume.labels.get(names.LABEL_POD_ID) and volume.name not in without:
            told[kind if kind in told else ""] += usage.volumes.get(volume.name, 0)
    for state in engine.containers:
        if state.labels.get(names.LABEL_KIND) != POD and state.id not in without:
            told[""] += usage.containers.get(state.id, 0)
    shared = {
        "image_bytes": sum(layers.values()),
        "repository_bytes": told[seed.KIND],
        "agent_bytes": told[mountpoint.AGENTS],
        "other_bytes": told[""],
    }
    own = sum(pod["container_bytes"] + pod["volume_bytes"] for pod in pods)
    total = sum(shared.values()) + own
    return {"pods": pods, "images": len(image_ids), **shared, "total_bytes": total}


def _pod_ids(engine: Engine) -> set[str]:
    return {
        state.labels.get(names.LABEL_POD_ID, "")
        for state in engine.containers
        if state.labels.get(names.LABEL_KIND) == POD
    } - {""}


def _pod(app: App, engine: Engine, pod_id: str) -> dict[str, Any]:
    """Its own bytes; those of its image are told with all images."""
    pod, usage = app.pods.by_id(pod_id), engine.usage
    states = [one for one in engine.containers if one.labels.get(names.LABEL_POD_ID) == pod_id]
    volumes = [one for one in engine.volumes if one.labels.get(names.LABEL_POD_ID) == pod_id]
    labels = states[0].labels
    image = max(
        (usage.images[one.image_id].size_bytes for one in states if one.image_id in usage.images),
        default=0,
    )
    return {
        "name": labels.get(names.LABEL_POD, "") if pod is None else pod.name,
        "repo": labels.get(names.LABEL_REPO_PATH, "") if pod is None else pod.spec.repo.work_tree,
        "pod_id": pod_id,
        "container_bytes": sum(usage.containers.get(one.id, 0) for one in states),
        "volume_bytes": sum(usage.volumes.get(one.name, 0) for one in volumes),
        "image_bytes": image,
    }
