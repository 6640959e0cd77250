"""`graph`: what would run and why, without running anything; and plain doit says the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

CONFIG: dict[str, Any] = {
    "image": MINI_IMAGE,
    "runArgs": ["--network=none"],
    "containerEnv": {"A": "one"},
    "onCreateCommand": "true",
    "postStartCommand": "true",
}
CONFIG_FILE = ".devcontainer/devcontainer.json"


def nodes(project: Project, *args: str) -> dict[str, dict[str, Any]]:
    """Kind (or hook) -> node."""
    data = project.run("graph", "p", *args, "--json").assert_ok().data
    return {
        node["id"].rsplit("/", 1)[-1] if node["kind"] == "lifecycle" else node["kind"]: node
        for node in data["nodes"]
    }


def states(project: Project, *args: str) -> dict[str, str]:
    return {name: node["state"] for name, node in nodes(project, *args).items()}


def test_everything_is_cached_and_asking_changes_nothing(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("graph", "p").assert_error(3, "there is no pod 'p'")
    project.run("graph", "p", "--follow").assert_error(3, "there is no pod 'p'")
    for verb in ("create", "enter"):
        found = states(project, "--plan", verb)
        assert "container" in found
        assert set(found.values()) <= {"stale", "may-run"}, "a pod that is not there yet"
    assert project.containers() == []
    project.run("create", "p").assert_ok()
    assert set(states(project).values()) == {"cached"}
    container = project.container_id("p")
    again = project.run("create", "p").assert_ok()
    assert "up to date" in again.stdout
    assert project.container_id("p") == container


@pytest.mark.parametrize(
    ("change", "node", "subject"),
    [
        ({"containerEnv": {"A": "two"}}, "container", "containerEnv"),
        ({"runArgs": ["--network=none", "--hostname=other"]}, "container", "runArgs"),
        ({"init": False}, "container", "init"),
        ({"onCreateCommand": "echo changed"}, "onCreateCommand", "onCreateCommand"),
        ({"postStartCommand": "echo changed"}, "postStartCommand", "postStartCommand"),
        ({"remoteEnv": {"B": "new"}}, "onCreateCommand", "remoteEnv"),
        ({"workspaceFolder": "/workspaces/elsewhere"}, "tools", "workspaceFolder"),
        ({"image": "no-such-image:1"}, "image", "image"),
    ],
)
def test_the_reason_names_what_changed(
    rumpel_project: ProjectFactory, change: dict[str, Any], node: str, subject: str
) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("create", "p").assert_ok()
    project.write({CONFIG_FILE: {**CONFIG, **change}})
    found = nodes(project)[node]
    assert found["state"] == "stale"
    assert any(reason["subject"].startswith(subject) for reason in found["reasons"]), found
    text = project.run("graph", "p", "--why", found["id"]).assert_ok().stdout
    assert subject in text


def test_a_hook_that_changed_runs_again_and_nothing_before_it(
    rumpel_project: ProjectFactory,
) -> None:
    config = {**CONFIG, "onCreateCommand": "echo one >>/tmp/log"}
    project = rumpel_project(config=config)
    project.run("create", "p").assert_ok()
    container = project.container_id("p")
    changed = {**config, "postCreateCommand": "echo two >>/tmp/log"}
    project.write({CONFIG_FILE: changed})
    project.run("create", "p").assert_ok()
    assert project.exec("p", "cat", "/tmp/log").stdout == "one\ntwo\n"
    assert project.container_id("p") == container


def test_drift_is_found(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("create", "p").assert_ok()
    container = project.container_id("p")
    project.docker.api.stop(container, timeout=1)
    project.wait_until(lambda: states(project)["container"] == "stale", "the stop is seen")
    (reason,) = nodes(project)["container"]["reasons"]
    assert "exited" in json.dumps(reason)
    project.docker.api.remove_container(container, force=True)
    project.wait_until(lambda: "removed" in json.dumps(nodes(project)["container"]), "it is gone")


@pytest.mark.parametrize("format", ["tree", "dot", "mermaid", "html", "svg", "json"])
def test_formats(rumpel_project: ProjectFactory, format: str) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("create", "p").assert_ok()
    first = project.run("graph", "p", "--format", format).assert_ok().stdout
    assert "container" in first
    assert first == project.run("graph", "p", "--format", format).assert_ok().stdout
    for verb in ("enter", "stop", "delete"):
        project.run("graph", "p", "--plan", verb).assert_ok()


def test_history_and_critical_path(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("create", "p").assert_ok()
    project.write({CONFIG_FILE: {**CONFIG, "postStartCommand": "exit 3"}})
    project.run("create", "p").assert_code(6)
    data = project.run("graph", "p", "--history", "--json").assert_ok().data
    last, first = data["history"][:2]
    assert (last["state"], first["state"]) == ("failed", "ok")
    assert last["ran"] == 1
    assert last["trigger"]["reason"]["subject"] == "postStartCommand"
    project.run("enter", "p", "--", "true").assert_code(6)
    newest = project.run("graph", "p", "--history", "--json").assert_ok().data["history"][0]
    assert newest["verb"] == "enter"
    assert data["critical_path"]["total_s"] <= data["critical_path"]["sum_s"]
    shown = project.run("graph", "p", "--history").assert_ok().stdout
    assert "postStartCommand" in shown.splitlines()[1]
    assert "on this path" in project.run("graph", "p", "--critical-path").assert_ok().stdout
    project.run("graph", "p", "--history", "--format", "dot").assert_code(2)


def test_a_plan_does_not_show_how_it_went_the_last_time(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("enter", "p", "--", "touch", "dirty").assert_ok()
    project.run("delete", "p").assert_code(4)
    found = nodes(project, "--plan", "delete")
    assert {node["state"] for node in found.values()} == {"stale"}
    assert found["guard"]["error"] is None
    assert found["guard"]["duration_s"] is None
    why = project.run("graph", "p", "--plan", "delete", "--why", "guard").assert_ok().stdout
    assert "runs every time" in why
    assert "\\n" not in why


def test_doit_agrees(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("create", "p").assert_ok()
    dodo = tmp_path / "dodo.py"
    dodo.write_text(project.run("graph", "p", "--format", "doit").assert_ok().stdout)

    def doit(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "doit", args[0], "-f", str(dodo), *args[1:]],
            cwd=tmp_path,
            env={**os.environ, **project.home.env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    listed = doit("list", "--status", "--all")
    assert listed.count("U ") == len(nodes(project)), listed
    project.write({CONFIG_FILE: {**CONFIG, "containerEnv": {"A": "two"}}})
    listed = doit("list", "--status", "--all")
    stale = [line for line in listed.splitlines() if line.startswith("R ")]
    assert len(stale) == sum(state != "cached" for state in states(project).values()), listed
    name = next(line.split()[1] for line in stale if "container" in line)
    assert "containerEnv" in doit("info", name)
