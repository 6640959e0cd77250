"""`run --agent codex`: the real Codex without a terminal, against a model on loopback."""

from __future__ import annotations

import json

import pytest

from tests.e2e.test_codex import KEY, codex_cache, codex_project  # noqa: F401 - fixtures
from tests.support import agents
from tests.support.agents import fake_model  # noqa: F401 - a fixture
from tests.support.fake_api import Model
from tests.support.project import Project

COMMIT = "echo made >new && git add new && git commit -qm 'by the agent'"


@pytest.mark.timeout(400)
@pytest.mark.one_in(2)
def test_codex_does_a_task(project: Project, fake: Model) -> None:
    run = ("run", "a", "--agent", "codex", "-p")
    done = project.run(*run, f"please-run: {COMMIT}", "--trust", timeout=300).assert_ok()
    assert done.stdout == "DONE\n"
    assert f"> Bash  {COMMIT}\n" in done.stderr
    assert "200 tokens in, 40 out\n" in done.stderr
    oid = project.inside("a", "git rev-parse HEAD")
    assert f"a · 1 commit arrived on a, now at {oid[:10]}" in done.stderr
    told = [headers for headers, body in fake.asked if "You are in a pod" in json.dumps(body)]
    assert {headers["authorization"] for headers in told} == {f"Bearer {KEY}"}
    again = "please-run: echo more >>new; git commit -qam more"
    project.run(*run, again, "--continue").assert_ok()
    assert COMMIT in json.dumps(fake.asked[-1][1]["input"]), "the same conversation"
    assert project.git("show", "-s", "--format=%s", "rumpelpod/a") == "more"
    (row,) = project.run("list", "--json").assert_ok().data
    assert (row["agent"]["name"], row["agent"]["state"]) == ("codex", "done")
    project.run(*run, "please-fail: 400").assert_error(6, "Codex failed in pod a: no such luck")
    project.run(*run, "x", "--max-cost", "1").assert_error(2, "Codex has no limit in dollars")
    agents.keeps_no_secret(project, "a", KEY)


@pytest.mark.timeout(400)
@pytest.mark.one_in(2)
def test_codex_does_a_task_of_a_batch(project: Project) -> None:
    agents.does_a_batch(project, "codex")
