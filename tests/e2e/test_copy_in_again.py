"""`copyIn` and pods that are recreated: they keep what they were given, or are given it."""

from __future__ import annotations

import os

import pytest

from tests.e2e.test_adopt import lose_the_database
from tests.support.copied_in import (
    MINE,
    NODE,
    SECRET,
    image_with,
    prepared,
    set_up,
    without_all_rights,
)
from tests.support.project import Project, ProjectFactory


@pytest.fixture
def project(rumpel_project: ProjectFactory) -> Project:
    return prepared(rumpel_project)


def test_a_pod_that_is_there_keeps_its_own(project: Project) -> None:
    project.run("create", "a", env=MINE).assert_ok()
    project.inside("a", "echo mine >.env; rm conf/dev.local")
    project.write({".env": "another\n"})
    assert "up to date" in project.run("create", "a", env=MINE).assert_ok().stdout
    see = "cat .env; ls conf"
    assert project.inside("a", see) == "mine\nbase"
    project.run("recreate", "a", "--force", env={"RUMPEL_KEEP_IGNORED": "nothing"}).assert_ok()
    assert project.inside("a", see) == "mine\nbase"
    assert "up to date" in project.run("create", "a", env=MINE).assert_ok().stdout
    assert "copied" not in project.run("recreate", "a", "--force").assert_ok().stderr
    again = project.run("recreate", "a", "--clean").assert_ok()
    assert "copied 2 files" in again.stderr
    assert project.inside("a", see) == "another\nbase\ndev.local"
    project.docker.api.remove_container(project.container_id("a"), force=True)
    project.run("create", "a").assert_ok()
    assert project.inside("a", see) == "another\nbase\ndev.local"


def test_what_is_carried_needs_no_other_pattern(project: Project) -> None:
    project.run("create", "a", env=MINE).assert_ok()
    project.inside("a", "echo more >>conf/dev.local")
    env = {"RUMPEL_KEEP_IGNORED": "nothing"}
    planned = project.run("recreate", "a", "--force", "--plan", "--json", env=env).assert_ok().data
    assert planned["gone"] == []
    project.run("recreate", "a", "--force", env=env).assert_ok()
    assert project.inside("a", "cat .env conf/dev.local") == f"{SECRET}dev\nmore"


def test_what_is_asked_for_again(project: Project) -> None:
    project.run("create", "a", env=MINE).assert_ok()
    project.inside("a", "echo mine >.env; rm conf/dev.local")
    before = project.container_id("a")
    said = project.run("recreate", "a", "--refresh", NODE).assert_ok()
    assert "copied 1 file: conf/dev.local" in said.stderr
    assert "pod a has its own: .env" in said.stderr
    assert project.inside("a", "cat .env conf/dev.local") == "mine\ndev"
    assert project.container_id("a") == before


def test_a_pod_keeps_its_own_on_a_mount(project: Project) -> None:
    """Where nothing has to be carried over, as the whole workspace stays."""
    image_with(project, "VOLUME /workspaces/repo")
    project.run("create", "a", env=MINE).assert_ok()
    before = project.container_id("a")
    project.inside("a", "echo mine >.env; rm conf/dev.local")
    assert "copied" not in project.run("recreate", "a", "--force").assert_ok().stderr
    assert project.container_id("a") != before
    assert project.inside("a", "cat .env; ls conf") == "mine\nbase"


@pytest.mark.parametrize("point", ["retire.effect-after", "recreate.swapped"])
@pytest.mark.parametrize("clean", [False, True])
def test_a_recreate_is_killed_when_it_has_swapped(
    project: Project, point: str, *, clean: bool
) -> None:
    project.run("create", "a", env=MINE).assert_ok()
    before = project.container_id("a")
    project.inside("a", "echo mine >.env; rm conf/dev.local")
    project.run("daemon", "stop").assert_ok()
    fault = {"RUMPEL_FAULT": f"{point}:1:kill"}
    project.run("recreate", "a", "--clean" if clean else "--force", env=fault)
    project.wait_until(lambda: not project.home.daemon_pids(), "the daemon dies")
    see = "cat .env; ls conf"
    expected = f"{SECRET}base\ndev.local" if clean else "mine\nbase"
    assert project.inside("a", see) == expected
    project.run("create", "a").assert_ok()
    assert project.inside("a", see) == expected
    assert project.container_id("a") != before


@pytest.mark.parametrize("fault", ["clone.effect-before:1:kill", "sync.effect-before:1:raise"])
def test_a_container_that_was_removed_took_its_files_with_it(project: Project, fault: str) -> None:
    """Whoever makes the next one, and however often that takes."""
    project.run("create", "a", env=MINE).assert_ok()
    project.docker.api.remove_container(project.container_id("a"), force=True)
    project.run("daemon", "stop").assert_ok()
    assert project.run("recreate", "a", "--force", env={"RUMPEL_FAULT": fault}).code != 0
    project.run("create", "a").assert_ok()
    assert project.inside("a", "cat .env conf/dev.local") == f"{SECRET}dev"


