"""A container that cannot start: what is in it is read all the same; unknown is not clean."""

from __future__ import annotations

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory

WORK = "git commit -q --allow-empty -m one; echo staged >s; git add s; echo dirty >d; git status -s"


def inside(project: Project, script: str) -> str:
    return project.run("enter", "p", "--", "sh", "-ec", script).assert_ok().stdout.strip()


@pytest.fixture
def broken(rumpel_project: ProjectFactory, home: Home) -> tuple[Project, str]:
    """It mounts a folder that is gone since; stopped past rumpel, with work in it."""
    folder = home.path / "mounted"
    folder.mkdir()
    mount = f"type=bind,source={folder},target=/mounted"
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "mounts": [mount]}
    project = rumpel_project(config=config)
    project.run("create", "p", "--trust").assert_ok()
    status = inside(project, WORK)
    project.run("daemon", "stop").assert_ok()
    project.docker.api.stop(project.container_id("p"), timeout=0)
    folder.rmdir()
    return project, status


def leftovers(project: Project) -> list[str]:
    labels = str(project.home.label), "rumpel.kind=stand-in"
    found = project.docker.containers(*labels) + project.docker.images(*labels, steps=False)
    return [row["Id"] for row in found]


@pytest.mark.near("what is mounted from this machine is copied to another")
def test_delete_looks_into_it(broken: tuple[Project, str]) -> None:
    project, status = broken
    project.run("enter", "p", "--", "true").assert_code(1)
    refused = project.run("delete", "p").assert_error(4, "1 unmerged commit", "2 uncommitted files")
    assert "cannot tell" not in refused.stderr
    done = project.run("delete", "--force", "p").assert_ok()
    assert "went with it" not in done.stderr
    assert project.containers() == []
    assert leftovers(project) == []
    project.write({".devcontainer/devcontainer.json": f'{{"image": "{MINI_IMAGE}"}}'})
    project.run("undelete", "p").assert_ok()
    assert inside(project, "git status -s; git log -1 --format=%s") == f"{status}\none"
    project.run("delete", "--force", "p").assert_ok()


@pytest.mark.near("what is mounted from this machine is copied to another")
def test_snapshot_holds_its_work(broken: tuple[Project, str]) -> None:
    project, _ = broken
    oid = project.run("snapshot", "p").assert_ok().stdout.strip()
    (snapshot,) = project.repo.refs("refs/rumpel/keep").values()
    assert snapshot.startswith(oid)
    assert project.git("cat-file", "blob", f"{snapshot}:files/d") == "dirty"
    assert leftovers(project) == []
    project.run("daemon", "stop").assert_ok()
    project.run("delete", "--force", "p", env={"RUMPEL_FAULT": "keep.frozen:1:kill"})
    assert len(leftovers(project)) == 2, "a container and its image"
    project.run("list").assert_ok()
    project.wait_until(lambda: leftovers(project) == [], "the next daemon sweeps it away")
    project.run("delete", "--force", "p").assert_ok()
