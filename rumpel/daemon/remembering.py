"""After pods were made: what is kept of them, and what is told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rumpel.engine import faults
from rumpel.engine.events import DONE
from rumpel.errors import RumpelError
from rumpel.graphs.ids import address, image_id, node_id, service_id

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.engine.execute import RunResult
    from rumpel.model import PodSpec


async def remember(app: App, specs: list[PodSpec], result: RunResult) -> None:
    """What each container was made of, so that entering needs no configuration.

    All at once: the writes then share their syncs.
    """
    made = [spec for spec in specs if result.states.get(node_id("container", spec)) in DONE]
    await asyncio.gather(*(_remember_one(app, spec, result) for spec in made))


async def _remember_one(app: App, spec: PodSpec, result: RunResult) -> None:
    image = result.outputs[image_id("image", spec)]
    tools = result.outputs[image_id("tools", spec)]
    seed = result.outputs[node_id("seed", spec, shared=True)]
    made = {
        "image_id": tools.image_id,
        "image_key": tools.tag,
        "image_user": image.user,
        "user": tools.user,
        "seed_volume": seed.volume,
        **_service_images(spec, result),
    }
    pod = app.pods.by_id(spec.pod_id)
    if pod is not None and pod.spec != spec:
        await app.pods.put(spec, created_at=pod.created_at, made=made)
    else:
        await app.pods.remember_made_of(spec, made)
    await faults.reach("pods.remembered")


def _service_images(spec: PodSpec, result: RunResult) -> dict[str, str]:
    if spec.project is None:
        return {}
    found = [result.outputs[service_id(spec, one)].image_id for one in spec.project.services]
    return {"service_images": " ".join(found)}


async def fill(app: App, specs: list[PodSpec]) -> None:
    """Work that could not be had must not leave a pod without files."""
    for spec in specs:
        if app.links.lacks_files(spec.pod_id):
            with contextlib.suppress(RumpelError):  # the next clone brings them
                await app.links.bring_files(address(spec))


def warn_of_lfs(client: Client, specs: list[PodSpec], result: RunResult) -> None:
    for spec in specs:
        cloned = result.outputs.get(node_id("clone", spec))
        if cloned is not None and cloned.lacks_lfs:
            client.warn(
                "large files (Git LFS) are pointers in the pod: the image has no git-lfs "
                "(e.g. RUN apt-get update && apt-get install -y git-lfs)"
            )
