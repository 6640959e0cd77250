"""Builds of a folder: BuildKit through a docker client, and the classic builder without one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rumpel.adapters import docker_buildkit, task_group
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_buildkit import Builder, flags
from rumpel.adapters.docker_images import BuildOptions
from rumpel.errors import CommandFailed
from tests.adapters.docker.conftest import IMAGE, labels_of

pytestmark = pytest.mark.docker


@pytest.fixture
async def builder() -> Builder:
    found = await docker_buildkit.find()
    if found is None:
        pytest.skip("no docker client that speaks BuildKit")
    return found


@pytest.fixture
def no_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


@pytest.fixture(params=["buildkit", "classic"])
async def how(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """The test runs once with each builder."""
    if request.param == "classic":
        monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    elif await docker_buildkit.find() is None:
        pytest.skip("no docker client that speaks BuildKit")
    return str(request.param)


@contextlib.asynccontextmanager
async def kept(host: DockerHost, image_id: str) -> AsyncIterator[str]:
    try:
        yield image_id
    finally:
        await host.remove_image(image_id, force=True)


def write(root: Path, dockerfile: str, **files: str) -> Path:
    root.mkdir(exist_ok=True)
    (root / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (root / name).write_text(text)
    return root


CACHE_MOUNT = f"FROM {IMAGE}\nRUN --mount=type=cache,target=/c echo hi > /made\n"


async def test_a_buildkit_dockerfile_is_built(
    host: DockerHost, builder: Builder, label: str, tmp_path: Path
) -> None:
    root = await asyncio.to_thread(write, tmp_path / "c", CACHE_MOUNT + "ARG WHO\nENV W=$WHO\n")
    lines: list[str] = []
    tag = f"rumpel-test-{label[-12:]}:1"
    options = BuildOptions(args={"WHO": "you"}, labels=labels_of(label), tag=tag)
    image_id = await host.build_tree(root, root / "Dockerfile", options, lines.append)
    async with kept(host, image_id):
        found = await host.image(tag)
        assert found is not None
        assert found.id == image_id
        assert "W=you" in found.env
        assert labels_of(label).items() <= found.labels.items()
        assert any("RUN --mount" in line for line in lines)


async def test_both_builders_see_the_same_files(
    host: DockerHost, label: str, tmp_path: Path, how: str
) -> None:
    text = f"FROM {IMAGE}\nCOPY . /all\nRUN cd /all && find . | sort | tr '\\n' ' ' > /names\n"
    files = {"a": "1", "secret": "2", ".dockerignore": "secret\n.dockerignore\nDockerfile\n"}
    root = await asyncio.to_thread(write, tmp_path / "c", text, **files)
    options = BuildOptions(labels=labels_of(label))
    image_id = await host.build_tree(root, root / "Dockerfile", options)
    async with kept(host, image_id):
        body = {"Image": image_id, "Cmd": ["cat", "/names"], "Labels": labels_of(label)}
        container = await host.create_container(None, body)
        await host.start(container)
        assert await host.wait(container, 20) == 0
        assert await host.logs(container) == b". ./a "
        await host.remove(container)


async def test_a_dockerfile_outside_its_context(
    host: DockerHost, label: str, tmp_path: Path, how: str
) -> None:
    await asyncio.to_thread(write, tmp_path / "app", "FROM nonsense\n", a="1")
    await asyncio.to_thread(write, tmp_path / "dev", f"FROM {IMAGE}\nCOPY a /a\n")
    options = BuildOptions(labels=labels_of(label))
    image_id = await host.build_tree(tmp_path / "app", tmp_path / "dev/Dockerfile", options)
    async with kept(host, image_id):
        assert await host.image(image_id) is not None


@pytest.mark.parametrize(
    ("step", "says", "code"),
    [("RUN echo before; exit 3", "before", 3), ("COPY none /", "none", 1), ("NONSENSE x", "", 1)],
)
async def test_a_failing_build_says_why(
    host: DockerHost,
    tmp_path: Path,
    how: str,
    step: str,
    says: str,
    code: int,
) -> None:
    root = await asyncio.to_thread(write, tmp_path / "c", f"FROM {IMAGE}\n{step}\n")
    with pytest.raises(CommandFailed, match="building Dockerfile failed: ") as raised:
        await host.build_tree(root, root / "Dockerfile", BuildOptions(is_nocache=True))
    assert raised.value.details["exit_code"] == code
    assert says in f"{raised.value.message} {raised.value.details['tail']}"


async def test_a_cancelled_buildkit_build_ends_at_once(
    host: DockerHost, builder: Builder, tmp_path: Path
) -> None:
    text = f"FROM {IMAGE}\nRUN echo started-{time.time_ns()}; sleep 100\n"
    root = await asyncio.to_thread(write, tmp_path / "c", text)
    started = asyncio.Event()

    def saw(line: str) -> None:
        if "started-" in line and "RUN" not in line:
            started.set()

    async with task_group.opened() as group:
        task = group.create_task(host.build_tree(root, root / "Dockerfile", BuildOptions(), saw))
        async with asyncio.timeout(30):
            await started.wait()
        before = time.monotonic()
        task.cancel()
    assert time.monotonic() - before < 4


def test_the_options_of_the_api_become_those_of_the_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAKEN", "x")
    options = BuildOptions(
        args={"A": "secret", "TAKEN": "y"},
        target="t",
        cache_from=("a", "b"),
        labels={"k": "v"},
        tag="n:1",
        network="none",
        extra_hosts=("h:1.2.3.4",),
        is_nocache=True,
        extra={"shmsize": 5, "pull": True, "rm": False, "cachefrom": ["c"]},
    )
    made = flags(options)
    assert made is not None
    argv, env = made
    assert env == {"A": "secret"}
    assert "secret" not in " ".join(argv)
    for expected in [
        "--build-arg A", "--build-arg TAKEN=y", "--target t", "--label k=v", "--tag n:1",
        "--cache-from a --cache-from b --cache-from c", "--network none", "--add-host h:1.2.3.4",
        "--shm-size 5", "--no-cache", "--pull",
    ]:  # fmt: skip
        assert expected in " ".join(argv)
    assert flags(BuildOptions(extra={"memory": 1 << 30})) is None
    assert flags(BuildOptions(extra={"squash": True})) is None


FAKES = {
    "old": ("echo Docker version 20.10.24+dfsg1, build 1", ("build",)),
    "new": (
        '[ "$1" = --version ] && echo Docker version 28.2.2, build 1',
        ("buildx", "build", "--builder", "default", "--load"),
    ),
    "bare": ('[ "$1" = --version ] && echo Docker version 28.2.2 || exit 1', None),
    "podman": ("echo podman version 4.3.1", None),
    "broken": ("exit 3", None),
}


@pytest.mark.parametrize("name", FAKES)
async def test_clients_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    script, expected = FAKES[name]
    if name == "new":
        script = f'{script} || [ "$1 $2" = "buildx version" ]'

    def prepare() -> None:
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    await asyncio.to_thread(prepare)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/nowhere")
    found = await docker_buildkit.find()
    assert (found and found.argv[1:]) == expected


async def test_a_classic_build_takes_extra_hosts(
    host: DockerHost, label: str, tmp_path: Path, no_client: None
) -> None:
    text = f"FROM {IMAGE}\nRUN cat /etc/hosts > /hosts && grep -q 10.9.8.7 /hosts\n"
    root = await asyncio.to_thread(write, tmp_path / "c", text)
    options = BuildOptions(labels=labels_of(label), extra_hosts=("one:10.9.8.7", "two:10.9.8.6"))
    image_id = await host.build_tree(root, root / "Dockerfile", options)
    async with kept(host, image_id):
        pass
