"""`batch` over several hosts: this engine, and one of its own behind OpenSSH's server."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.test_batch import COMMIT, batch, made, states, task
from tests.support.engine import MINI_IMAGE, Engine
from tests.support.far_engine import Dockerd, FarEngine
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow]
HOST = "ssh://plain"
SECONDS = 120.0


@pytest.fixture
def far(
    home: Home, docker_engine: Engine, sshd_image: str, dockerd: FarEngine
) -> Iterator[FarEngine]:
    """`ssh://plain` leads there."""
    with Sshd(home, docker_engine, sshd_image, far=dockerd):
        yield dockerd


def rows(envelope: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = envelope["data"]["tasks"]
    return found


def status(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("batch", "status", "--json").assert_ok().stdout)
    return found


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("far")
def test_tasks_are_spread_and_need_each_other(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [
        *(made(f"t{n}") for n in range(6)),
        made("here", needs=["t0", "t1"], host="local", verify="test -f t0 && test -f t1"),
        made("there", needs=["here"], host=HOST, verify="test -f here && test -f t0"),
    ]
    done = batch(project, "run", "--trust", tasks=tasks, hosts=["local", HOST], concurrency=4)
    assert set(states(done).values()) == {"done"}, done
    spread = Counter(row["host"] for row in rows(done) if row["name"].startswith("t"))
    hosts = {row["name"]: row["host"] for row in rows(done)}
    assert (hosts["here"], hosts["there"]) == ("local", HOST)
    assert abs(spread["local"] - spread[HOST]) <= 2, spread


@pytest.mark.timeout(300)
def test_a_lost_host_is_waited_for(
    rumpel_project: ProjectFactory, home: Home, near_engine: Engine, sshd_image: str
) -> None:
    """Its container ends with its engine, and the command is begun again: nobody knows how far it
    came. A task elsewhere goes on meanwhile.
    """
    project = rumpel_project()
    slow = "touch at-work; sleep 3; rm at-work; "
    tasks = [
        task("a", f"{slow} echo a >a && {COMMIT.format('a')}", host=HOST),
        made("b", host="local"),
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks, "hosts": ["local", HOST]})})
    with Dockerd() as engine, Sshd(home, near_engine, sshd_image, far=engine):
        engine.load(near_engine, MINI_IMAGE)
        running = project.start("batch", "run", "--trust", "batch.json")
        is_so = functools.partial(_is, project)
        project.wait_until(lambda: is_so("a", "working"), "a is at work", timeout_s=SECONDS)
        engine.stop()
        project.wait_until(lambda: is_so("b", "done"), "b is done")
        engine.start()
        assert running.wait(timeout=SECONDS) == 0
        assert states(status(project)) == {"a": "done", "b": "done"}
        assert project.git("log", "-1", "--format=%s", "rumpelpod/a") == "a"
        project.run("delete", "a", "--force").assert_ok()


def _is(project: Project, name: str, state: str) -> bool:
    said = project.run("batch", "status", "--json")
    return said.code == 0 and states(json.loads(said.stdout))[name] == state
