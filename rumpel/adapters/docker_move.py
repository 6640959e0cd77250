"""An image goes from one engine to another as a stream, with no copy on this machine.

Engine API: `GET /images/{id}/get`, `POST /images/load`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from rumpel.adapters import docker_images
from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_errors import MAX_MESSAGE, ProtocolError
from rumpel.adapters.docker_http import HttpClient
from rumpel.errors import NotFound, RumpelError, TimedOut

MOVE_TIMEOUT_S = 900.0
"""After that it may as well be built anew."""
SLACK_BYTES = 256 << 20


async def move(source: HttpClient, target: HttpClient, image_id: str) -> types.ImageInfo:
    """Under its id alone; what arrived has that id, or it is an error.

    An id is the digest of the image's configuration, which names the digest of each layer, and
    the engine that loads checks these: so what has the id is the image. It does not say that the
    image is a good one: for that the source has to be trusted.
    """
    found = await docker_images.image(source, image_id)
    if found is None or found.id != image_id:
        raise NotFound(f"image {image_id} is not there")
    try:
        async with (
            asyncio.timeout(MOVE_TIMEOUT_S),
            source.stream(
                "GET",
                f"/images/{image_id}/get",
                head_timeout_s=MOVE_TIMEOUT_S,
                what=f"image {image_id}",
            ) as pieces,
        ):
            await _load(target, _bounded(pieces, 2 * found.size_bytes + SLACK_BYTES))
    except TimeoutError as err:
        raise TimedOut(f"the image did not arrive within {MOVE_TIMEOUT_S:g} s") from err
    arrived = await docker_images.image(target, image_id)
    if arrived is None or arrived.id != image_id:
        raise RumpelError("the engine took the image and knows it by another id")
    return arrived


async def _load(target: HttpClient, tar: AsyncIterator[bytes]) -> None:
    async with target.stream(
        "POST",
        "/images/load",
        query={"quiet": True},
        source=tar,
        headers={"Content-Type": "application/x-tar"},
        head_timeout_s=MOVE_TIMEOUT_S,
        what="loading an image",
    ) as answer:
        async for message in docker_images.messages(answer):
            if error := types.text(message, "error", 1 << 20):
                raise RumpelError(f"the image was not taken: {error[:MAX_MESSAGE]}")


async def _bounded(pieces: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    sent = 0
    async for piece in pieces:
        sent += len(piece)
        if sent > most:
            raise ProtocolError("the engine sends more than the image is large")
        yield piece
