"""The real agents in pods that live on the user's own sign-in, against servers on loopback."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import test_agents, test_codex
from tests.support import agents, fake_sign_in
from tests.support.agents import ON_HOST
from tests.support.fake_sign_in import Server
from tests.support.project import Project, ProjectFactory

KEPT = "/rumpel/home/claude/.credentials.json"
SOON_S = 60.0
PLAIN = ("-c", "features.enable_request_compression=false", "-c", "analytics.enabled=false")


@pytest.fixture(name="server")
def token_server() -> Iterator[Server]:
    with fake_sign_in.server(lasts_s=3600) as made:
        yield made


@pytest.fixture(name="project")
def claude_project(rumpel_project: ProjectFactory, server: Server) -> Project:
    env = {
        "npm_config_cache": agents.npm_cache(test_agents.PACKAGE),
        "ANTHROPIC_BASE_URL": server.url,
        "CLAUDE_CODE_CUSTOM_OAUTH_URL": server.url,
        "RUMPEL_LEND_SIGN_IN": "true",
    }
    made = rumpel_project(config=ON_HOST)
    return agents.set_up(made, "claude", test_agents.VERSION, env)


def sign_in(project: Project, server: Server, lasts_s: float = 3600.0) -> Path:
    """As the user does, on the host; what is renewed later lasts."""
    server.lasts_s = lasts_s
    path = fake_sign_in.claude_file(project.home.path / "home/.claude", server)
    server.lasts_s = 3600.0
    return path


def access(path: Path) -> str:
    found: dict[str, Any] = json.loads(path.read_text())["claudeAiOauth"]
    return str(found["accessToken"])


def in_pod(project: Project, pod: str) -> str:
    return project.exec(pod, "cat", KEPT, check=False).stdout


def says(project: Project, pod: str, word: str) -> None:
    """And it is answered."""
    project.run("send", pod, word).assert_ok()
    waited = project.run("wait", pod, "--timeout", "50")
    shown = project.run("capture", pod).assert_ok().stdout
    assert waited.code == 0, shown
    assert "PONG" in shown.rpartition(word)[2], shown


@pytest.mark.one_in(2)
@pytest.mark.near("a server on this machine's loopback")
@pytest.mark.timeout(500)
def test_pods_live_on_across_renewals(project: Project, server: Server) -> None:
    """Of the user's program, of the daemon, and of one that follows a daemon that was killed."""
    path = sign_in(project, server)
    for pod in ("a", "b"):
        project.run("claude", "-d", pod, "--trust", "--", "first", timeout=300).assert_ok()
        project.run("wait", pod, "--timeout", "50").assert_ok()
        assert server.refresh not in in_pod(project, pod)
        assert access(path) in in_pod(project, pod)
    mode = project.exec("a", "sh", "-c", f"stat -Lc '%a %U' {KEPT}; df -T {KEPT} | tail -1").stdout
    assert mode.startswith("600 dev\n")
    assert "tmpfs" in mode
    (row, *_) = project.run("config", "--json").assert_ok().data["sign_ins"]
    assert (row["agent"], row["from"], row["state"]) == ("claude", str(path), "lent")

    for number in (1, 2):
        old = access(sign_in(project, server, SOON_S))
        _is_renewed(project, path, old)
        assert len(server.renewals) == number
        assert json.loads(path.read_text())["claudeAiOauth"]["refreshToken"] == server.refresh
        server.ends = {access(path): server.ends[access(path)]}
        for pod in "ab":
            says(project, pod, f"again {number}")
        if number == 1:
            project.home.kill_daemon()
            project.run("list").assert_ok()
    assert (server.refused, server.reused) == ([], 0)
    _is_told_of_its_end(project, server, path)


def _is_renewed(project: Project, path: Path, old: str) -> None:
    project.wait_until(lambda: access(path) != old, "it is renewed")
    now = access(path)
    project.wait_until(
        lambda: all(now in in_pod(project, pod) for pod in ("a", "b")), "the pods have it"
    )


