"""A folder was agreed to, and a link has taken its place since: the engine would follow it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

REFUSED = 4
TOLD = ("cache, which leads somewhere else by now", "rumpel recreate p   asks again")
NOTATIONS = {
    "mount": {"mounts": ["type=bind,source=${localWorkspaceFolder}/cache,target=/c"]},
    "-v": {"runArgs": ["--network=none", "-v", "${localWorkspaceFolder}/cache:/c"]},
    "volume": {
        "mounts": [
            "source=v-${devcontainerId},target=/c,volume-opt=type=none,volume-opt=o=bind,"
            "volume-opt=device=${localWorkspaceFolder}/cache"
        ]
    },
}

pytestmark = pytest.mark.here("paths of this machine")


def made(rumpel_project: ProjectFactory, notation: str) -> tuple[Project, Path]:
    """A pod, stopped, and a folder that nobody agreed to."""
    base: dict[str, Any] = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}
    project = rumpel_project(config={**base, **NOTATIONS[notation]})
    (project.root / "cache").mkdir()
    secret = project.root.parent / "keys"
    secret.mkdir()
    (secret / "id").write_text("key")
    project.run("create", "p", "--trust").assert_ok()
    project.run("stop", "p").assert_ok()
    return project, secret


def turn(project: Project, target: Path) -> None:
    cache = project.root / "cache"
    if cache.is_symlink():
        cache.unlink()
    else:
        cache.rename(project.root / "cache.before")
    cache.symlink_to(target)


@pytest.mark.parametrize("notation", NOTATIONS)
def test_a_stopped_pod_is_not_started(rumpel_project: ProjectFactory, notation: str) -> None:
    project, secret = made(rumpel_project, notation)
    turn(project, secret)
    before = project.container_id("p")
    project.run("enter", "p", "--", "ls", "/c").assert_error(REFUSED, *TOLD)
    (container,) = project.containers("p")
    assert container["State"] == "exited"
    asked = project.run("recreate", "p", "--json").assert_code(REFUSED).json()["error"]
    assert [item["text"] for item in asked["details"]["items"]] == [f"mounts {secret} of the host"]
    turn(project, project.root / "cache.before")
    project.run("enter", "p", "--", "ls", "/c").assert_error(REFUSED, *TOLD)
    assert project.container_id("p") == before


def test_a_link_that_was_agreed_to_goes_on_working(rumpel_project: ProjectFactory) -> None:
    project, secret = made(rumpel_project, "mount")
    turn(project, secret)
    project.run("recreate", "p", "--trust").assert_ok()
    assert project.inside("p", "ls /c") == "id"
    project.run("stop", "p").assert_ok()
    assert project.inside("p", "ls /c") == "id"
    project.run("stop", "p").assert_ok()
    turn(project, project.root)
    project.run("enter", "p", "--", "ls", "/c").assert_error(REFUSED, *TOLD)


def test_what_looks_into_a_stopped_pod_does_not_start_it(rumpel_project: ProjectFactory) -> None:
    project, secret = made(rumpel_project, "-v")
    turn(project, secret)
    started = _started_at(project)
    project.run("snapshot", "p").assert_ok()
    assert _started_at(project) == started
    project.run("delete", "p").assert_ok()


def _started_at(project: Project) -> str:
    found = project.docker.api.inspect_container(project.container_id("p"))
    return json.dumps(found["State"]["StartedAt"])
