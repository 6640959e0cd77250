"""The daemon dies at every fault point of create and delete; the same command again converges.

The points are found by running once with RUMPEL_FAULT_LOG, so a new operation is swept without a
new test. The normal run takes a share of them; RUMPEL_LONG=1 (scripts/long) takes them all.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

SHARE = 5
CONFIG = {
    "image": MINI_IMAGE,
    "runArgs": ["--network=none"],
    "onCreateCommand": "echo ran >>/tmp/on-create",
}
COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"


def points(path: Path) -> list[str]:
    """Each once, in the order they were met; a share of them in a normal run."""
    found = list(dict.fromkeys(path.read_text().split()))
    assert len(found) > 10, found
    if os.environ.get("RUMPEL_LONG"):
        return found
    return sorted(random.Random(7).sample(found, SHARE), key=found.index)


def assert_one_pod(project: Project, oid: str | None) -> None:
    label = project.home.label
    assert label is not None
    names = [item["Names"] for item in project.docker.containers(label)]
    assert len(names) == 2, f"one pod and one gateway, found {names}"
    assert len(project.docker.volumes(label)) == 1
    if oid is not None:
        project.wait_for_ref("p", oid, timeout_s=20)


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_create(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project = rumpel_project(config=CONFIG)
    log = tmp_path / "points"
    project.run("create", "p", env={"RUMPEL_FAULT_LOG": str(log)}).assert_ok()
    project.run("delete", "--force", "p").assert_ok()
    project.run("daemon", "stop").assert_ok()
    for point in points(log):
        project.run("create", "p", env={"RUMPEL_FAULT": f"{point}:1:kill"})
        project.home.kill_daemon()
        again = project.run("create", "p")
        assert again.code == 0, f"{point}: {again}"
        assert_one_pod(project, project.repo.oid("HEAD"))
        ran = project.run("enter", "p", "--", "cat", "/tmp/on-create").assert_ok().stdout
        assert ran.startswith("ran\n"), point
        oid = project.run("enter", "p", "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()
        project.wait_for_ref("p", oid)
        project.run("delete", "--force", "p").assert_ok()
        project.run("daemon", "stop").assert_ok()


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_delete(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project = rumpel_project(config=CONFIG)
    log = tmp_path / "points"
    project.run("create", "p", env={"RUMPEL_FAULT_LOG": str(log)}).assert_ok()
    log.unlink()
    project.run("delete", "p").assert_ok()
    project.run("daemon", "stop").assert_ok()
    for point in points(log):
        project.run("create", "p").assert_ok()
        oid = project.run("enter", "p", "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()
        project.run("daemon", "stop").assert_ok()
        project.run("delete", "--force", "p", env={"RUMPEL_FAULT": f"{point}:1:kill"})
        project.home.kill_daemon()
        assert project.run("delete", "--force", "p").code in (0, 3), point
        label = project.home.label
        assert label is not None
        assert project.docker.containers(label) == [], point
        assert project.docker.volumes(label) == [], point
        assert project.repo.published() == {}, point
        assert oid in project.repo.refs("refs/rumpel/keep").values(), f"{point}: commit lost"
        project.run("daemon", "stop").assert_ok()
