"""`events` over real pods: nothing is lost or told twice, whoever reads when."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

CONFIG: dict[str, Any] = {
    "image": MINI_IMAGE,
    "runArgs": ["--network=none"],
    "postStartCommand": "exit 3",
}


def told(project: Project, *args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.run("events", *args, "--json").assert_ok().data
    return found


def next_event(reader: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert reader.stdout is not None
    (found,) = json.loads(reader.stdout.readline())["data"]
    assert isinstance(found, dict)
    return found


def test_a_follower_reads_what_is_kept_each_once(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    reader = project.start("events", "-f", "--json", "--since", "0")
    project.run("create", "a", "b").assert_ok()
    project.run("stop", "a").assert_ok()
    kept = told(project, "--since", "0")
    assert [one["seq"] for one in kept] == list(range(1, len(kept) + 1))
    assert [next_event(reader) for _ in kept] == kept
    verbs = [one["verb"] for one in kept if one["kind"] == "run-ended"]
    assert verbs == ["image", "create", "stop"]
    assert next(one for one in kept if one.get("verb") == "create")["pods"] == ["a", "b"]
    middle = len(kept) // 2
    assert told(project, "--since", str(middle)) == kept[middle:]
    assert told(project, "-n", "3") == kept[-3:]
    assert told(project, "--since", str(len(kept))) == []
    project.run("events", "--since", "99999").assert_error(2, f"the newest one is {len(kept)}")


def test_commits_are_told_when_they_are_here(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    last = told(project)[-1]["seq"]
    reader = project.start("events", "-f", "--json", "--since", str(last))
    script = "cd /workspaces/repo && git commit -q --allow-empty -m work && git rev-parse HEAD"
    oid = project.exec("a", "sh", "-ec", script).stdout.strip()
    event = next_event(reader)
    assert (event["kind"], event["pods"], event["branches"]) == ("commits", ["a"], {"a": oid})
    assert project.repo.published()["a"] == oid
    project.exec("a", "git", "-C", "/workspaces/repo", "branch", "other")
    assert next_event(reader)["branches"] == {"other": oid}
    project.exec("a", "git", "-C", "/workspaces/repo", "branch", "-D", "other")
    assert next_event(reader)["gone"] == ["other"]
    project.home.kill_daemon()
    project.run("list").assert_ok()
    project.exec("a", "sh", "-ec", script)
    project.wait_until(lambda: told(project)[-1]["kind"] == "commits", "the next one is told")
    assert "a · commits · a at " in project.run("events", "a").assert_ok().stdout


def test_only_what_is_asked_for(rumpel_project: ProjectFactory) -> None:
    project, other = rumpel_project(), rumpel_project(name="other")
    project.run("create", "a", "b").assert_ok()
    other.run("create", "a").assert_ok()
    ours = told(project)
    of_a = told(project, "a")
    assert {tuple(one["pods"]) for one in of_a} == {(), ("a",), ("a", "b")}
    assert [one for one in ours if one["pods"] != ["b"]] == of_a
    assert {one["run"] for one in told(other)}.isdisjoint({one["run"] for one in ours})
    assert len(told(project, "--all")) == len(ours) + len(told(other))
    missing = project.run("events", "nobody").assert_ok()
    assert "there is no pod 'nobody'" in missing.stderr


def test_a_failure_and_a_lost_daemon(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("create", "a").assert_code(6)
    shown = project.run("events", "a").assert_ok().stdout
    assert "a · postStartCommand · FAILED: " in shown
    assert shown.splitlines()[-1].endswith("· create (2) · FAILED: postStartCommand a")
    reader = project.start("events", "-f", "-n", "1")
    assert reader.stdout is not None
    reader.stdout.readline()
    last = told(project)[-1]["seq"]
    project.home.kill_daemon()
    _, said = reader.communicate(timeout=30)
    assert reader.returncode == 1
    assert f"try: rumpel events -f --since {last}" in said.decode()
    project.run("create", "a").assert_code(6)
    again = told(project, "--since", str(last))
    assert [one["seq"] for one in again] == list(range(last + 1, last + 1 + len(again)))
    assert again[-1]["kind"] == "run-ended"


def test_ctrl_c_leaves_no_reader_behind(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    for _ in range(3):
        reader = project.start("events", "-f", "-n", "1")
        assert reader.stdout is not None
        reader.stdout.readline()
        reader.send_signal(signal.SIGINT)
        assert reader.wait(10) == 130
    project.run("daemon", "stop").assert_ok()
