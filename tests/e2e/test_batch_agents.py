"""`batch` with the real Claude Code in real pods, against a model on loopback."""

from __future__ import annotations

import functools
import json
import shlex
from typing import Any

import pytest

from tests.e2e.test_agents import KEY, claude_cache, claude_project  # noqa: F401 - fixtures
from tests.e2e.test_batch import COMMIT, at_work, batch, states
from tests.e2e.test_readme import README, commands
from tests.support import agents
from tests.support.agents import fake_model  # noqa: F401 - a fixture
from tests.support.fake_api import Model
from tests.support.project import Project

RUN = "please-run: "
WAITS = "echo x >>/tmp/tries; touch /tmp/at-work; while [ ! -e /tmp/go ]; do sleep 0.1; done"


@pytest.mark.timeout(400)
def test_agents_work_and_are_told_once(project: Project, fake: Model) -> None:
    project.write({"ask.md": f"{RUN}echo b >b && {COMMIT.format('b')}"})
    tasks: list[dict[str, Any]] = [
        {"name": "a", "prompt": f"{RUN}{WAITS}; echo a >a && {COMMIT.format('a')}"},
        {"name": "b", "prompt_file": "ask.md", "needs": ["a"], "verify": "test -f a && test -f b"},
        {"name": "c", "prompt": "please-fail: 400"},
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    project.run("batch", "run", "--no-wait", "--trust", "batch.json").assert_ok()
    project.wait_until(functools.partial(at_work, project, "a"), "a is at work", timeout_s=120)
    assert " working" in project.run("list").stdout
    project.home.kill_daemon()
    project.exec("a", "touch", "/tmp/go")
    done = batch(project, "run", tasks=tasks)
    assert done["code"] == 7
    assert states(done) == {"a": "done", "b": "done", "c": "failed"}
    rows = {row["name"]: row for row in done["data"]["tasks"]}
    assert rows["a"]["text"] == rows["b"]["text"] == "DONE"
    assert (rows["b"]["turns"], rows["b"]["tokens_in"]) == (2, 200)
    assert rows["b"]["verify"] == "passed"
    assert "no such luck" in rows["c"]["error"]["message"]
    assert project.inside("a", "cat /tmp/tries") == "x", "told once, by whichever daemon"
    agents.keeps_no_secret(project, "a", KEY)
    asked = len(fake.asked)
    assert states(batch(project, "run", tasks=tasks)) == states(done)
    assert len(fake.asked) == asked, "nobody is asked for what is known"


@pytest.mark.one_in(3)
@pytest.mark.timeout(400)
def test_an_agent_that_was_cut_goes_on(project: Project, fake: Model) -> None:
    tasks = [{"name": "a", "prompt": f"{RUN}{WAITS}; echo a >a && {COMMIT.format('a')}"}]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    running = project.start("batch", "run", "--trust", "batch.json")
    project.wait_until(functools.partial(at_work, project, "a"), "a is at work", timeout_s=120)
    project.run("stop", "a").assert_ok()
    assert running.wait(timeout=60) == 7
    done = batch(project, "run", tasks=tasks)
    assert states(done) == {"a": "done"}
    assert "the machine you work on was restarted" in json.dumps(fake.asked[-1][1]["messages"])
    assert project.inside("a", "cat /tmp/tries") == "x"


@pytest.mark.timeout(400)
def test_the_page_of_the_readme(project: Project) -> None:
    """As it stands, but for Codex, which has tests of its own."""
    page = README.split("## Batch: many tasks from one file\n", 1)[1]
    file = page.split("```yaml\n", 1)[1].split("```", 1)[0].replace("agent: codex", "agent: claude")
    project.write({"batch.yaml": file, "prompts/docs.md": "Write the docs.\n"})
    project.commit("tests", {"run-tests": "#!/bin/sh\n"})
    (project.root / "run-tests").chmod(0o755)
    project.commit("executable")
    lines = commands("Batch: many tasks from one file")
    check, run, status, again, report, land = (shlex.split(line)[1:] for line in lines)
    assert "login, docs" in project.run(*check, "--trust").assert_ok().stdout
    assert "3 done" in project.run(*run, "--trust", timeout=300).assert_ok().stderr
    assert "passed" in project.run(*status).assert_ok().stdout
    assert "3 done" in project.run(*again).assert_ok().stderr
    assert "3 of 3 tasks done" in project.run(*report).assert_ok().stdout
    assert "0 tasks merged now" in project.run(*land).assert_ok().stderr, "they committed nothing"


@pytest.mark.one_in(2)
@pytest.mark.timeout(400)
def test_an_agent_that_used_up_its_tokens_is_ended(project: Project) -> None:
    tasks = [
        {"name": "a", "prompt": f"{RUN}sleep 987", "limits": {"tokens": 50}},
        {"name": "b", "prompt": "Say it.", "limits": {"tokens": 5000}},
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    done = project.run("batch", "run", "--trust", "batch.json", timeout=300)
    assert "Claude Code used more than 50 tokens in pod a: it was ended" in done.stderr
    status = json.loads(project.run("batch", "status", "--json").stdout)
    assert states(status) == {"a": "failed", "b": "done"}
    assert status["data"]["tasks"][0]["tokens_in"] > 0


@pytest.mark.one_in(3)
@pytest.mark.timeout(400)
def test_another_try_is_told_why(project: Project, fake: Model) -> None:
    verify = "echo because of this; test -e /tmp/tried || { touch /tmp/tried; false; }"
    tasks = [{"name": "a", "prompt": "Say it.", "verify": verify, "retries": 1}]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    done = project.run("batch", "run", "--trust", "batch.json", timeout=300).assert_ok()
    assert "a · failed, try 2" in done.stderr
    first, second = (json.dumps(body["messages"]) for _, body in fake.asked if body.get("messages"))
    assert "because of this" not in first
    assert "It printed at the end:\\n\\nbecause of this" in second
    (row,) = json.loads(project.run("batch", "status", "--json").stdout)["data"]["tasks"]
    assert (row["attempt"], row["tokens_in"]) == (2, 200), "both tries are counted"


@pytest.mark.one_in(3)
@pytest.mark.timeout(400)
def test_an_agent_that_is_not_there_any_more_is_installed_again(project: Project) -> None:
    tasks = [{"name": "a", "prompt": "Say it."}]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    project.run("batch", "run", "--trust", "batch.json", timeout=300).assert_ok()
    project.run("delete", "--force", "a").assert_ok()
    (volume,) = project.docker.volumes(str(project.home.label), "rumpel.kind=agents")
    project.docker.api.remove_volume(volume["Name"])
    tasks.append({"name": "b", "prompt": "Say it, too."})
    assert states(batch(project, "run", tasks=tasks)) == {"a": "done", "b": "done"}