def _is_told_of_its_end(project: Project, server: Server, path: Path) -> None:
    sign_in(project, server, SOON_S)
    server.end_all()

    def states() -> list[str]:
        rows = project.run("list", "--json").assert_ok().data
        return [row["agent"]["state"] for row in rows]

    project.wait_until(lambda: states() == ["signed-out"] * 2, "it is told")
    time.sleep(5)
    assert server.reused == 1, "nobody tries what cannot be"
    project.home.kill_daemon()
    refused = project.run("claude", "-d", "c")
    refused.assert_error(2, "your sign-in with Claude Code in", "has ended", "claude auth login")
    time.sleep(3)
    assert server.reused == 1
    assert states() == ["signed-out"] * 2
    (row, *_) = project.run("config", "--json").assert_ok().data["sign_ins"]
    assert row["state"] == "signed-out"
    sign_in(project, server)
    project.wait_until(lambda: access(path) in in_pod(project, "b"), "the new sign-in is lent")
    assert states() == ["waiting"] * 2
    says(project, "b", "and on")
    _goes_with_the_agent(project)


def _goes_with_the_agent(project: Project) -> None:
    """Which says that it ends a while before it does."""
    told = "RUMPEL_FIFO=$PWD/.git/rumpel/fifo sh /rumpel/home/.status.sh claude ended"
    project.exec("a", "sh", "-c", told, user="dev")
    project.run("send", "b", "/exit").assert_ok()
    project.wait_until(lambda: in_pod(project, "b") == "", "it goes with the agent")
    assert in_pod(project, "a") != "", "this one lives"
    end = "SCREENDIR=/rumpel/home/.screen screen -S rumpel-claude -X quit"
    project.exec("a", "sh", "-c", end, user="dev")
    project.wait_until(lambda: in_pod(project, "a") == "", "it goes with this one, too")


@pytest.mark.timeout(500)
@pytest.mark.one_in(3)
def test_starts_at_once_keep_what_they_are_lent(project: Project, server: Server) -> None:
    """Each looks after all that is lent, and an agent that starts is not alive yet."""
    path = sign_in(project, server)
    project.run("create", *"abcd", "--trust", timeout=300).assert_ok()
    project.run("claude", "-d", "a", "--", "first", timeout=300).assert_ok()
    began = [project.start("claude", "-d", pod, "--", "first") for pod in "bcd"]
    assert [one.wait(120) for one in began] == [0, 0, 0]
    project.run("wait", *"abcd", "--timeout", "60").assert_ok()
    time.sleep(5)
    assert all(access(path) in in_pod(project, pod) for pod in "abcd")
    assert (server.refused, server.reused) == ([], 0)


@pytest.mark.timeout(400)
@pytest.mark.one_in(3)
def test_a_run_lives_on_across_a_renewal(project: Project, server: Server) -> None:
    sign_in(project, server)
    project.run("create", "a", "--trust", timeout=300).assert_ok()
    project.run("run", "a", "-p", "warm", timeout=300).assert_ok()
    sign_in(project, server, 660.0)  # soon due
    run = project.start("run", "a", "-p", "please-run: sleep 12")
    project.wait_until(lambda: any("sleep 12" in str(body) for _, body in server.asked), "it works")
    old = dict(server.ends)
    sign_in(project, server, SOON_S)
    server.ends |= dict.fromkeys(old, 0.0)  # what it began with ends in the middle
    assert run.wait(90) == 0
    assert (server.refused, server.reused, len(server.renewals)) == ([], 0, 1)
    project.wait_until(lambda: in_pod(project, "a") == "", "nobody needs it any more")


