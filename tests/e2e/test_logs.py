"""`logs` over real pods: output is kept for each step, and read while it is written."""

from __future__ import annotations

import json
import signal
from typing import Any

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

CONFIG: dict[str, Any] = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}


def hook_state(project: Project) -> str:
    nodes = project.run("graph", "a", "--plan", "create", "--json").assert_ok().data["nodes"]
    return next(str(one["state"]) for one in nodes if one["id"].endswith("onCreateCommand"))


def test_output_is_kept_and_hostile_bytes_do_nothing(rumpel_project: ProjectFactory) -> None:
    hostile = r"printf 'one\n\033]0;owned\007\033[2J\342\200\256rtl \377\n'; exit 3"
    config = {**CONFIG, "onCreateCommand": "echo first", "postCreateCommand": hostile}
    project = rumpel_project(config=config)
    project.run("create", "a").assert_code(6)
    shown = project.run("logs", "a").assert_ok()
    assert "onCreateCommand | first\n" in shown.stdout
    assert "postCreateCommand | one\n" in shown.stdout
    assert "postCreateCommand · FAILED" in shown.stderr
    for raw in (shown.stdout_bytes, shown.stderr_bytes):
        assert not {byte for byte in raw if byte < 32} - {10}
        assert "\u202e".encode() not in raw
    assert project.run("logs", "a", "onCreateCommand").assert_ok().stdout == "first\n"
    pieces = project.run("logs", "a", "postCreateCommand", "--json").assert_ok().data
    assert [(one["name"], one["state"]) for one in pieces] == [("postCreateCommand", "failed")]
    assert pieces[0]["text"].startswith("one\n")
    project.run("logs", "a", "nothing").assert_error(3, "one of: ", "onCreateCommand", "container")
    project.run("logs", "b").assert_error(3, "there is no pod 'b'")


def test_a_later_attempt_and_a_later_pod_replace_what_was(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config={**CONFIG, "onCreateCommand": "echo one"})
    project.run("create", "a").assert_ok()
    changed = {**CONFIG, "onCreateCommand": "echo two"}
    project.write({".devcontainer/devcontainer.json": changed})
    project.run("create", "a").assert_ok()
    assert project.run("logs", "a", "onCreateCommand").assert_ok().stdout == "two\n"
    project.run("delete", "--force", "a").assert_ok()
    project.write({".devcontainer/devcontainer.json": CONFIG})
    project.run("create", "a").assert_ok()
    project.run("logs", "a", "onCreateCommand").assert_error(3, "no step 'onCreateCommand'")


def test_the_last_lines_of_each_step(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config={**CONFIG, "postCreateCommand": "printf '1\\n2\\n3\\n'"})
    project.run("create", "a").assert_ok()
    assert project.run("logs", "a", "postCreateCommand", "-n", "2").assert_ok().stdout == "2\n3\n"
    assert project.run("logs", "a", "postCreateCommand", "-n0").assert_ok().stdout == ""
    project.run("logs", "a", "-n", "-1").assert_error(2, "-n takes a number")


def test_lines_come_while_the_step_runs(rumpel_project: ProjectFactory) -> None:
    """The step goes on only when the reader has had its first line."""
    wait = "echo begun; until [ -e /tmp/go ]; do sleep 0.05; done; echo ended"
    project = rumpel_project(config={**CONFIG, "onCreateCommand": wait})
    creating = project.start("create", "a")
    project.wait_until(lambda: "begun" in project.run("logs", "a").stdout, "the first line")
    reader = project.start("logs", "-f", "a", "onCreateCommand")
    assert reader.stdout is not None
    assert reader.stdout.readline() == b"begun\n"
    quitter = project.start("logs", "-f", "a", "--json")
    assert quitter.stdout is not None
    assert json.loads(quitter.stdout.readline())["command"] == "logs"
    quitter.send_signal(signal.SIGINT)
    assert quitter.wait(20) == 130
    project.exec("a", "touch", "/tmp/go")
    out, said = reader.communicate(timeout=60)
    assert (reader.returncode, out) == (0, b"ended\n"), said
    assert "onCreateCommand · done".encode() in said
    assert creating.wait(60) == 0
    assert project.run("logs", "-f", "a", "onCreateCommand").stdout == "begun\nended\n"


def test_a_graph_is_watched_until_it_ends(rumpel_project: ProjectFactory) -> None:
    wait = "until [ -e /tmp/go ]; do sleep 0.05; done"
    config = {**CONFIG, "onCreateCommand": wait, "postCreateCommand": "exit 3"}
    project = rumpel_project(config=config)
    project.run("graph", "a", "--follow").assert_error(3, "no pod 'a'")
    creating = project.start("create", "a", "b", "--no-prebuild")
    project.wait_until(lambda: hook_state(project) == "running", "the hook runs")
    reader = project.start("graph", "a", "--follow", "--json")
    plain = project.start("graph", "a", "--follow")
    assert reader.stdout is not None
    assert plain.stdout is not None
    first = json.loads(reader.stdout.readline())["data"]
    states = {one["id"].rsplit("/", 1)[-1]: one["state"] for one in first["nodes"]}
    assert (states["onCreateCommand"], states["postCreateCommand"]) == ("running", "waiting")
    assert {one["pod"] for one in first["nodes"]} == {None, "a"}
    assert plain.stdout.readline() == b"a \xc2\xb7 Running onCreateCommand \xc2\xb7 running\n"
    for pod in ("a", "b"):
        project.exec(pod, "touch", "/tmp/go")
    out, _ = reader.communicate(timeout=60)
    assert creating.wait(60) == 6
    changed = [one for line in out.splitlines() for one in json.loads(line)["data"]["nodes"]]
    told = [(one["id"].rsplit("/", 1)[-1], one["state"]) for one in changed]
    assert ("onCreateCommand", "ok") in told
    assert told.count(("postCreateCommand", "failed")) == 1
    assert all(one["pod"] in (None, "a") for one in changed)
    said, _ = plain.communicate(timeout=60)
    assert (plain.returncode, reader.returncode) == (0, 0)
    assert "a · Running postCreateCommand · FAILED".encode() in said
    still = project.run("graph", "a", "--follow").assert_ok()
    assert "nothing runs now\n" in still.stderr
    assert "onCreateCommand" in still.stdout
