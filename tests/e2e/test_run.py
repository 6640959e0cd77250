"""`run`: the real Claude Code without a terminal in real pods, against a model on loopback."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest

from rumpel import names
from tests.e2e.test_agents import KEY, claude_cache, claude_project  # noqa: F401 - fixtures
from tests.support.agents import fake_model  # noqa: F401 - a fixture
from tests.support.fake_api import Model
from tests.support.outcome import Outcome
from tests.support.project import Project

CANARY = "canary-of-the-prompt-5b1c"
LOOK = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' >/tmp/argv"
COMMIT = "echo made >new && git add new && git commit -qm 'by the agent'"
LONG = "date >early && git add early && git commit -qm early && touch /tmp/at-work && sleep 987"
SECONDS = 120.0


@pytest.mark.timeout(400)
def test_what_never_began_does_not_go_on(project: Project, fake: Model) -> None:
    """The agent itself would begin another conversation, and say nothing of it."""
    project.run("create", "a", "--trust").assert_ok()
    project.run("run", "a", "--continue", "-p", "x").assert_error(
        3, "Claude Code has no conversation in pod a that could go on", "without --continue"
    )
    assert fake.asked == []
    assert states(project) == {"a": None}


@pytest.mark.timeout(400)
def test_a_task_from_its_prompt_to_the_merge(project: Project, fake: Model) -> None:
    task = f"{CANARY}\nplease-run: {LOOK}; {COMMIT}"
    done = project.run("run", "a", "--trust", "-p", "-", input=task, timeout=300).assert_ok()
    assert done.stdout == "DONE\n"
    oid = project.inside("a", "git rev-parse HEAD")
    for words in (
        f"> Bash  {LOOK}; {COMMIT}\n",
        ", 2 turns, 200 tokens in, 40 out, $0.0016\n",
        f"a · 1 commit arrived on a, now at {oid[:10]}\n",
        "next: rumpel review a\n",
    ):
        assert words in done.stderr
    assert "DONE" not in done.stderr, "the last text is the result"
    assert project.git("rev-parse", "rumpelpod/a") == oid
    assert states(project) == {"a": "done"}
    told = [headers for headers, body in fake.asked if "You are in a pod" in json.dumps(body)]
    assert {headers["x-api-key"] for headers in told} == {KEY}
    assert "DONE" in project.run("logs", "a", "run").assert_ok().stdout
    _keeps_no_secret(project)

    _goes_on(project, fake)
    _fails(project)
    project.run("run", "a", "-p", "x", env={"ANTHROPIC_API_KEY": None}).assert_error(
        2, "nothing signs Claude Code in", "ANTHROPIC_API_KEY"
    )
    project.run("merge", "a").assert_ok()
    assert (project.root / "new").read_text() == "made\n"


def _keeps_no_secret(project: Project) -> None:
    """Neither the key nor the prompt: not on the host, not in what Docker shows, in no argument."""
    api, container = project.docker.api, project.container_id("a")
    places = {
        "inspect": json.dumps(api.inspect_container(container)),
        "logs": api.logs(container).decode(errors="replace"),
        "rumpel": project.run("logs", "a").stdout + project.run("events").stdout,
        "argv": project.exec("a", "cat", "/tmp/argv").stdout,
    }
    assert "stream-json" in places["argv"]
    for path in project.home.path.rglob("*"):
        if path.is_file():
            places[str(path)] = path.read_bytes().decode(errors="replace")
    found = [
        (place, secret) for place in places for secret in (KEY, CANARY) if secret in places[place]
    ]
    assert found == []
    kept = project.exec("a", "grep", "-rlF", KEY, names.AGENT_HOME_PATH, "/tmp", check=False)
    assert kept.stdout == ""


def _goes_on(project: Project, fake: Model) -> None:
    said = project.run("run", "a", "--continue", "-p", "hello", "--json").assert_ok()
    events = [json.loads(line) for line in said.stdout.splitlines()]
    assert {event["command"] for event in events} == {"run"}
    assert [event["data"]["kind"] for event in events] == ["start", "text", "usage", "result"]
    result = events[-1]["data"]
    assert result["text"] == events[1]["data"]["text"] == "PONG"
    assert (result["turns"], result["cost_usd"], result["tokens_in"]) == (1, 0.0008, 100)
    assert result["session"] == events[0]["data"]["session"]
    assert result["arrived"] == []
    assert CANARY in json.dumps(fake.asked[-1][1]["messages"]), "the same conversation"


def _fails(project: Project) -> None:
    again = "please-run: date >more; git add more; git commit -qm more"
    failed = project.run("run", "a", "-p", again, "--max-turns", "1")
    failed.assert_error(6, "failed in pod a: it used up its turns", "rumpel run a --continue")
    assert "a · 1 commit arrived on a" in failed.stderr, "what it did until then counts"
    assert states(project) == {"a": "failed"}
    project.run("run", "a", "-p", "please-fail: 400").assert_error(6, "no such luck")
    project.run("run", "a", "-p", "x", "--", "--no-such").assert_error(6, "unknown option")
    envelope = project.run("run", "a", "-p", "please-fail: 400", "--json").assert_code(6)
    last = json.loads(envelope.stdout.splitlines()[-1])
    assert last["error"]["code"] == "command-failed"
    assert last["data"]["state"] == "failed"


@pytest.mark.timeout(400)
@pytest.mark.one_in(2)
def test_one_that_is_ended(project: Project) -> None:
    project.run("create", "a", "--trust").assert_ok()
    running = _started(project)
    project.wait_for_ref("a", project.inside("a", "git rev-parse HEAD"))
    assert states(project) == {"a": "working"}
    for other in (
        ["run", "a", "-p", "x"],
        ["claude", "-d", "a"],
        ["capture", "a"],
        ["recreate", "a", "--force"],
    ):
        project.run(*other).assert_error(4, "Claude Code is at work in pod a", "rumpel logs -f a")
    _ends_at(signal.SIGINT, project, running)
    _ends_at(signal.SIGTERM, project, _started(project))

    late = project.run("run", "a", "-p", f"please-run: {LONG}", "--timeout", "8s")
    late.assert_error(124, "did not end within 8.00 s in pod a", "rumpel run a --continue")
    assert left(project) == []
    assert states(project) == {"a": "failed"}

    running = _started(project)
    project.home.kill_daemon()
    assert "rumpel logs a run" in _ended(running)[2]
    project.wait_until(lambda: states(project) == {"a": "failed"}, "the next daemon says so")
    project.wait_until(lambda: left(project) == [], "and ends what is left")

    running = _started(project)
    project.run("stop", "a").assert_ok()
    code, _, err = _ended(running)
    assert code == 6
    assert "pod a is stopped" in err


def _ends_at(number: int, project: Project, running: subprocess.Popen[bytes]) -> None:
    running.send_signal(number)
    code, _, err = _ended(running)
    assert code == 130
    assert "ending the agent" in err
    assert "Claude Code was ended in pod a" in err
    assert left(project) == []
    assert states(project) == {"a": "ended"}


def _started(project: Project) -> subprocess.Popen[bytes]:
    project.exec("a", "rm", "-f", "/tmp/at-work")
    running = project.start("run", "a", "-p", f"please-run: {LONG}")
    project.wait_until(lambda: _is_at_work(project), "the agent is at work", timeout_s=SECONDS)
    return running


def _is_at_work(project: Project) -> bool:
    return bool(project.exec("a", "test", "-e", "/tmp/at-work", check=False).code == 0)


def _ended(running: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    out, err = running.communicate(timeout=SECONDS)
    return running.returncode, out.decode(), err.decode()


def left(project: Project) -> list[str]:
    """Processes of the agent in the pod."""
    listed = project.exec("a", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    return [word for word in ("stream-json", "sleep 987") if word in listed]


def states(project: Project) -> dict[str, Any]:
    rows = project.run("list", "--json").assert_ok().data
    return {row["name"]: (row["agent"] or {}).get("state") for row in rows}


def test_what_cannot_be_run_is_said(project: Project) -> None:
    def refused(*args: str, **how: Any) -> Outcome:
        return project.run("run", "p", *args, **how)

    refused("-p", "x", "--continue").assert_error(
        3, "there is no pod 'p' of this repository, so nothing goes on in it"
    )
    refused("-p", "x", env={"ANTHROPIC_API_KEY": None}).assert_error(
        2, "nothing signs Claude Code in", "claude setup-token"
    )
    refused("-p", "x", "--agent", "nobody").assert_error(2, "there is no agent 'nobody': claude")
    assert project.containers() == []
    assert project.run("list", "-q").assert_ok().stdout == ""
