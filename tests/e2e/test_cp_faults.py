"""`rumpel cp` that is interrupted, killed, or runs out of room leaves nothing half-written."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import DEV_IMAGE, MINI_IMAGE
from tests.support.flaky_engine import flaky_engine
from tests.support.project import Project, ProjectFactory

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dev_image")]
SMALL = {
    "image": MINI_IMAGE,
    "runArgs": ["--network=none", "--tmpfs", "/small:size=1m,mode=1777"],
    "remoteUser": "dev",
}
ENDLESS = 1 << 38
"""Bytes of a file without any: nobody waits for the end of that."""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    with (folder / "endless").open("wb") as file:
        file.truncate(ENDLESS)
    return folder


@pytest.fixture
def project(rumpel_project: ProjectFactory) -> Project:
    made = rumpel_project(config=SMALL)
    made.run("create", "a").assert_ok()
    made.inside("a", f"truncate -s {ENDLESS} endless; mkdir to")
    return made


WAYS = ["out", "in"]


def begun(project: Project, here: Path, way: str) -> subprocess.Popen[bytes]:
    """A copy in its middle."""
    (here / "to").mkdir(exist_ok=True)
    words = ["a:endless", str(here / "to")] if way == "out" else [str(here / "endless"), "a:to"]
    process = project.start("cp", *words)
    project.wait_until(lambda: _has_begun(project, here, way), "bytes beside the destination")
    return process


def _has_begun(project: Project, here: Path, way: str) -> bool:
    if way == "out":
        return any(p.stat().st_size for p in (here / "to").glob(".rumpel-cp-*/0"))
    find = "find to -path '*/.rumpel-cp-*/0' -size +1k 2>/dev/null"
    return bool(in_pod(project, find))


def in_pod(project: Project, script: str) -> str:
    container = project.container_id("a")
    folder = str(project.docker.inspect(container)["Config"]["WorkingDir"])
    return project.exec("a", "sh", "-c", script, cwd=folder).stdout.strip()


def nothing_is_left(project: Project, here: Path, *, of_host: bool = True) -> None:
    """Nor any process of it in the pod."""
    if of_host:
        assert list((here / "to").iterdir()) == []
    project.wait_until(
        lambda: in_pod(project, "find to ! -path to; ps -o args | grep '[t]ar -' || true") == "",
        "an empty folder and no tar in the pod",
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(project: Project, here: Path, way: str, number: signal.Signals) -> None:
    process = begun(project, here, way)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    # After a hang-up there is nobody who would read it.
    assert err == b"" if number == signal.SIGHUP else b"interrupted: nothing was copied" in err
    nothing_is_left(project, here)


@pytest.mark.parametrize("way", WAYS)
def test_killed(project: Project, here: Path, way: str) -> None:
    process = begun(project, here, way)
    process.kill()
    process.communicate(timeout=30)
    nothing_is_left(project, here, of_host=way == "in")
    (here / "f").write_text("f")
    project.run("cp", str(here / "f"), "a:to").assert_ok()
    project.run("cp", "a:to/f", str(here / "to")).assert_ok()
    assert [path.name for path in (here / "to").iterdir()] == ["f"]
    assert in_pod(project, "find to -type f") == "to/f"


@pytest.mark.parametrize("way", WAYS)
def test_the_pod_is_killed(project: Project, here: Path, way: str) -> None:
    process = begun(project, here, way)
    project.docker.api.kill(project.container_id("a"))
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1, err
    assert b"was stopped" in err
    assert list((here / "to").iterdir()) == []
    project.run("create", "a").assert_ok()
    (here / "f").write_text("f")
    project.run("cp", str(here / "f"), "a:to").assert_ok()  # and what was left there is gone
    assert in_pod(project, "find to -type f") == "to/f"


@pytest.mark.near("a copy to another machine goes by the daemon (test_ssh_faults)")
@pytest.mark.parametrize("way", WAYS)
def test_the_daemon_is_killed(project: Project, here: Path, way: str) -> None:
    """The copy does not need it: its end is asked of the next one."""
    size = 1 << 30
    (here / "long").write_bytes(b"")
    os.truncate(here / "long", size)
    in_pod(project, f"truncate -s {size} long")
    words = ["a:long", str(here / "to")] if way == "out" else [str(here / "long"), "a:to/f"]
    process = project.start("cp", *words)
    if way == "out":
        project.wait_until(lambda: any(here.glob(".rumpel-cp-*/0")), "a copy that has begun")
    else:
        project.wait_until(lambda: _has_begun(project, here, way), "a copy that has begun")
    project.home.kill_daemon()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    if way == "out":
        assert (here / "to").stat().st_size == size
    else:
        assert in_pod(project, "stat -c %s to/f") == str(size)


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "full"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "rumpel-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_no_room_here(project: Project, full: Path) -> None:
    done = project.run("cp", "a:endless", str(full))
    assert done.code == 1
    assert "No space left on device" in done.stderr
    assert list(full.iterdir()) == []


def test_no_room_in_the_pod(project: Project, here: Path) -> None:
    done = project.run("cp", str(here / "endless"), "a:/small")
    assert done.code == 1
    assert "o space left" in done.stderr
    assert in_pod(project, "ls -A /small") == ""


def test_a_file_that_changes_or_cannot_be_read(
    rumpel_project: ProjectFactory, dev_image: str, here: Path
) -> None:
    project = rumpel_project(config={**SMALL, "image": DEV_IMAGE})
    project.run("create", "a").assert_ok()
    grow = (
        "mkdir log; (while :; do echo line >> log/log; done) >/dev/null 2>&1 & echo $! >/tmp/grows;"
    )
    in_pod(project, f"{grow} head -c 30000000 /dev/zero >log/other")
    project.run("cp", "a:log", str(here / "back")).assert_ok()
    assert (here / "back/other").stat().st_size == 30_000_000
    in_pod(project, "kill $(cat /tmp/grows); echo no >log/closed; chmod 0 log/closed")
    done = project.run("cp", "a:log", str(here / "again"))
    assert done.code == 1
    assert "permission denied" in done.stderr
    assert "log/closed" in done.stderr
    assert not (here / "again").exists()
    project.run("cp", "-a", "a:log", str(here / "again")).assert_ok()


async def test_the_engine_is_lost_while_a_stopped_pod_is_read(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """Gone it is told; silent, and nobody waits any more, it holds up nothing."""
    project = await asyncio.to_thread(rumpel_project)
    async with flaky_engine(tmp_path) as engine:
        env = {"DOCKER_HOST": engine.url}
        made = await asyncio.to_thread(project.run, "create", "a", env=env)
        made.assert_ok()
        fill = f"truncate -s {ENDLESS} big"
        await asyncio.to_thread(project.inside, "a", fill)
        (await asyncio.to_thread(project.run, "stop", "a")).assert_ok()
        for is_silent in (True, False):
            copying = project.start("cp", "a:big", str(tmp_path / "to"), env=env)
            has_begun = functools.partial(_is_staged, tmp_path)
            await asyncio.to_thread(project.wait_until, has_begun, "bytes beside the destination")
            if is_silent:
                engine.silence()
                copying.send_signal(signal.SIGINT)
                assert await asyncio.to_thread(copying.wait, 60) == 130
                status = await asyncio.to_thread(project.run, "daemon", "stop", env=env)
                status.assert_ok()
                engine.speak()
            else:
                await engine.down()
                assert await asyncio.to_thread(copying.wait, 60) == 5
                await engine.up()
        assert not (tmp_path / "to").exists()
        assert list((project.home.state / "crash").glob("*")) == []


def _is_staged(folder: Path) -> bool:
    return any(path.stat().st_size for path in folder.glob(".rumpel-cp-*/0"))
