"""Containers and volumes against the real engine: lifecycle, idempotence, archives."""

from __future__ import annotations

import asyncio
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from rumpel.adapters.docker_api import DockerHost
from rumpel.errors import Conflict, NameTaken, NotFound, RumpelError, TimedOut
from tests.adapters.docker.conftest import IMAGE, MakeContainer, body, labels_of

pytestmark = pytest.mark.docker


async def test_a_container_lives_and_dies(host: DockerHost, create: MakeContainer) -> None:
    container = await create()
    assert (await host.inspect(container)).state.status == "created"
    assert (await host.inspect(container)).state.started_at == ""
    await host.start(container)
    first = (await host.inspect(container)).state
    assert first.status == "running"
    assert first.started_at
    await host.stop(container, 5)
    assert (await host.inspect(container)).state.status == "exited"
    await host.start(container)
    assert (await host.inspect(container)).state.started_at != first.started_at
    await host.kill(container)
    assert await host.wait(container, 10) == 137
    assert await host.remove(container) is True
    assert await host.find(container) is None


async def test_what_ends_a_container_can_be_asked_again(
    host: DockerHost, create: MakeContainer
) -> None:
    container = await create()
    await host.start(container)
    await host.start(container)
    await host.stop(container, 1)
    await host.stop(container, 1)
    await host.kill(container)
    assert await host.remove(container) is True
    assert await host.remove(container) is False
    with pytest.raises(NotFound):
        await host.stop(container, 1)
    with pytest.raises(NotFound):
        await host.kill(container)


async def test_a_stop_waits_as_long_as_the_container_says(
    host: DockerHost, create: MakeContainer
) -> None:
    slow = "trap 'sleep 8; exit 7' TERM; >/ready; while :; do sleep 0.1; done"
    container = await create(Cmd=["sh", "-c", slow], StopTimeout=1)
    await host.start(container)
    until = "until test -e /ready; do sleep 0.02; done"
    assert (await host.exec_run(container, ["sh", "-c", until])).code == 0
    await host.stop(container)
    assert (await host.inspect(container)).state.exit_code == 137, "not the ten seconds of others"


async def test_removing_at_the_same_time_is_no_error(host: DockerHost, running: str) -> None:
    found = await asyncio.gather(*(host.remove(running, force=True) for _ in range(4)))
    assert True in found
    assert await host.find(running) is None


async def test_a_running_container_is_removed_only_by_force(host: DockerHost, running: str) -> None:
    with pytest.raises(Conflict):
        await host.remove(running)
    assert await host.remove(running, force=True)


async def test_a_taken_name_and_a_missing_image_are_told_apart(
    host: DockerHost, label: str
) -> None:
    name = f"rumpel-test-{label[-12:]}"
    await host.create_container(name, body(label))
    with pytest.raises(NameTaken, match=name):
        await host.create_container(name, body(label))
    with pytest.raises(NotFound, match="rumpel-no-such-image"):
        await host.create_container(None, body(label, Image="rumpel-no-such-image:1"))


async def test_a_runtime_that_refuses_says_why(host: DockerHost, create: MakeContainer) -> None:
    container = await create(Cmd=["/no/such/program"])
    with pytest.raises(RumpelError, match="/no/such/program"):
        await host.start(container)


async def test_containers_are_found_by_label(
    host: DockerHost, create: MakeContainer, label: str
) -> None:
    made = {await create(), await create()}
    found = await host.containers([label, label.partition("=")[0]])
    assert {one.id for one in found} == made
    assert all(labels_of(label).items() <= one.labels.items() for one in found)


async def test_rename_pause_and_logs(host: DockerHost, create: MakeContainer, label: str) -> None:
    container = await create(Cmd=["sh", "-c", "echo out; echo err >&2; exec sleep 60"])
    await host.start(container)
    name = f"rumpel-test-{label[-12:]}"
    await host.rename(container, name)
    assert (await host.inspect(name)).state.name == name
    await host.pause(container)
    assert (await host.inspect(container)).state.status == "paused"
    await host.unpause(container)
    assert sorted((await host.logs(container)).split()) == [b"err", b"out"]


