"""`doctor` with real pods and a real engine."""

from __future__ import annotations

from typing import Any

import pytest

from rumpel import names
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory


def findings(project: Project, **more: Any) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in project.run("doctor", "--json", **more).data:
        found.setdefault(one["check"], []).append(one)
    return found


def states(found: dict[str, list[dict[str, Any]]]) -> dict[str, str]:
    return {check: rows[0]["state"] for check, rows in found.items() if check != "disk"}


def test_all_is_well(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a", "b").assert_ok()
    project.run("stop", "b").assert_ok()
    found = findings(project)
    assert set(states(found).values()) == {"ok"}, found
    assert found["pods"][0]["text"] == "2 pods, 1 running"
    project.run("delete", "a", "b").assert_ok()
    assert set(states(findings(project)).values()) == {"ok"}, "the trash is no leftover"
    elsewhere = findings(project, cwd=project.home.path)
    assert "nothing to look at" in elsewhere["repository"][0]["text"]


@pytest.mark.near("it looks for pods of nobody, which a remote engine cannot give back")
def test_what_is_wrong_is_found_and_the_hint_helps(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    project.git("remote", "add", "--mirror=push", "backup", "/nowhere")
    project.git("update-ref", "refs/remotes/rumpelpod/odd", "HEAD")
    assert project.home.label is not None
    label, value = project.home.label.split("=")
    owned = {label: value, names.LABEL_KIND: "volume", names.LABEL_POD_ID: "0" * 16}
    volume = f"rumpel-left-{value}"
    project.docker.api.create_volume(volume, labels=owned)
    project.exec("a", "rm", "/workspaces/repo/.git/hooks/reference-transaction")
    found = findings(project)
    wrong = {check for check, state in states(found).items() if state != "ok"}
    assert wrong == {"remotes", "repository", "leftovers", "pods"}
    assert found["leftovers"][0]["hint"] == f"docker volume rm {volume}"
    project.docker.api.remove_volume(volume)
    assert found["remotes"][0]["hint"] == "git config --unset-all remote.backup.mirror"
    project.git(*found["remotes"][0]["hint"].split()[1:])
    project.git(*found["repository"][0]["hint"].split()[1:])
    assert "the git hook of a is gone" in found["pods"][0]["text"]
    left = states(findings(project))
    assert {check for check, state in left.items() if state != "ok"} == {"pods"}


def test_a_pod_that_is_gone_is_told(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a", "b").assert_ok()
    project.run("daemon", "restart").assert_ok()
    if project.docker.is_podman:  # its connections may take longer than one look waits for
        project.wait_until(
            lambda: [row["text"] for row in findings(project)["pods"]] == ["2 pods, 2 running"],
            "it is connected",
        )
    found = findings(project)["pods"]
    assert [row["state"] for row in found] == ["ok"], found
    project.docker.api.remove_container(project.container_id("a"), force=True)
    project.wait_until(
        lambda: (
            {row["name"]: row["status"] for row in project.run("list", "--json").data}["a"]
            == "gone"
        ),
        "the daemon knows",
    )
    (row,) = findings(project)["pods"]
    assert (row["state"], row["hint"]) == ("warning", "rumpel create a")
    assert "container of pod a is gone" in row["text"]
    project.run("create", "a").assert_ok()
    assert [row["state"] for row in findings(project)["pods"]] == ["ok"]


def test_an_engine_that_is_gone_is_a_problem(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config={"image": MINI_IMAGE})
    env = {"DOCKER_HOST": f"unix://{project.home.path}/none.sock"}
    shown = project.run("doctor", env=env).assert_error(1, "problem")
    assert "Docker is not running at unix://" in shown.stdout
    assert "ok       git " in shown.stdout
