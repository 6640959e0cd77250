"""The real Gemini CLI and the real Grok in real pods, against a model on loopback that speaks the
APIs of theirs. The image has no Node: Gemini brings it along.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import pexpect
import pytest

from tests.support import agents
from tests.support.agents import DETACH, ON_HOST, fake_model  # noqa: F401 - a fixture
from tests.support.fake_api import Model
from tests.support.project import Project, ProjectFactory

SIZE = (30, 100)
COMMIT = "echo made >new && git add new && git commit -qm 'by the agent'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What differs."""

    name: str
    title: str
    version: str
    package: str
    key: str
    """Its variable."""
    secret: str
    header: tuple[str, str]
    base: tuple[str, str]
    env: Mapping[str, str]
    is_there: str
    """What it shows when it takes what is typed."""
    asks: str
    agrees: str
    """What it shows when it asks for leave, and the key that gives it."""
    resumes: tuple[str, ...]
    remembers: str
    """What it shows then, a while after it takes what is typed, and loses that."""
    tool: str


CASES = (
    Case(
        name="gemini",
        title="Gemini CLI",
        version="0.61.0",
        package="@google/gemini-cli",
        key="GEMINI_API_KEY",
        secret="AIza-canary-4d1e8b7a9c3f5e2d6a0b",
        header=("x-goog-api-key", ""),
        base=("GOOGLE_GEMINI_BASE_URL", ""),
        env={"GEMINI_MODEL": "gemini-3.8-flash"},  # else it asks another one which to take
        is_there="Type your message",
        asks="Allow once",
        agrees="1",
        resumes=("--resume", "latest"),
        remembers="INVALID_ARGUMENT",
        tool="run_shell_command",
    ),
    Case(
        name="grok",
        title="Grok",
        version="1.0.41",
        package="@xai-official/grok-linux-x64",
        key="XAI_API_KEY",
        secret="xai-canary-4d1e8b7a9c3f5e2d6a0b",
        header=("authorization", "Bearer "),
        base=("GROK_MODELS_BASE_URL", "/v1"),
        env={},
        is_there="\u276f",
        asks="Yes, proceed",
        agrees="2",
        resumes=("--continue",),
        remembers="please-fail: 400",
        tool="run_terminal_command",
    ),
)


@pytest.fixture(params=CASES, ids=[case.name for case in CASES], name="case")
def each_case(request: pytest.FixtureRequest) -> Case:
    case = request.param
    assert isinstance(case, Case)
    return case


@pytest.fixture(name="project")
def agent_project(rumpel_project: ProjectFactory, case: Case, fake: Model) -> Project:
    env = {
        "npm_config_cache": agents.npm_cache(f"{case.package}@{case.version}"),
        case.base[0]: f"{fake.url}{case.base[1]}",
        case.key: case.secret,
        **case.env,
    }
    return agents.set_up(rumpel_project(config=ON_HOST), case.name, case.version, env)


