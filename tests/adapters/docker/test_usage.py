"""What takes room, asked of the real engine."""

from __future__ import annotations

import pytest

from rumpel.adapters import docker_usage
from rumpel.adapters.docker_api import DockerHost
from tests.adapters.docker.conftest import IMAGE, MakeContainer, labels_of

pytestmark = pytest.mark.docker


async def test_layers_have_the_keys_of_the_image_they_stand_on(
    host: DockerHost, label: str, create: MakeContainer
) -> None:
    container = await create()
    await host.start(container)
    await host.exec_run(container, ["sh", "-c", "dd if=/dev/zero of=/x bs=1000 count=1000"])
    image_id = await host.commit(container, "", {"Labels": labels_of(label)})
    base = await docker_usage.layers(host.http, IMAGE)
    made = await docker_usage.layers(host.http, image_id)
    assert base.items() < made.items()
    assert 1_000_000 <= sum(made.values()) - sum(base.values()) < 1_200_000
    assert await docker_usage.layers(host.http, "rumpel-none-such:1") == {}

    used = await docker_usage.usage(host.http)
    assert used.images[image_id].tags == ()
    assert used.images[image_id].size_bytes == sum(made.values())
    assert labels_of(label).items() <= used.images[image_id].labels.items()
    assert 1_000_000 <= used.containers[container] < 1_200_000
    found = await host.image(IMAGE)
    assert found is not None
    assert found.id in used.made_from
    assert image_id not in used.made_from


async def test_volumes_have_a_size(host: DockerHost, label: str, create: MakeContainer) -> None:
    name = f"rumpel-usage-{label[-12:]}"
    await host.create_volume(name, labels_of(label))
    mount = {"Type": "volume", "Source": name, "Target": "/data"}
    container = await create(HostConfig={"NetworkMode": "none", "Mounts": [mount]})
    await host.start(container)
    await host.exec_run(container, ["sh", "-c", "dd if=/dev/zero of=/data/x bs=1000 count=500"])
    assert 500_000 <= (await docker_usage.usage(host.http)).volumes[name] < 600_000