async def test_waiting_has_an_end(host: DockerHost, running: str) -> None:
    with pytest.raises(TimedOut):
        await host.wait(running, 0.1)


async def test_networks_have_addresses(host: DockerHost, create: MakeContainer) -> None:
    container = await create(HostConfig={"NetworkMode": "none"})
    await host.start(container)
    assert (await host.inspect(container)).state.networks == {"none": ""}


def bare_repository(folder: Path) -> bytes:
    """A tar of a bare repository with one commit, owned by uid 1000.

    Its own folder is an entry: engines skip the entry `.`, and the volume would stay root's.
    """
    work, bare = folder / "work", folder / "host.git"
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "-q", "-b", "main", work], check=True)
    subprocess.run(
        ["git", "-C", work, *identity, "commit", "-q", "--allow-empty", "-m", "first"], check=True
    )
    subprocess.run(["git", "clone", "-q", "--bare", work, bare], check=True)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:

        def owned(entry: tarfile.TarInfo) -> tarfile.TarInfo:
            entry.uid = entry.gid = 1000
            return entry

        tar.add(bare, arcname="host.git", filter=owned)
    return out.getvalue()


@pytest.mark.parametrize("as_file", [False, True])
async def test_an_archive_lands_in_the_volume_of_a_container_that_never_ran(
    host: DockerHost, create: MakeContainer, label: str, tmp_path: Path, as_file: bool
) -> None:
    name = f"rumpel-test-{label[-12:]}"
    await host.create_volume(name, labels_of(label))
    mount = {"Type": "volume", "Source": name, "Target": "/rumpel/host.git"}
    host_config = {"NetworkMode": "none", "Mounts": [mount]}
    writer = await create(HostConfig=host_config)
    data = bare_repository(tmp_path)
    if as_file:
        (tmp_path / "seed.tar").write_bytes(data)
    await host.put_archive(writer, "/rumpel", tmp_path / "seed.tar" if as_file else data)
    await host.remove(writer)

    read_only = {"NetworkMode": "none", "Mounts": [{**mount, "ReadOnly": True}]}
    reader = await create(HostConfig=read_only)
    await host.start(reader)
    argv = ["git", "-C", "/rumpel/host.git", "log", "--format=%s", "main"]
    done = await host.exec_run(reader, argv, user="1000")
    assert (done.code, done.stdout) == (0, b"first\n"), done.stderr


async def test_volumes_are_made_found_and_removed(host: DockerHost, label: str) -> None:
    name = f"rumpel-test-{label[-12:]}"
    made = await host.create_volume(name, labels_of(label))
    again = await host.create_volume(name, {})
    assert made.name == again.name == name
    assert again.labels == labels_of(label)
    assert [one.name for one in await host.volumes(label)] == [name]
    assert await host.remove_volume(name) is True
    assert await host.remove_volume(name) is False
    assert await host.volume(name) is None


async def test_a_volume_in_use_stays(host: DockerHost, create: MakeContainer, label: str) -> None:
    name = f"rumpel-test-{label[-12:]}"
    await host.create_volume(name, labels_of(label))
    mount = {"Type": "volume", "Source": name, "Target": "/data"}
    await create(HostConfig={"NetworkMode": "none", "Mounts": [mount]})
    with pytest.raises(Conflict):
        await host.remove_volume(name)


async def test_the_image_is_described(host: DockerHost) -> None:
    found = await host.image(IMAGE)
    assert found is not None
    assert found.id.startswith("sha256:")
    assert IMAGE in found.tags
    assert found.os == "linux"
    assert await host.image("rumpel-no-such-image:1") is None
    assert IMAGE in (await host.images())[found.id]