@pytest.mark.timeout(500)
@pytest.mark.one_in(2)
def test_an_agent_from_its_start_to_the_merge(project: Project, case: Case, fake: Model) -> None:
    started = project.run(case.name, "-d", "a", "--trust", timeout=400).assert_ok()
    assert f"rumpel {case.name} a" in started.stderr
    _is_there(project, case)
    project.run("send", "a", f"please-run: {COMMIT}").assert_ok()
    (waited,) = project.run("wait", "a", "--timeout", "60", "--json").assert_ok().data
    assert waited == {"name": "a", "agent": case.name, "state": "waiting", "status": "running"}
    oid = project.inside("a", "git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    assert project.git("show", "-s", "--format=%s", oid) == "by the agent"
    told = [headers for headers, body in fake.asked if "You are in a pod" in json.dumps(body)]
    header, before = case.header
    assert {headers[header] for headers in told} == {f"{before}{case.secret}"}

    _shows_what_it_does(project)
    _looks_and_leaves(project, case)
    agents.keeps_no_secret(project, "a", case.secret)
    _goes_on_with_the_last_conversation(project, case, fake)
    project.run("merge", "a").assert_ok()
    assert (project.root / "new").read_text() == "made\n"


def _shows_what_it_does(project: Project) -> None:
    project.inside("a", "mkfifo /tmp/gate")
    project.run("send", "a", "please-run: cat /tmp/gate >/tmp/passed").assert_ok()
    project.wait_until(lambda: _state(project) == "working", "it works")
    project.run("wait", "a", "--timeout", "1").assert_error(124, "still at work")
    project.inside("a", "echo through >/tmp/gate")
    project.run("wait", "a", "--timeout", "50").assert_ok()
    assert _state(project) == "waiting"
    assert project.inside("a", "cat /tmp/passed") == "through"
    project.run("send", "a", "please-fail: 400").assert_ok()
    project.run("wait", "a", "--timeout", "50").assert_error(1)
    assert _state(project) == "failed"
    said = "no such luck"
    project.wait_until(lambda: said in " ".join(_shown(project).split()), "it says why")


def _looks_and_leaves(project: Project, case: Case) -> None:
    shell = project.spawn(case.name, "a", size=SIZE)
    agents.drawn(shell, ("please-fail: 400", case.is_there), SIZE)
    shell.send(DETACH)
    shell.expect("goes on in pod a", timeout=agents.LOOK_S)
    shell.expect(pexpect.EOF)


def _goes_on_with_the_last_conversation(project: Project, case: Case, fake: Model) -> None:
    project.run("send", "a", "/quit").assert_ok()
    project.wait_until(lambda: _state(project) == "ended", "it says that it ends")
    project.wait_until(lambda: project.run("capture", "a").code == 3, "it ends")
    project.run(case.name, "-d", "a", "--", *case.resumes).assert_ok()
    project.wait_until(lambda: case.remembers in _shown(project), "what was said before")
    asked = len(fake.asked)
    project.run("send", "a", "What was it?").assert_ok()
    project.run("wait", "a", "--timeout", "50").assert_ok()
    assert any(COMMIT in json.dumps(body) for _, body in fake.asked[asked:])


@pytest.mark.timeout(400)
@pytest.mark.one_in(3)
def test_an_agent_asks_when_it_shall(project: Project, case: Case) -> None:
    project.run(case.name, "-d", "--ask", "a", "--trust", timeout=300).assert_ok()
    _is_there(project, case)
    project.run("send", "a", "please-run: sh -c 'echo yes >/tmp/answer'").assert_ok()
    project.run("wait", "a", "--timeout", "50").assert_ok()
    project.wait_until(lambda: case.asks in _shown(project), "it asks")
    assert _state(project) == "waiting"
    project.run("send", "--keys", "a", case.agrees).assert_ok()
    project.wait_until(lambda: "DONE" in _shown(project), "it went on")
    assert project.inside("a", "cat /tmp/answer") == "yes"
    project.wait_until(lambda: _state(project) == "waiting", "its turn is over")


@pytest.mark.timeout(400)
@pytest.mark.one_in(3)
def test_an_agent_does_a_task(project: Project, case: Case, fake: Model) -> None:
    run = ("run", "a", "--agent", case.name, "-p")
    done = project.run(*run, f"please-run: {COMMIT}", "--trust", timeout=300).assert_ok()
    assert done.stdout == "DONE\n"
    assert f"> {case.tool}  {COMMIT}\n" in done.stderr
    assert "200 tokens in, 40 out\n" in done.stderr
    oid = project.inside("a", "git rev-parse HEAD")
    assert f"a · 1 commit arrived on a, now at {oid[:10]}" in done.stderr
    again = "please-run: echo more >>new; git commit -qam more"
    project.run(*run, again, "--continue").assert_ok()
    assert COMMIT in json.dumps(fake.asked[-1][1]), "the same conversation"
    assert project.git("show", "-s", "--format=%s", "rumpelpod/a") == "more"
    (row,) = project.run("list", "--json").assert_ok().data
    assert (row["agent"]["name"], row["agent"]["state"]) == (case.name, "done")
    project.run(*run, "x", "--max-cost", "1").assert_error(
        2, f"{case.title} has no limit in dollars"
    )
    if case.name == "grok":
        project.run(*run, again, "--max-turns", "1").assert_error(6, "it used up its turns")
        assert "! Exit code 3\n" in project.run(*run, "please-run: exit 3").assert_ok().stderr
    agents.keeps_no_secret(project, "a", case.secret)


@pytest.mark.timeout(400)
@pytest.mark.one_in(3)
def test_an_agent_does_a_task_of_a_batch(project: Project, case: Case) -> None:
    agents.does_a_batch(project, case.name)


@pytest.mark.timeout(400)
@pytest.mark.one_in(3)
def test_a_service_that_does_not_do_well(project: Project, case: Case, fake: Model) -> None:
    run, failed = ("run", "a", "--agent", case.name, "-p"), f"{case.title} failed in pod a: "
    refused = project.run(*run, "please-fail: 400", "--trust", timeout=300)
    refused.assert_error(6, failed, "no such luck")
    project.run(*run, "please-fail: 401").assert_error(6, case.key)
    assert project.run(*run, "please-limit: 1", timeout=60).assert_ok().stdout == "PONG\n"
    assert fake.limited == 1
    cut = project.run(*run, "please-cut: it", "--timeout", "20", timeout=100)
    if case.name == "grok":  # it asks again and again
        cut.assert_error(124, "did not end within 20.0 s")
    else:
        cut.assert_error(6, f"{failed}terminated")


@pytest.mark.parametrize("what", ["no key", "no such version"])
@pytest.mark.one_in(3)
def test_what_cannot_be_started_is_said(project: Project, case: Case, what: str) -> None:
    env: dict[str, str | None] = {"RUMPEL_AGENT_VERSIONS": f"{case.name}=0.0.1"}
    code = 1
    words: tuple[str, ...] = ("0.0.1",)
    if what == "no key":
        env, code, words = {case.key: None}, 2, (f"nothing signs {case.title} in", case.key)
    start = project.run(case.name, "-d", "p", "--trust", env=env, timeout=300)
    start.assert_error(code, *words)


def _is_there(project: Project, case: Case) -> None:
    """Before that it takes nothing that is typed."""
    try:
        project.wait_until(lambda: case.is_there in _shown(project), "it is there", timeout_s=90)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{_shown(project)}") from None


def _shown(project: Project) -> str:
    return project.run("capture", "a").assert_ok().stdout


def _state(project: Project) -> str:
    (row,) = project.run("list", "--json").assert_ok().data
    return str(row["agent"]["state"])
