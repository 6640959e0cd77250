"""`batch` on a full disk, the engine's or the daemon's: told, and gone on with after."""

from __future__ import annotations

import functools
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_batch import COMMIT, at_work, made, states, task
from tests.support.engine import MINI_IMAGE, Engine
from tests.support.far_engine import Dockerd
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.here("it fills a disk of this machine")]
HOST = "ssh://plain"
SECONDS = 120.0
TOLD = "echo x >>/tmp/tries; "


def fill(folder: Path) -> Path:
    """To the last byte. Answers what to remove."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as out:
        for size in (1 << 20, 4 << 10, 1):
            try:
                while out.write(bytes(size)):
                    pass
            except OSError:
                continue
    return filler


def row_of(project: Project, name: str) -> dict[str, Any]:
    said = json.loads(project.run("batch", "status", "--json").assert_ok().stdout)
    found: dict[str, Any] = next(row for row in said["data"]["tasks"] if row["name"] == name)
    return found


@pytest.fixture
def small_state(home: Home) -> Iterator[Path]:
    """The daemon's state is on a disk of 24 MB."""
    folder = Path(home.env["XDG_STATE_HOME"])
    folder.mkdir(parents=True, exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        home.stop_daemon()
        mark = home.state / "home-id"
        known = mark.read_text() if mark.exists() else None
        subprocess.run(["umount", "-l", folder], check=True)
        if known is not None:  # by it, all that was made is found and removed
            home.state.mkdir(mode=0o700, exist_ok=True)
            mark.write_text(known)


@pytest.mark.timeout(300)
def test_the_daemons_disk_is_full(rumpel_project: ProjectFactory, small_state: Path) -> None:
    """While a task is at work: it goes on, and nobody is told twice."""
    project = rumpel_project()
    wait = f"{TOLD}touch /tmp/at-work; while [ ! -e /tmp/go ]; do sleep 0.1; done; "
    tasks = [
        task("a", f"{wait} echo a >a && {COMMIT.format('a')}", verify="test -f a", keep=True),
        task("b", f"{TOLD} echo b >b && {COMMIT.format('b')}", needs=["a"], keep=True),
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    project.run("batch", "run", "--trust", "--no-wait", "batch.json").assert_ok()
    project.wait_until(functools.partial(at_work, project, "a"), "a is at work")
    running = project.start("batch", "wait")
    filler = fill(small_state)
    project.exec("a", "touch", "/tmp/go")
    code = running.wait(timeout=SECONDS)
    assert code != 0, "what cannot be written down is not done"
    project.home.kill_daemon()
    filler.unlink()
    project.run("batch", "run", "batch.json", timeout=120).assert_ok()
    assert {row_of(project, name)["state"] for name in ("a", "b")} == {"done"}
    assert [project.inside(name, "cat /tmp/tries") for name in ("a", "b")] == ["x", "x"]


@pytest.mark.timeout(300)
def test_the_engines_disk_is_full(
    rumpel_project: ProjectFactory, home: Home, near_engine: Engine, sshd_image: str
) -> None:
    """While tasks are at work and others are to come: nobody is told twice."""
    project = rumpel_project()
    wait = f"{TOLD}touch /tmp/at-work; while [ ! -e /tmp/go ]; do sleep 0.1; done; "
    tasks = [
        task("a", f"{wait} echo a >a && {COMMIT.format('a')}", keep=True),
        made("b", needs=["a"]),
    ]
    hosts = [{"host": HOST, "min_disk": "8m"}]
    project.write({"batch.json": json.dumps({"tasks": tasks, "hosts": hosts})})
    with Dockerd(disk_mb=300) as engine, Sshd(home, near_engine, sshd_image, far=engine):
        engine.load(near_engine, MINI_IMAGE)
        project.run("batch", "run", "--trust", "--no-wait", "batch.json").assert_ok()
        begun = functools.partial(_has_begun, engine.engine)
        project.wait_until(begun, "a has begun", timeout_s=SECONDS)
        filler = fill(engine.disk)
        _exec(engine.engine, "touch", "/tmp/go")
        running = project.start("batch", "wait")
        code = running.wait(timeout=SECONDS)
        assert code == 7
        assert row_of(project, "a")["state"] == "failed", "it is not begun again"
        told = project.run("batch", "status").assert_ok().stderr
        assert f"{HOST} gets no tasks: {HOST} has 0 B of disk free" in told
        assert "rumpel gc" in told
        filler.unlink()
        project.run("batch", "retry", "--trust", "batch.json", timeout=120).assert_ok()
        assert states_of(project) == {"a": "done", "b": "done"}
        for name in ("a", "b"):
            project.run("delete", name, "--force").assert_ok()


def states_of(project: Project) -> dict[str, str]:
    return states(json.loads(project.run("batch", "status", "--json").assert_ok().stdout))


def _exec(engine: Engine, *argv: str) -> int:
    """In the only pod there is."""
    pods = [row["Id"] for row in engine.containers("rumpel.kind=pod") if row["State"] == "running"]
    return engine.exec(pods[0], *argv, check=False).code if pods else 1


def _has_begun(engine: Engine) -> bool:
    return _exec(engine, "test", "-e", "/tmp/at-work") == 0
