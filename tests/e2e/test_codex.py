"""The real Codex in real pods, against a model on loopback that speaks the real API."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pexpect
import pytest

from tests.support import agents
from tests.support.agents import DETACH, DEV, ON_HOST, fake_model  # noqa: F401 - a fixture
from tests.support.fake_api import Model
from tests.support.project import Project, ProjectFactory

VERSION = "0.171.0"
PACKAGE = f"@openai/codex@{VERSION}-linux-x64"
KEY = "sk-proj-canary-4d1e8b7a9c3f5e2d6a0b"
SIZE = (30, 100)


@pytest.fixture(scope="session", name="npm_cache")
def codex_cache() -> str:
    return agents.npm_cache(PACKAGE)


@pytest.fixture(name="project")
def codex_project(rumpel_project: ProjectFactory, npm_cache: str, fake: Model) -> Project:
    env = {
        "npm_config_cache": npm_cache,
        "OPENAI_BASE_URL": f"{fake.url}/v1",
        "OPENAI_API_KEY": KEY,
    }
    return agents.set_up(rumpel_project(config=ON_HOST), "codex", VERSION, env)


@pytest.mark.timeout(400)
def test_codex_from_its_start_to_the_merge(project: Project, fake: Model) -> None:
    started = project.run("codex", "-d", "a", "--trust", timeout=300).assert_ok()
    assert "rumpel codex a" in started.stderr
    task = "please-run: echo made >new && git add new && git commit -qm 'by the agent'"
    project.run("send", "a", task).assert_ok()
    (waited,) = project.run("wait", "a", "--timeout", "60", "--json").assert_ok().data
    assert waited == {"name": "a", "agent": "codex", "state": "waiting", "status": "running"}
    oid = project.inside("a", "git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    assert project.git("show", "-s", "--format=%s", oid) == "by the agent"
    told = [headers for headers, body in fake.asked if "You are in a pod" in json.dumps(body)]
    assert {headers["authorization"] for headers in told} == {f"Bearer {KEY}"}

    _shows_what_it_does(project)
    _looks_and_leaves(project)
    agents.keeps_no_secret(project, "a", KEY)
    assert KEY not in project.inside("a", "cat /tmp/env")
    _goes_on_with_the_last_conversation(project)
    _is_awaited_while_it_leaves(project)
    project.run("merge", "a").assert_ok()
    assert (project.root / "new").read_text() == "made\n"


def _shows_what_it_does(project: Project) -> None:
    project.inside("a", "mkfifo /tmp/gate")
    project.run(
        "send", "a", "please-run: env >/tmp/env; echo $(cat /tmp/gate) >/tmp/passed"
    ).assert_ok()
    project.wait_until(lambda: state(project) == "working", "it works")
    project.run("wait", "a", "--timeout", "1").assert_error(124, "still at work")
    project.inside("a", "echo through >/tmp/gate")
    project.run("wait", "a", "--timeout", "50").assert_ok()
    assert state(project) == "waiting"
    assert project.inside("a", "cat /tmp/passed") == "through"
    project.run("send", "a", "please-fail: 400").assert_ok()
    project.run("wait", "a", "--timeout", "50").assert_error(1)
    assert state(project) == "failed"
    assert "no such luck" in project.run("capture", "a").assert_ok().stdout


def _looks_and_leaves(project: Project) -> None:
    shell = project.spawn("codex", "a", size=SIZE)
    agents.drawn(shell, ("no such luck", "Ask Codex to do anything"), SIZE)
    shell.send(DETACH)
    shell.expect("goes on in pod a", timeout=agents.LOOK_S)
    shell.expect(pexpect.EOF)


def _goes_on_with_the_last_conversation(project: Project) -> None:
    """Also when it has spoilt its own settings."""
    project.run("send", "a", "/quit").assert_ok()
    project.wait_until(lambda: state(project) == "ended", "it ends")
    project.inside("a", "printf 'model = [' >/rumpel/home/codex/config.toml")
    project.run("codex", "-d", "a", "--", "resume", "--last").assert_ok()
    project.wait_until(lambda: "no such luck" in shown(project, "a"), "what was said before")
    found = project.inside("a", "cat /rumpel/home/codex/config.toml.broken")
    assert found == "model = ["


def _is_awaited_while_it_leaves(project: Project) -> None:
    """It says its end, and takes 5 s to it where nothing answers what it tells its makers."""

    def is_awaited() -> bool:
        every = project.exec("a", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
        return " left /rumpel/home codex " in every

    for command in ("codex -d a -- resume --last", "run --agent codex a -p x"):
        project.inside("a", "echo agent codex ended >.git/rumpel/fifo")
        project.wait_until(lambda: state(project) == "ended", "it has said so")
        begun = project.start(*command.split())
        project.wait_until(is_awaited, "it looks alive")
        project.exec("a", "pkill", "-x", "codex")
        assert begun.wait(60) == 0


@pytest.mark.timeout(400)
@pytest.mark.one_in(3)
def test_codex_asks_when_it_shall(project: Project) -> None:
    project.run("codex", "-d", "--ask", "a", "--trust", timeout=300).assert_ok()
    project.run("send", "a", "please-ask: echo yes >/tmp/answer").assert_ok()
    project.run("wait", "a", "--timeout", "50").assert_ok()
    project.wait_until(lambda: "May I?" in shown(project, "a"), "it asks")
    assert state(project) == "waiting"
    project.run("send", "--keys", "a", "y").assert_ok()
    project.wait_until(lambda: "DONE" in shown(project, "a"), "it went on")
    assert project.inside("a", "cat /tmp/answer") == "yes"
    project.wait_until(lambda: state(project) == "waiting", "its turn is over")


@pytest.mark.parametrize(
    ("env", "code", "words"),
    [
        ({"OPENAI_API_KEY": None}, 2, ("nothing signs Codex in", "OPENAI_API_KEY")),
        ({"OPENAI_BASE_URL": "http://me:it@host/v1"}, 2, ("OPENAI_BASE_URL", "no place for it")),
        ({"RUMPEL_AGENT_VERSIONS": "codex=0.0.1"}, 1, ("0.0.1",)),
    ],
    ids=["no key", "a password", "no such version"],
)
@pytest.mark.one_in(3)
def test_what_cannot_be_started_is_said(
    project: Project, env: Mapping[str, str | None], code: int, words: tuple[str, ...]
) -> None:
    project.run("codex", "-d", "p", "--trust", env=env, timeout=200).assert_error(code, *words)


def shown(project: Project, pod: str) -> str:
    return project.run("capture", pod).assert_ok().stdout


def state(project: Project) -> str:
    (row,) = project.run("list", "--json").assert_ok().data
    return str(row["agent"]["state"])