@pytest.mark.timeout(400)
@pytest.mark.one_in(2)
def test_a_command_prints_the_key(project: Project, server: Server) -> None:
    key = "sk-ant-canary-printed-1f2e3d4c5b6a79808192"
    server.ends[""] = time.time() + 900  # a key is no bearer
    settings = Path(project.home.env["XDG_CONFIG_HOME"]) / "rumpel/config.json"
    settings.parent.mkdir(exist_ok=True)

    def printing(command: str) -> None:
        settings.write_text(json.dumps({"signInCommands": {"ANTHROPIC_API_KEY": command}}))

    printing('test -n "$HOME" && echo "$PREFIX-1f2e3d4c5b6a79808192"')
    env = {"PREFIX": "sk-ant-canary-printed"}
    run = ("run", "a", "--trust", "-p", "x")
    project.run(*run, env=env, timeout=300).assert_ok()
    assert {headers["x-api-key"] for headers, _ in server.asked} == {key}
    (row, *_) = project.run("config", "--json").assert_ok().data["sign_ins"]
    assert row["from"] == "signInCommands (ANTHROPIC_API_KEY)"
    agents.keeps_no_secret(project, "a", key)

    given = project.run(*run, env={"ANTHROPIC_API_KEY": "sk-ant-given-0123456789abcdef"})
    given.assert_ok()
    assert server.asked[-1][0]["x-api-key"].startswith("sk-ant-given"), "the nearer one wins"
    for command, words in (
        (f"echo {key}; exit 3", "exited with 3"),
        (f"echo {key}; echo more", "did not print one key"),
        (f"yes {key}", "could not be run to its end"),
        ("true", "did not print one key"),
    ):
        printing(command)
        said = project.run(*run)
        said.assert_error(2, "the command for ANTHROPIC_API_KEY", words)
        assert key not in said.stderr.replace(command, "")
    assert key not in project.home.log

    settings.unlink()
    project.write({".rumpelpod.json": json.dumps({"signInCommands": {"OPENAI_API_KEY": "id"}})})
    said = project.run("config")
    said.assert_error(2, "signInCommands is not a repository's to set")


@pytest.mark.near("a server on this machine's loopback")
@pytest.mark.timeout(400)
@pytest.mark.one_in(2)
def test_codex_lives_on_a_sign_in_of_chatgpt(
    rumpel_project: ProjectFactory, server: Server
) -> None:
    project = agents.set_up(
        rumpel_project(config=ON_HOST),
        "codex",
        test_codex.VERSION,
        {
            "npm_config_cache": agents.npm_cache(test_codex.PACKAGE),
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "CODEX_REFRESH_TOKEN_URL_OVERRIDE": f"{server.url}/oauth/token",
            "RUMPEL_LEND_SIGN_IN": "true",
        },
    )
    home = project.home.path / "home/.codex"
    fake_sign_in.codex_file(home, server)
    rest = ("--", *PLAIN, "-c", f'chatgpt_base_url="{server.url}/backend-api"')
    run = ("run", "a", "--agent", "codex", "--trust", "-p")
    project.run(*run, "x", *rest, timeout=300).assert_ok()
    headers, _ = server.asked[-1]
    assert headers["chatgpt-account-id"] == "account-1"
    begun = project.start(*run, "please-run: sleep 12", *rest)
    project.wait_until(lambda: any("sleep 12" in str(body) for _, body in server.asked), "it works")
    kept = project.exec("a", "cat", "/rumpel/home/codex/auth.json").stdout
    assert "chatgptAuthTokens" in kept
    assert server.refresh not in kept
    old = dict(server.ends)
    server.lasts_s = SOON_S
    fake_sign_in.codex_file(home, server)
    server.lasts_s = 3600.0
    server.ends |= dict.fromkeys(old, 0.0)
    assert begun.wait(90) == 0
    assert (server.reused, len(server.renewals)) == (0, 1)
    assert set(server.refused) <= old.keys(), "it looks again when one is refused"
    assert server.refresh in (home / "auth.json").read_text()
