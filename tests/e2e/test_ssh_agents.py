"""Agents at a remote host: their sessions live there, whatever becomes of the line."""

from __future__ import annotations

from collections.abc import Iterator

import pexpect
import pytest

from rumpel import names
from tests.e2e.test_agents import KEY, PACKAGE, VERSION
from tests.support import agents
from tests.support.agents import DETACH, LOOK_S, ON_HOST
from tests.support.engine import Engine
from tests.support.fake_api import Model, model
from tests.support.far_engine import Dockerd
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory
from tests.support.share import IS_LONG
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if IS_LONG else 400)]
SIZE = (30, 100)


@pytest.fixture(scope="module")
def dockerd(near_engine: Engine, dev_image: str, mini_image: str) -> Iterator[Dockerd]:
    with Dockerd() as engine:
        engine.load(near_engine, dev_image, mini_image)
        yield engine


@pytest.fixture
def far(home: Home, near_engine: Engine, sshd_image: str, dockerd: Dockerd) -> Iterator[Sshd]:
    with Sshd(home, near_engine, sshd_image, far=dockerd) as machine:
        yield machine


@pytest.fixture
def fake(dockerd: Dockerd) -> Iterator[Model]:
    with model() as server, dockerd.shares_port(server.server_port):
        yield server


@pytest.fixture
def project(rumpel_project: ProjectFactory, far: Sshd, fake: Model) -> Project:
    assert far.ports
    env = {
        "RUMPEL_HOST": "ssh://plain",
        "npm_config_cache": agents.npm_cache(PACKAGE),
        "ANTHROPIC_BASE_URL": fake.url,
        "ANTHROPIC_API_KEY": KEY,
    }
    return agents.set_up(rumpel_project(config=ON_HOST), "claude", VERSION, env)


@pytest.mark.one_in(3)
def test_a_session_outlives_the_line_and_the_daemon(project: Project, far: Sshd) -> None:
    project.run("claude", "-d", "a", "--trust", "--", "first", timeout=300).assert_ok()
    project.run("wait", "a", "--timeout", "60").assert_ok()
    seen = project.spawn("claude", "a", size=SIZE)
    agents.drawn(seen, ("PONG", "bypass permissions on"), SIZE)
    assert far.kill_sessions() > 0
    seen.expect("connection to ssh://plain was lost", timeout=LOOK_S)
    seen.expect(pexpect.EOF)
    project.run("send", "a", "after the line").assert_ok()
    project.run("wait", "a", "--timeout", "60").assert_ok()

    project.home.kill_daemon()
    assert far.kill_sessions() >= 0
    task = "please-run: git commit -q --allow-empty -m 'by the agent'"
    project.run("send", "a", task).assert_ok()
    project.run("wait", "a", "--timeout", "60").assert_ok()
    project.wait_for_ref("a", project.inside("a", "git rev-parse HEAD"))
    again = project.spawn("attach", "a", size=SIZE)
    agents.drawn(again, ("DONE",), SIZE)
    again.send(DETACH)
    again.expect("goes on in pod a", timeout=LOOK_S)
    again.expect(pexpect.EOF)
    shown = project.run("capture", "--all", "a").assert_ok().stdout
    for word in ("first", "after the line", "by the agent"):
        assert word in shown
    project.run("delete", "a", "--force").assert_ok()


@pytest.mark.one_in(3)
def test_a_task_whose_line_is_cut(project: Project, far: Sshd) -> None:
    """It is told how it ended, and nothing of it stays behind."""
    assert far.far is not None
    engine = far.far.engine
    project.run("create", "a", "--trust").assert_ok()
    (pod,) = engine.containers(f"{names.LABEL_KIND}=pod")
    work = "date >early && git add early && git commit -qm early && touch /tmp/at-work && sleep 987"
    running = project.start("run", "a", "-p", f"please-run: {work}")

    def works() -> bool:
        return engine.exec(pod["Id"], "test", "-e", "/tmp/at-work", check=False).code == 0

    project.wait_until(works, "it works", timeout_s=120)
    assert far.kill_sessions() > 0
    _, said = running.communicate(timeout=120)
    assert running.returncode == 5
    for words in (
        "Claude Code was cut off in pod a: the connection to ssh://plain was lost",
        "1 commit arrived on a",
        "rumpel run a --continue",
    ):
        assert words in said.decode()
    listed = engine.exec(pod["Id"], "sh", "-c", "cat /proc/[0-9]*/cmdline").stdout
    assert "stream-json" not in listed
    assert "987" not in listed
    (row,) = project.run("list", "--json").assert_ok().data
    assert (row["agent"]["state"], row["git"]["ahead"]) == ("failed", 1)
    project.run("run", "a", "--continue", "-p", "hello").assert_ok()
    project.run("delete", "a", "--force").assert_ok()
