"""The engine is killed, stopped, restarted or replaced under a snapshot and its streams."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rumpel.adapters import docker_snapshot, task_group
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_snapshot import HostSnapshot
from rumpel.errors import HostUnreachable
from tests.adapters.docker.conftest import IMAGE, MakeContainer
from tests.adapters.docker.test_snapshot import following, until
from tests.support.flaky_engine import FlakyEngine, flaky_engine

pytestmark = pytest.mark.docker


@pytest.fixture
async def flaky(tmp_path: Path) -> AsyncIterator[FlakyEngine]:
    async with flaky_engine(tmp_path) as engine:
        yield engine


@contextlib.asynccontextmanager
async def seen_through(flaky: FlakyEngine, label: str) -> AsyncIterator[HostSnapshot]:
    async with await DockerHost.open(flaky.url) as host, following(host, label) as snapshot:
        yield snapshot


async def test_a_killed_engine_leaves_the_last_view_and_comes_back(
    host: DockerHost, running: str, create: MakeContainer, label: str, flaky: FlakyEngine
) -> None:
    doomed = await create()
    seen: list[tuple[str, str]] = []
    async with seen_through(flaky, label) as snapshot:
        snapshot.on_change(lambda container, action: seen.append((container, action)))
        await flaky.down()
        await until(lambda: snapshot.state == "down")
        assert snapshot.error is not None
        assert snapshot.error.exit_code == 5
        assert snapshot.containers[running].status == "running"
        with pytest.raises(HostUnreachable):
            await snapshot.wait_live(0.05)

        await host.kill(running)
        await host.remove(doomed)
        born = await create()
        await flaky.up()
        await snapshot.wait_live(10)
        assert snapshot.epoch == 2
        assert snapshot.containers[running].status == "exited"
        assert set(snapshot.containers) == {running, born}
        await host.start(running)
        await until(lambda: snapshot.containers[running].status == "running")
    assert [one for one in seen if not one[0]] == [("", "down"), ("", "live")]
    assert {(doomed, "destroy"), (born, "sync"), (running, "sync")} <= set(seen)


async def test_an_event_stream_that_ends_is_no_loss(
    host: DockerHost,
    running: str,
    label: str,
    flaky: FlakyEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Podman ends it now and then; what happens meanwhile is seen all the same."""
    monkeypatch.setattr(docker_snapshot, "SHORT_STREAM_S", 0.0)
    seen: list[str] = []
    async with seen_through(flaky, label) as snapshot:
        snapshot.ends_events = True
        snapshot.on_change(lambda container, action: seen.append(container))
        for _ in range(3):
            flaky.end_events()
            await host.kill(running)
            await until(lambda: snapshot.containers[running].status == "exited")
            await host.start(running)
            await until(lambda: snapshot.containers[running].status == "running")
        assert (snapshot.state, snapshot.epoch) == ("live", 1)
    assert "" not in seen, "it was never down"


async def test_of_docker_it_is_a_loss(
    label: str, flaky: FlakyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with its connection: who asks now has to wait until there is another one."""
    monkeypatch.setattr(docker_snapshot, "SHORT_STREAM_S", 0.0)
    async with seen_through(flaky, label) as snapshot:
        flaky.end_events()
        await until(lambda: snapshot.epoch == 2)


async def test_ten_cuts_in_a_row_are_survived(
    host: DockerHost, running: str, label: str, flaky: FlakyEngine
) -> None:
    async with seen_through(flaky, label) as snapshot:
        for turn in range(10):
            await flaky.down()
            await until(lambda: snapshot.state == "down")
            await flaky.up()
            await snapshot.wait_live(10)
            assert snapshot.epoch == turn + 2
            assert running in snapshot.containers


async def test_who_asks_does_not_wait_for_the_next_attempt(
    host: DockerHost, label: str, flaky: FlakyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_snapshot, "BACKOFF_S", (30.0, 30.0))
    async with seen_through(flaky, label) as snapshot:
        await flaky.down()
        await until(lambda: snapshot.state == "down")
        started = time.monotonic()
        for _ in range(3):
            with pytest.raises(HostUnreachable, match="not running"):
                await snapshot.wait_live(10)
        await flaky.up()
        await snapshot.wait_live(10)
        assert snapshot.state == "live"
        assert time.monotonic() - started < 2


async def test_a_stopped_engine_is_noticed_by_its_silence(
    host: DockerHost, running: str, label: str, flaky: FlakyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_snapshot, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(docker_snapshot, "HEARTBEAT_TIMEOUT_S", 0.2)
    async with seen_through(flaky, label) as snapshot:
        await asyncio.sleep(0.3)
        assert snapshot.state == "live"
        flaky.silence()
        await until(lambda: snapshot.state == "down")
        flaky.speak()
        await snapshot.wait_live(10)
        assert snapshot.containers[running].status == "running"


async def test_one_that_is_only_slow_is_waited_for(
    host: DockerHost, running: str, label: str, flaky: FlakyEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has a hundred containers to start; one that is stopped answers no ping."""
    monkeypatch.setattr(docker_snapshot, "PING_S", 5.0)
    async with await DockerHost.open(flaky.url) as slow, task_group.opened() as group:
        snapshot = HostSnapshot(slow, label)
        flaky.silence()
        task = group.create_task(snapshot.run())
        with pytest.raises(HostUnreachable, match=r"within 0\.05 s"):
            await snapshot.wait_live(0.05)
        asyncio.get_running_loop().call_later(0.2, flaky.speak)
        await snapshot.wait_live(0.05, busy_s=10)
        assert running in snapshot.containers
        task.cancel()


async def test_another_engine_at_the_address_is_not_ours(host: DockerHost, label: str) -> None:
    stranger = DockerHost(host.http, dataclasses.replace(host.info, engine_id="another"))
    snapshot = HostSnapshot(stranger, label)
    async with task_group.opened() as group:
        task = group.create_task(snapshot.run())
        await until(lambda: snapshot.state == "down")
        task.cancel()
    assert snapshot.error is not None
    assert "another Docker engine" in snapshot.error.message
    assert snapshot.epoch == 0


async def test_streams_and_calls_end_with_the_engine(
    host: DockerHost, running: str, flaky: FlakyEngine
) -> None:
    async with await DockerHost.open(flaky.url) as other:
        stream = await other.exec_stream(running, ["cat"])
        async with asyncio.timeout(5), task_group.opened() as group:
            reader = group.create_task(stream.read())
            waiter = group.create_task(ends_unreachable(other, running))
            await asyncio.sleep(0.1)
            await flaky.down()
            assert await reader is None
            await waiter
        await stream.close()
        with pytest.raises(HostUnreachable, match="not running"):
            await other.inspect(running)
        await flaky.up()
        assert (await other.inspect(running)).state.status == "running"
        assert (await other.exec_run(running, ["true"])).code == 0


async def ends_unreachable(host: DockerHost, container: str) -> None:
    with pytest.raises(HostUnreachable):
        await host.wait(container, 60)


async def test_64_at_once_share_one_host(host: DockerHost, running: str) -> None:
    """Trap 4: docker-py's pool breaks under 64 threads; here 64 tasks mix every kind of call."""

    async def mixed(turn: int) -> int:
        for _ in range(10):
            assert (await host.inspect(running)).id == running
            assert await host.image(IMAGE) is not None
            assert await host.ping()
        if turn % 4:
            return 0
        done = await host.exec_run(running, ["cat"], input=b"%d" % turn)
        assert done.stdout == b"%d" % turn
        return done.code

    found = await asyncio.gather(*(mixed(turn) for turn in range(64)))
    assert set(found) == {0}
