"""The warm view against the real engine: fresh, free to read, honest when the engine is gone."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import pytest

from rumpel.adapters import task_group
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_snapshot import HostSnapshot
from tests.adapters.docker.conftest import IMAGE, MakeContainer, body, labels_of

pytestmark = pytest.mark.docker


@contextlib.asynccontextmanager
async def following(host: DockerHost, label: str) -> AsyncIterator[HostSnapshot]:
    snapshot = HostSnapshot(host, label)
    async with task_group.opened() as group:
        task = group.create_task(snapshot.run())
        await snapshot.wait_live(10)
        yield snapshot
        task.cancel()


async def until(is_so: Callable[[], bool], timeout_s: float = 5.0) -> float:
    """Seconds it took."""
    started = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)
    return time.monotonic() - started


async def test_it_starts_with_what_is_there(
    host: DockerHost, create: MakeContainer, running: str, label: str
) -> None:
    idle = await create()
    async with following(host, label) as snapshot:
        assert {key: one.status for key, one in snapshot.containers.items()} == {
            running: "running",
            idle: "created",
        }
        assert snapshot.containers[running].started_at
        image = snapshot.image_id(IMAGE)
        assert image is not None
        assert snapshot.image_id(image) == image
        assert snapshot.containers[running].image_id == image
        assert snapshot.image_id("rumpel-no-such-image") is None


async def test_it_follows_every_change_without_being_asked(
    host: DockerHost, create: MakeContainer, label: str
) -> None:
    seen: list[tuple[str, str]] = []
    async with following(host, label) as snapshot:
        snapshot.on_change(lambda container, action: seen.append((container, action)))
        container = await create()
        await until(lambda: container in snapshot.containers)
        await host.start(container)
        await until(lambda: snapshot.containers[container].status == "running")
        first = snapshot.containers[container].started_at
        await host.pause(container)
        await until(lambda: snapshot.containers[container].status == "paused")
        await host.unpause(container)
        await until(lambda: snapshot.containers[container].status == "running")
        ended = asyncio.create_task(
            snapshot.until(lambda: snapshot.containers[container].status == "exited")
        )
        await host.kill(container)
        async with asyncio.timeout(20):
            await ended
        assert snapshot.containers[container].exit_code == 137
        await host.start(container)
        await until(lambda: snapshot.containers[container].started_at != first)
        await host.remove(container, force=True)
        await until(lambda: container not in snapshot.containers)
        await until(lambda: seen[-1] == (container, "destroy"))
    assert {action for _, action in seen} >= {"create", "start", "die", "destroy"}


async def test_others_containers_are_not_in_it(host: DockerHost, label: str) -> None:
    async with following(host, f"{label}-other") as snapshot:
        container = await host.create_container(None, body(label))
        await asyncio.sleep(0.1)
        assert container not in snapshot.containers


async def test_reading_it_costs_no_call(host: DockerHost, running: str, label: str) -> None:
    async with following(host, label) as snapshot:
        before = host.http.requests
        for _ in range(1000):
            assert snapshot.containers[running].status == "running"
            assert snapshot.image_id(IMAGE)
        assert host.http.requests == before


async def test_an_effect_can_be_noted_at_once(
    host: DockerHost, create: MakeContainer, label: str
) -> None:
    async with following(host, label) as snapshot:
        container = await create()
        await host.start(container)
        snapshot.note(await host.inspect(container))
        assert snapshot.containers[container].status == "running"
        await host.remove(container, force=True)
        assert await snapshot.refresh(container) is None


async def test_volumes_and_images_are_followed(host: DockerHost, label: str) -> None:
    name = f"rumpel-test-{label[-12:]}"
    async with following(host, label) as snapshot:
        await host.create_volume(name, labels_of(label))
        await until(lambda: name in snapshot.volumes)
        await host.remove_volume(name)
        await until(lambda: name not in snapshot.volumes)
        image = snapshot.image_id(IMAGE)
        assert image is not None
        await host.tag(image, f"{name}:2")
        await until(lambda: snapshot.image_id(f"{name}:2") == image)
        await host.remove_image(f"{name}:2")
        await until(lambda: snapshot.image_id(f"{name}:2") is None)
        assert snapshot.image_id(IMAGE) == image


async def test_fifty_changes_at_once_settle(host: DockerHost, label: str) -> None:
    async with following(host, label) as snapshot:
        made = await asyncio.gather(*(host.create_container(None, body(label)) for _ in range(20)))
        await until(lambda: set(snapshot.containers) == set(made))
        await asyncio.gather(*(host.remove(one) for one in made))
        await until(lambda: not snapshot.containers)
