"""The real Claude Code in real pods, against a model on loopback that speaks the real API."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pexpect
import pyte
import pytest

from tests.e2e.test_readme import commands
from tests.support import agents
from tests.support.agents import DETACH, DEV, ON_HOST, fake_model  # noqa: F401 - a fixture
from tests.support.fake_api import Model
from tests.support.project import Project, ProjectFactory
from tests.support.sweep import COMMIT

VERSION = "2.1.332"
PACKAGE = f"@anthropic-ai/claude-code-linux-x64@{VERSION}"
KEY = "sk-ant-canary-7f3a9b1c5d2e8f4a6b0c"
LOOK_S = 60


@pytest.fixture(scope="session", name="npm_cache")
def claude_cache() -> str:
    return agents.npm_cache(PACKAGE)


@pytest.fixture(name="project")
def claude_project(rumpel_project: ProjectFactory, npm_cache: str, fake: Model) -> Project:
    env = {
        "npm_config_cache": npm_cache,
        "ANTHROPIC_BASE_URL": fake.url,
        "ANTHROPIC_API_KEY": KEY,
    }
    return agents.set_up(rumpel_project(config=ON_HOST), "claude", VERSION, env)


@pytest.mark.timeout(400)
def test_claude_from_its_start_to_the_merge(project: Project, fake: Model) -> None:
    task = "please-run: echo made >new && git add new && git commit -qm 'by the agent'"
    started = project.run("claude", "-d", "a", "--trust", "--", task, timeout=300).assert_ok()
    assert "rumpel claude a" in started.stderr
    (waited,) = project.run("wait", "a", "--timeout", "60", "--json").assert_ok().data
    assert waited == {"name": "a", "agent": "claude", "state": "waiting", "status": "running"}
    oid = project.inside("a", "git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    assert project.git("show", "-s", "--format=%s", oid) == "by the agent"
    (row,) = project.run("list", "--json").assert_ok().data
    assert (row["agent"]["name"], row["agent"]["state"]) == ("claude", "waiting")
    assert row["git"]["ahead"] == 1
    assert "waiting" in project.run("list").stdout
    project.run("run", "a", "-p", "x").assert_error(4, "has a terminal in pod a", "rumpel send a")
    told = [headers for headers, body in fake.asked if "You are in a pod" in json.dumps(body)]
    assert {headers["x-api-key"] for headers in told} == {KEY}

    _looks_and_leaves(project)
    _speaks_with_it(project)
    _survives_the_daemon(project)
    _begins_another_conversation(project)
    agents.keeps_no_secret(project, "a", KEY)

    again = project.run("claude", "-d", "b", "--", "please-run: sleep 600").assert_ok()
    assert "Installing" not in again.stderr, "one copy for all pods of an engine"
    _is_found_dead(project)
    both = [project.start("claude", "-d", "b") for _ in range(2)]
    assert [one.wait(120) for one in both] == [0, 0]
    assert len(sessions(project)) == 1
    project.run("merge", "a").assert_ok()
    assert (project.root / "new").read_text() == "made\n"


@pytest.mark.timeout(400)
@pytest.mark.one_in(2)
def test_the_second_pod_downloads_nothing(project: Project, tmp_path: Path) -> None:
    """A daemon has npm run as in the environment it was started in."""
    nowhere: dict[str, str | None] = {
        "npm_config_cache": str(tmp_path),
        "npm_config_registry": "http://127.0.0.1:9",
        "npm_config_fetch_retries": "0",
    }
    first = project.run("claude", "-d", "a", "--trust", "--", "first", env=nowhere, timeout=120)
    assert first.code != 0, "the first one has to be fetched"
    project.run("daemon", "stop").assert_ok()
    project.run("claude", "-d", "a", "--", "first", timeout=300).assert_ok()
    project.run("daemon", "stop").assert_ok()
    project.run("claude", "-d", "b", "--", "first", env=nowhere).assert_ok()
    project.run("wait", "a", "b", "--timeout", "50").assert_ok()


@pytest.mark.timeout(400)
def test_the_example_of_the_readme(project: Project) -> None:
    project.run("create", "other", "--trust").assert_ok()  # the model is on this machine's loopback
    for line in commands("Agents"):
        said = project.run(*shlex.split(line)[1:], timeout=300).assert_ok().stdout
        if " list" in line:
            assert re.search(r"fix-login +(working|waiting) ", said)
        if " capture " in line:
            assert "Fix the login" in said
    project.run("wait", "fix-login", "--timeout", "50").assert_ok()
    assert "Now write a test" in project.run("capture", "fix-login").assert_ok().stdout


def _looks_and_leaves(project: Project) -> None:
    """On a terminal: the screen, the way out, and what is said then; a lost terminal harms not."""
    project.run("claude", "-d", "a", env={"ANTHROPIC_API_KEY": None}).assert_ok()
    shell = project.spawn("claude", "a", size=(30, 100))
    screen = agents.drawn(shell, ("DONE", "bypass permissions on"), (30, 100))
    assert not any("dialog" in line for line in screen)
    shell.send(DETACH)
    shell.expect(pexpect.EOF, timeout=LOOK_S)
    left = pyte.Screen(100, 30)
    pyte.ByteStream(left).feed(b"x\r\n" * 40 + shell.before)
    shown = [line.strip() for line in left.display if line.strip()]
    assert shown == ["claude goes on in pod a: rumpel claude a   looks at it"]
    lost = project.spawn("attach", "a", size=(24, 80))
    agents.drawn(lost, ("DONE",), (24, 80))
    lost.close(force=True)
    project.wait_until(lambda: displays(project) == 0, "the display of a lost terminal goes")


def _speaks_with_it(project: Project) -> None:
    project.run("send", "a", "grüß dich ☃").assert_ok()
    # What was sent counts as work, so there is something to wait for.
    waited = project.run("wait", "a", "--timeout", "50")
    assert waited.code == 0, project.run("capture", "a").stdout
    shown = project.run("capture", "a").assert_ok().stdout
    assert "grüß dich ☃" in shown
    assert "PONG" in shown, shown
    assert "by the agent" in project.run("capture", "--all", "a").assert_ok().stdout


def _survives_the_daemon(project: Project) -> None:
    project.home.kill_daemon()
    shown = project.run("capture", "a").assert_ok().stdout
    assert "grüß dich ☃" in shown
    assert "PONG" in shown
    (row,) = project.run("list", "--json").assert_ok().data
    assert row["agent"]["state"] == "waiting"


def _begins_another_conversation(project: Project) -> None:
    project.run("send", "a", "/clear").assert_ok()
    (waited,) = project.run("wait", "a", "--timeout", "50", "--json").assert_ok().data
    assert waited["state"] == "waiting", "it lives on, so it has not ended"


def _is_found_dead(project: Project) -> None:
    """One that was killed has said nothing."""
    project.exec("b", "kill", "-KILL", *sessions(project), user="0")
    (gone,) = project.run("wait", "b", "--timeout", "50", "--json").assert_ok().data
    assert gone["state"] == "ended"


def sessions(project: Project) -> list[str]:
    """Process ids of the servers of screen in pod `b`."""
    listed = project.exec("b", "sh", "-c", "grep -la SCREEN /proc/[0-9]*/cmdline", check=False)
    own = [path.split("/")[2] for path in listed.stdout.split()]
    named = {pid: project.exec("b", "cat", f"/proc/{pid}/comm", check=False).stdout for pid in own}
    return [pid for pid, name in named.items() if name == "screen\n"]


def displays(project: Project) -> int:
    listed = project.exec("a", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    return listed.count("-d -r rumpel-claude")


@pytest.mark.parametrize(
    ("env", "code", "words"),
    [
        ({"ANTHROPIC_API_KEY": None}, 2, ("nothing signs Claude Code in", "claude setup-token")),
        ({"RUMPEL_AGENT_VERSIONS": "claude=0.0.1"}, 1, ("0.0.1",)),
        ({"RUMPEL_AGENT_VERSIONS": "claude=../x"}, 2, ("agentVersions", "2.1.332")),
    ],
    ids=["no key", "no such version", "no version"],
)
def test_what_cannot_be_started_is_said(
    project: Project, env: Mapping[str, str | None], code: int, words: tuple[str, ...]
) -> None:
    project.run("claude", "-d", "p", "--trust", env=env, timeout=200).assert_error(code, *words)


def test_a_pod_without_a_terminal_program(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    env = {"ANTHROPIC_API_KEY": KEY}
    project.run("claude", "-d", "p", env=env).assert_error(6, "neither screen nor tmux", "install")
    project.run("attach", "p").assert_error(2, "needs a terminal", "rumpel capture p")
    project.run("capture", "p").assert_error(3, "no agent runs in pod p", "rumpel claude p")
    project.run("send", "p", "x").assert_error(3, "no agent runs")
    project.run("wait", "p").assert_error(3, "no agent was started in pod p")
    project.run("claude", "p", env=env).assert_error(2, "needs a terminal", "rumpel claude -d p")


# As a package manager that has it: apt and apk bring it where a registry can be reached.
HIDDEN_SCREEN = (
    "rm -f /usr/bin/apt-get; mkdir /packages && mv /usr/bin/screen /packages/screen && "
    "printf '#!/bin/sh\\n[ \"$3\" = screen ] && mv /packages/screen /usr/bin/screen\\n' "
    ">/usr/sbin/apk && chmod 755 /usr/sbin/apk"
)


@pytest.mark.timeout(400)
def test_screen_is_added_to_a_pod_without_it(project: Project) -> None:
    project.write(
        {
            ".devcontainer/Dockerfile": f"FROM {DEV}\nUSER root\nRUN {HIDDEN_SCREEN}\n",
            ".devcontainer/devcontainer.json": {
                "build": {"dockerfile": "Dockerfile"},
                "remoteUser": "dev",
                "runArgs": ["--network=host"],
            },
        }
    )
    said = project.run("claude", "-d", "p", "--trust", "--", "first", timeout=300).assert_ok()
    assert "Adding screen" in said.stderr
    project.run("wait", "p", "--timeout", "50").assert_ok()
    assert "Adding screen" not in project.run("claude", "-d", "p").assert_ok().stderr
    lost = project.run("claude", "-d", "p", "--", "second")
    lost.assert_error(4, "runs already in pod p", "rumpel send p TEXT")
    other = project.run("capture", "p", "--agent", "codex")
    other.assert_error(3, "Codex does not run in pod p, but there is claude", "rumpel codex p")
    (row,) = project.run("list", "--json").assert_ok().data
    assert (row["agent"]["name"], row["agent"]["state"]) == ("claude", "waiting")
    project.run("graph", "p").assert_ok()
    project.run("delete", "p", "--force").assert_ok()


def test_nobody_ends_a_working_agent_without_a_word(rumpel_project: ProjectFactory) -> None:
    """What it says of itself is enough: its hooks write to the pod's FIFO."""
    project = rumpel_project()
    works = "for s in waiting working; do echo agent claude $s; done >.git/rumpel/fifo"
    told = "claude is ended in the middle of its work in pod p"

    def is_told() -> bool:
        (row,) = project.run("list", "--json").assert_ok().data
        return row["agent"] is not None and row["agent"]["state"] == "working"

    project.inside("p", f"{COMMIT}; {works}")
    project.wait_until(is_told, "it works")
    merged = project.run("merge", "p").assert_ok().stderr
    assert "pod p goes on, claude works in it" in merged
    assert "is stopped" not in merged
    assert told in project.run("recreate", "--force", "p").assert_ok().stderr
    assert told not in project.run("recreate", "--force", "p").assert_ok().stderr
    project.inside("p", works)
    project.wait_until(is_told, "it works again")
    assert told in project.run("stop", "p").assert_ok().stderr
    project.run("delete", "--force", "p").assert_ok()
