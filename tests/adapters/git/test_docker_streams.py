"""The same, with a git server in a container at the other end of an exec stream."""

from __future__ import annotations

import asyncio
import os
import tarfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rumpel.adapters import git_door, git_push
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_stream import DockerStream
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import Pair, seed_tar

pytestmark = pytest.mark.docker

IMAGE = "rumpel-mini:1"
IDLE = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"]


@pytest.fixture
async def host() -> AsyncIterator[DockerHost]:
    async with await DockerHost.open() as found:
        if await found.image(IMAGE) is None:
            pytest.skip(f"no image {IMAGE}: run scripts/images mini")
        yield found


@pytest.fixture
async def container(host: DockerHost) -> AsyncIterator[str]:
    name = f"rumpel-git-test-{uuid.uuid4().hex[:12]}"
    body = {
        "Image": IMAGE,
        "Cmd": IDLE,
        "Labels": {"rumpel.adapter-test": name},
        "HostConfig": {"NetworkMode": "none"},
    }
    found = await host.create_container(name, body)
    await host.start(found)
    yield found
    await host.remove(found, force=True, volumes=True)


async def put(host: DockerHost, container: str, pair: Pair, tmp_path: Path) -> None:
    """The pod's workspace, at /ws in the container."""
    with tarfile.open(tmp_path / "work.tar", "w") as tar:
        tar.add(pair.pod.root, "ws")
    await host.put_archive(container, "/", tmp_path / "work.tar")


async def upload_pack(host: DockerHost, container: str) -> DockerStream:
    return await host.exec_stream(
        container,
        ["git", "-c", "safe.directory=*", "upload-pack", "--strict", "/ws/.git"],
        user="0",
        env={"GIT_PROTOCOL": "version=2"},
    )


async def test_import_over_a_parked_exec(
    host: DockerHost, container: str, pair: Pair, tmp_path: Path
) -> None:
    oid = pair.pod.commit("work", {f"{number}": f"{number}" for number in range(150)})
    await put(host, container, pair, tmp_path)
    stream = await upload_pack(host, container)
    await asyncio.sleep(0.2)
    found = await git_door.import_pod(pair.repo, pair.door, stream)
    await stream.close()
    assert found == git_door.Imported({"alice": oid}, ())
    assert pair.host.git("cat-file", "-t", oid) == "commit"


async def test_container_killed_while_it_sends(
    host: DockerHost, container: str, pair: Pair, tmp_path: Path
) -> None:
    pair.pod.commit("big", {"random": os.urandom(24 << 20)})
    await put(host, container, pair, tmp_path)
    stream = await upload_pack(host, container)
    task = asyncio.ensure_future(git_door.import_pod(pair.repo, pair.door, stream))
    while stream.bytes_read < 1 << 16 and not task.done():  # noqa: ASYNC110 - a count tells nobody
        await asyncio.sleep(0.001)
    await host.kill(container)
    async with asyncio.timeout(5):
        with pytest.raises(RumpelError):
            await task
    await stream.close()


async def test_seed_and_push(host: DockerHost, container: str, pair: Pair, tmp_path: Path) -> None:
    await host.exec_run(container, ["mkdir", "-p", "/rumpel/host.git"], user="0", timeout_s=20)
    await seed_tar(pair.repo, tmp_path / "seed.tar")
    await host.put_archive(container, "/rumpel/host.git", tmp_path / "seed.tar")
    oid = pair.host.commit("later")
    stream = await host.exec_stream(
        container,
        ["sh", "-c", "git receive-pack /rumpel/host.git && echo done > /pushed"],
        user="0",
    )
    await git_push.push_from(
        pair.repo, stream, ["+refs/heads/*:refs/heads/*"], prune=True, timeout_s=30
    )
    show = ["sh", "-c", "cat /pushed; git -C /rumpel/host.git rev-parse main"]
    done = await host.exec_run(container, show, user="0", timeout_s=20)
    assert done.stdout.decode().split() == ["done", oid]
