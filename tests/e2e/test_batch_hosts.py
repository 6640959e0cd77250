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
    home: Home, near_engine: Engine, sshd_image: str, dockerd: FarEngine
) -> Iterator[FarEngine]:
    """`ssh://plain` leads there."""
    with Sshd(home, near_engine, sshd_image, far=dockerd):
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


@pytest.mark.one_in(2)
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


@pytest.mark.one_in(3)
@pytest.mark.timeout(300)
def test_a_task_of_a_lost_host_moves_if_it_may(
    rumpel_project: ProjectFactory,
    home: Home,
    near_engine: Engine,
    sshd_image: str,
    dockerd: FarEngine,
) -> None:
    """It goes on from the last of its commits that came. The old pod is kept, and stopped when its
    host is back: what it committed meanwhile comes then.
    """
    project = rumpel_project()
    begun = f"echo one >one && {COMMIT.format('one')} && touch /tmp/at-work && sleep 8 &&"
    script = (
        f"if [ -e one ]; then echo two >two && {COMMIT.format('two')}; "
        f"else {begun} echo late >late && {COMMIT.format('late')} && sleep 600; fi"
    )
    file = {"tasks": [task("a", script)], "hosts": [{"host": HOST, "move": "3s"}, "local"]}
    project.write({"batch.json": json.dumps(file)})
    with Sshd(home, near_engine, sshd_image, far=dockerd) as far:
        running = project.start("batch", "run", "--trust", "batch.json")
        project.wait_until(lambda: _subject(project, "a") == "one", "a has begun")
        far.stop()
        assert running.wait(timeout=SECONDS) == 0
        (row,) = rows(status(project))
        assert (row["state"], row["host"], row["pod"]) == ("done", "local", "a-2")
        assert row["left"] == [{"pod": "a", "host": HOST}]
        assert _subject(project, "a-2") == "two"
        assert project.git("show", "rumpelpod/a-2:one") == "one"
        told = project.run("batch", "status").assert_ok().stderr
        assert "a · goes on in pod a-2: ssh://plain was lost, pod a is kept as it was there" in told
        project.wait_until(lambda: _is_late(dockerd), "a has committed where nobody sees it")
        far.start()
        project.wait_until(lambda: _subject(project, "a") == "late", "a's commits come")
        project.wait_until(lambda: _pod(project, "a") == "stopped", "a is stopped")
        again = project.run("batch", "run", "--trust", "batch.json", "--json").assert_ok()
        assert rows(json.loads(again.stdout))[0]["pod"] == "a-2"
        assert _pod(project, "a") == "stopped"
        project.run("delete", "a", "--force").assert_ok()


@pytest.mark.timeout(300)
def test_what_is_not_committed_moves_too(
    rumpel_project: ProjectFactory,
    home: Home,
    near_engine: Engine,
    sshd_image: str,
    dockerd: FarEngine,
) -> None:
    """Also when the daemon is killed while the host is away: the next one moves it."""
    project = rumpel_project()
    script = (
        f"if [ -e half ]; then cat half >whole && {COMMIT.format('whole')}; "
        f"else echo one >one && {COMMIT.format('one')} && echo half >half && sleep 600; fi"
    )
    file = {"tasks": [task("a", script)], "hosts": [{"host": HOST, "move": "5s"}, "local"]}
    project.write({"batch.json": json.dumps(file)})
    with Sshd(home, near_engine, sshd_image, far=dockerd) as far:
        running = project.start("batch", "run", "--trust", "batch.json")
        project.wait_until(
            lambda: _holds_half(project), "its files are held here", timeout_s=SECONDS
        )
        far.stop()
        home.kill_daemon()
        running.wait(timeout=SECONDS)
        done = json.loads(project.run("batch", "run", "--trust", "batch.json", "--json").stdout)
        (row,) = rows(done)
        assert (row["state"], row["host"], row["pod"]) == ("done", "local", "a-2"), done
        assert project.git("show", "rumpelpod/a-2:whole") == "half"
        assert project.git("show", "rumpelpod/a-2:one") == "one"
        far.start()
        project.wait_until(lambda: _pod(project, "a") == "stopped", "a is stopped")
        project.run("delete", "a", "--force").assert_ok()


def _holds_half(project: Project) -> bool:
    held = project.git("for-each-ref", "refs/rumpel/keep", "--format=%(refname)").splitlines()
    taken = [ref for ref in held if ref.endswith("-batch")]
    return any(
        "half" in project.git("ls-tree", "-r", "--name-only", f"{ref}:files") for ref in taken
    )


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("far")
def test_a_host_that_is_low_gets_no_tasks(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [made("a"), made("b")]
    hosts = [{"host": HOST, "min_disk": "900t"}, "local"]
    project.write({"batch.json": json.dumps({"tasks": tasks, "hosts": hosts})})
    unknown = project.run("batch", "check", "--trust", "batch.json").assert_ok()
    assert f"{HOST}: how much room it has is not known yet" in unknown.stderr
    project.run("create", "x", "--host", HOST).assert_ok()
    low = project.run("batch", "check", "--trust", "batch.json").assert_ok()
    assert f"{HOST} gets no tasks: {HOST} has " in low.stderr
    assert "of disk free, less than min_disk" in low.stderr
    done = batch(project, "run", "--trust", tasks=tasks, hosts=hosts)
    assert {row["host"] for row in rows(done)} == {"local"}, done
    said = {row["host"]: row for row in done["data"]["hosts"]}
    assert said["local"]["gets_tasks"]
    assert said["local"]["free_disk"] > 0
    assert said["local"]["free_memory"] > 0
    assert not said[HOST]["gets_tasks"]
    assert said[HOST]["free_disk"] > 0
    wrong = batch(
        project, "run", "--trust", tasks=tasks, hosts=[{"host": "local", "min_disk": "lots"}]
    )
    assert "hosts[0].min_disk" in wrong["error"]["message"]
    assert "must be a size such as 500m or 2g" in wrong["error"]["message"]


def _is_late(far: FarEngine) -> bool:
    (pod,) = far.engine.containers("rumpel.kind=pod", "rumpel.pod=a")
    said = far.engine.exec(pod["Id"], "sh", "-c", "cat $(find / -name COMMIT_EDITMSG)", check=False)
    return said.stdout.strip() == "late"


def _subject(project: Project, pod: str) -> str:
    return project.git("for-each-ref", f"refs/remotes/rumpelpod/{pod}", "--format=%(subject)")


def _pod(project: Project, name: str) -> str:
    found = json.loads(project.run("list", "--json").assert_ok().stdout)["data"]
    return next(str(one["status"]) for one in found if one["name"] == name)
