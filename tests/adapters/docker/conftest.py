"""A real engine, a label per test, and nothing left behind."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import pytest

from rumpel.adapters.docker_api import DockerHost
from rumpel.errors import HostUnreachable

IMAGE = "rumpel-mini:1"
TEST_LABEL = "rumpel.adapter-test"

# As PID 1 `sleep` ignores TERM, which would cost ten seconds a stop: the trap ends it at once.
IDLE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]

Body = dict[str, Any]
MakeContainer = Callable[..., Awaitable[str]]


@pytest.fixture
async def host() -> AsyncIterator[DockerHost]:
    try:
        found = await DockerHost.open()
    except HostUnreachable as err:
        pytest.skip(err.message)
    async with found:
        if await found.image(IMAGE) is None:
            pytest.skip(f"no image {IMAGE}: run scripts/images mini")
        yield found


@pytest.fixture
async def label(host: DockerHost) -> AsyncIterator[str]:
    """`key=value` for everything a test creates; removed afterwards by it."""
    found = f"{TEST_LABEL}={uuid.uuid4().hex}"
    yield found
    left = await host.containers(found)
    await asyncio.gather(
        *(host.remove(one.id, force=True, volumes=True) for one in left), return_exceptions=True
    )
    for volume in await host.volumes(found):
        await host.remove_volume(volume.name, force=True)
    for image_id in await host.images(found):
        await host.remove_image(image_id, force=True)
    assert await host.containers(found) == []
    assert await host.volumes(found) == []


def body(label: str, **changes: object) -> Body:
    key, _, value = label.partition("=")
    made: Body = {
        "Image": IMAGE,
        "Cmd": IDLE,
        "Labels": {key: value},
        "HostConfig": {"NetworkMode": "none"},
    }
    return {**made, **changes}


def labels_of(label: str) -> Mapping[str, str]:
    key, _, value = label.partition("=")
    return {key: value}


@pytest.fixture
def create(host: DockerHost, label: str) -> MakeContainer:
    """Create a container of the test image; any member of the API's body can be replaced."""

    async def make(**changes: object) -> str:
        return await host.create_container(None, body(label, **changes))

    return make


@pytest.fixture
async def running(host: DockerHost, create: MakeContainer) -> str:
    container = await create()
    await host.start(container)
    return container
