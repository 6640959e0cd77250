"""What takes room on one engine: images by their layers, containers, volumes.

Engine API: `GET /system/df`, `GET /images/json`, `GET /images/{id}/history`. The engine adds up
folders for the first one, so it takes as long as there is much.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from rumpel.adapters import docker_images
from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_errors import ProtocolError
from rumpel.adapters.docker_http import HttpClient, segment
from rumpel.errors import NotFound

USAGE_TIMEOUT_S = 120.0
MAX_STEPS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUse:
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int
    """With the layers it shares with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    images: Mapping[str, ImageUse]
    """By id; none that is only a step on the way to another one."""
    containers: Mapping[str, int]
    """Bytes that each has written itself, by id."""
    made_from: frozenset[str]
    """Ids of the images that any container was made from."""
    volumes: Mapping[str, int]
    """By name; without those whose size the engine does not know."""


async def usage(http: HttpClient) -> Usage:
    """Images as listed: in Podman's answer about room they have no labels and half a name."""
    answer, listed = await asyncio.gather(
        http.request("GET", "/system/df", timeout_s=USAGE_TIMEOUT_S),
        docker_images.listed(http, timeout_s=USAGE_TIMEOUT_S),
    )
    data = types.mapping(answer.json(), "disk usage")
    containers = types.rows(data.get("Containers"), "containers")
    volumes = types.rows(data.get("Volumes"), "volumes")
    sizes = {
        types.text(row, "Name", 512): types.number(types.table(row, "UsageData"), "Size")
        for row in volumes
        if row.get("UsageData")
    }
    return Usage(
        images={
            types.image_id(row.get("Id")): ImageUse(
                tags=types.image_tags(row),
                labels=types.labels(row),
                size_bytes=_bytes(row, "Size"),
            )
            for row in listed
        },
        containers={types.container_id(row.get("Id")): _bytes(row, "SizeRw") for row in containers},
        made_from=frozenset(types.image_id(row.get("ImageID")) for row in containers),
        volumes={name: size for name, size in sizes.items() if size >= 0},
    )


async def layers(http: HttpClient, image_id: str) -> dict[str, int]:
    """Bytes of each step of an image, by a key that images with the same beginning share.

    Two images that stand on one base have its steps in common, time of making and all. Empty when
    there is no such image.
    """
    try:
        answer = await http.request("GET", f"/images/{segment(image_id)}/history")
    except NotFound:
        return {}
    steps = types.rows(answer.json(), "the history of an image")
    if len(steps) > MAX_STEPS:
        raise ProtocolError("Docker sent an endless history of an image")
    found, key = dict[str, int](), hashlib.blake2b(digest_size=16)
    for step in reversed(steps):
        created, size = types.number(step, "Created"), _bytes(step, "Size")
        by = types.text(step, "CreatedBy", 1 << 20)
        key.update(f"{created} {size} {len(by)} {by}\n".encode())
        found[key.hexdigest()] = size
    return found


def _bytes(row: Mapping[str, types.Json], key: str) -> int:
    """Engines say -1 for what they did not measure."""
    return max(types.number(row, key), 0)
