"""Builds, tags and pulls against the real engine."""

from __future__ import annotations

import asyncio
import functools
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rumpel.adapters import build_context, task_group, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_images import BuildOptions
from rumpel.errors import CommandFailed, Conflict, RumpelError
from tests.adapters.docker.conftest import IMAGE, MakeContainer, labels_of

pytestmark = pytest.mark.docker

MakeContext = Callable[..., Awaitable[Path]]


@pytest.fixture
def context(tmp_path: Path) -> MakeContext:
    """The tar of a context with this Dockerfile and these files."""

    def make(dockerfile: str, **files: str) -> Path:
        root = tmp_path / "context"
        root.mkdir()
        (root / "Dockerfile").write_text(dockerfile)
        for name, text in files.items():
            (root / name).write_text(text)
        build_context.write_tar(root, root / "Dockerfile", tmp_path / "context.tar")
        return tmp_path / "context.tar"

    return functools.partial(threads.call, make)


async def test_a_build_makes_a_labelled_tagged_image(
    host: DockerHost, label: str, create: MakeContainer, context: MakeContext
) -> None:
    text = f"FROM {IMAGE} AS one\nARG WHO\nCOPY data /data\nRUN echo hello $WHO > /who\n"
    tar = await context(text + "USER 1000\nENV A=b\nFROM one AS two\nRUN exit 9\n", data="42")
    lines: list[str] = []
    tag = f"rumpel-test-{label[-12:]}:1"
    options = BuildOptions(args={"WHO": "you"}, target="one", labels=labels_of(label), tag=tag)
    image_id = await host.build(tar, options, lines.append)
    found = await host.image(tag)
    assert found is not None
    assert found.id == image_id
    assert found.user == "1000"
    assert "A=b" in found.env
    assert labels_of(label).items() <= found.labels.items()
    assert any("RUN echo hello" in line for line in lines)
    assert all("\n" not in line for line in lines)
    assert await host.build(tar, options) == image_id

    container = await create(Image=image_id)
    await host.start(container)
    done = await host.exec_run(container, ["cat", "/data", "/who"])
    assert done.stdout == b"42hello you\n"
    with pytest.raises(Conflict):
        await host.remove_image(image_id)
    await host.remove(container, force=True)
    assert await host.remove_image(tag) is True
    assert await host.remove_image(tag) is False


async def test_a_failing_step_shows_its_last_lines(host: DockerHost, context: MakeContext) -> None:
    tar = await context(f"FROM {IMAGE}\nRUN echo before; echo why >&2; exit 3\n")
    with pytest.raises(CommandFailed) as raised:
        await host.build(tar, BuildOptions())
    assert raised.value.details["exit_code"] == 3
    tail = raised.value.details["tail"]
    assert isinstance(tail, list)
    assert {"before", "why"} <= set(tail)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("FROM rumpel-no-such-base:1\n", "rumpel-no-such-base"),
        ("NONSENSE\n", "unknown instruction: NONSENSE"),
        (f"FROM {IMAGE}\nCOPY nothing /\n", "nothing"),
        ("", "cannot be empty"),
    ],
)
async def test_a_bad_dockerfile_is_the_users_error(
    host: DockerHost, context: MakeContext, text: str, says: str
) -> None:
    with pytest.raises(CommandFailed) as raised:
        await host.build(await context(text), BuildOptions())
    assert says in f"{raised.value.message} {raised.value.details['tail']}"
    assert raised.value.details["exit_code"] == 1


async def is_there(host: DockerHost, command: str) -> bool:
    """Whether any container of the engine runs something like `command`."""
    answer = await host.http.request("GET", "/containers/json", query={"all": True})
    return any(command in row["Command"] for row in answer.json())


async def test_a_cancelled_build_stops(host: DockerHost, context: MakeContext) -> None:
    nonce = uuid.uuid4().hex
    tar = await context(f"FROM {IMAGE}\nRUN : {nonce}; echo started; sleep 100\n")
    started = asyncio.Event()
    async with task_group.opened() as group:

        def saw(line: str) -> None:
            if line == "started":
                started.set()

        task = group.create_task(host.build(tar, BuildOptions(), saw))
        async with asyncio.timeout(20):
            await started.wait()
        assert await is_there(host, nonce[:6])
        before = time.monotonic()
        task.cancel()
    assert time.monotonic() - before < 1
    async with asyncio.timeout(15):
        while await is_there(host, nonce[:6]):  # noqa: ASYNC110 - the engine has no event for it
            await asyncio.sleep(0.1)


async def test_a_pull_that_fails_says_why(host: DockerHost) -> None:
    with pytest.raises(RumpelError, match=r"127\.0\.0\.1:9"):
        await host.pull("127.0.0.1:9/none/such:1")