def test_a_clean_recreate_that_could_not_copy(project: Project) -> None:
    """What the pod was given before does not count for the one that it is now."""
    project.run("create", "a", env=MINE).assert_ok()
    project.run("daemon", "stop").assert_ok()
    fault = {"RUMPEL_FAULT": f"{NODE}.effect-before:1:raise"}
    project.run("recreate", "a", "--clean", env=fault).assert_error(1, "fault injected")
    assert "copied 2 files" in project.run("recreate", "a", "--force").assert_ok().stderr
    assert project.inside("a", "cat .env conf/dev.local") == f"{SECRET}dev"


def test_a_failure_outlives_a_recreate_that_was_taken_back(project: Project) -> None:
    project.write({"data/x.local": "x\n"})
    mount = ["--network=none", "--tmpfs", "/workspaces/repo/data:mode=755"]
    set_up(project, workspaceFolder="/workspaces/repo", remoteUser="dev", runArgs=mount)
    failed = project.run("create", "a", env={"RUMPEL_COPY_IN": "data"})
    failed.assert_error(1, "could not be copied")
    project.run("daemon", "stop").assert_ok()
    fault = {"RUMPEL_FAULT": "replace.effect-after:1:raise"}
    project.run("recreate", "a", "--force", env=fault).assert_error(1, "fault injected")
    assert "failed at copy-in" in project.run("list").assert_ok().stdout


def test_a_pod_that_was_recreated_and_no_more(project: Project) -> None:
    """It has its own, though nobody came to write that down."""
    project.run("create", "a", env=MINE).assert_ok()
    project.inside("a", "echo mine >.env; rm conf/dev.local")
    project.run("daemon", "stop").assert_ok()
    fault = {"RUMPEL_FAULT": f"{NODE}.effect-before:1:raise"}
    project.run("recreate", "a", "--force", env=fault).assert_error(1, "fault injected")
    see = "cat .env; ls conf"
    assert project.inside("a", see) == "mine\nbase"
    project.run("recreate", "a", "--force").assert_ok()
    assert project.inside("a", see) == "mine\nbase"


def test_a_pod_that_was_rebuilt_from_its_container(project: Project) -> None:
    """It is given nothing once more, and keeps what the setting names, as before."""
    project.run("create", "a", env=MINE).assert_ok()
    project.inside("a", "rm .env; echo more >>conf/dev.local")
    lose_the_database(project)
    env = {**MINE, "RUMPEL_KEEP_IGNORED": "nothing"}
    project.run("create", "a", env=env).assert_ok()
    see = "ls -A; cat conf/dev.local"
    before = project.inside("a", see)
    assert ".env" not in before
    project.run("recreate", "a", "--force", env=env).assert_ok()
    assert project.inside("a", see) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="drops what root may")
def test_a_clean_recreate_looks_before_anything_is_lost(project: Project) -> None:
    project.run("create", "a", env=MINE).assert_ok()
    before = project.container_id("a")
    project.inside("a", "echo mine >.env")
    (project.root / ".env").chmod(0)
    project.run("daemon", "stop").assert_ok()
    failed = without_all_rights(project, "recreate", "a", "--clean", env={})
    failed.assert_error(1, ".env cannot be copied into the pod: Permission denied")
    assert "pod 'a' goes on as it was" in failed.stderr
    assert project.container_id("a") == before
    assert project.inside("a", "cat .env; ls conf") == "mine\nbase\ndev.local"
    (project.root / ".env").chmod(0o600)
    project.run("recreate", "a", "--clean").assert_ok()
    assert project.inside("a", "cat .env") == SECRET.strip()


@pytest.mark.parametrize("how", [("--refresh", NODE), ("--clean",)])
def test_a_pod_of_before_the_setting(project: Project, how: tuple[str, ...]) -> None:
    """It is given them when that is asked for, and only then."""
    project.run("create", "a").assert_ok()
    assert "up to date" in project.run("recreate", "a", env=MINE).assert_ok().stdout
    project.run("recreate", "a", *how, "--plan", env=MINE).assert_ok()
    said = project.run("recreate", "a", *how, env=MINE).assert_ok()
    assert "copied 2 files: .env, conf/dev.local" in said.stderr
    assert project.inside("a", "cat .env conf/dev.local") == f"{SECRET}dev"
    assert "up to date" in project.run("recreate", "a").assert_ok().stdout


def test_a_repository_that_asks_for_it_later(project: Project) -> None:
    project.run("create", "a").assert_ok()
    project.write({".rumpelpod.json": {"copyIn": [".env"]}})
    refused = project.run("recreate", "a", "--refresh", NODE)
    refused.assert_error(4, "match .env into pods")
    project.run("recreate", "a", "--refresh", NODE, "--trust").assert_ok()
    assert project.inside("a", "cat .env") + "\n" == SECRET
