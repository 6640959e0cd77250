"""A repository is moved, copied or deleted while it has pods."""

from __future__ import annotations

import shutil

from tests.support.project import Project, ProjectFactory
from tests.support.repo import Repo

COMMIT = "git commit -q --allow-empty -m more; git rev-parse HEAD"


def listed(project: Project) -> list[str]:
    return sorted(project.run("list", "-q").assert_ok().stdout.split())


def at(project: Project, name: str) -> Project:
    repo = Repo(project.home.path / name, project.home.env)
    return Project(project.home, project.docker, repo)


def test_a_moved_repository_has_its_pods(rumpel_project: ProjectFactory) -> None:
    before = rumpel_project(name="one")
    before.run("create", "x", "y").assert_ok()
    first = before.inside("x", COMMIT)
    before.wait_for_ref("x", first)
    before.root.rename(before.root.with_name("two"))
    project = at(before, "two")
    ids = {pod: project.container_id(pod) for pod in ("x", "y")}
    # Not one of them is named: all are there, with what they had.
    told = project.run("create", "z").assert_ok().stderr
    assert "pods x and y are found again" in told, told
    assert listed(project) == ["x", "y", "z"]
    assert project.repo.published()["x"] == first
    assert {pod: project.container_id(pod) for pod in ("x", "y")} == ids
    second = project.inside("x", COMMIT)
    project.wait_for_ref("x", second)
    onward = project.commit("on the host")
    project.wait_until(
        lambda: project.inside("y", "git rev-parse host/main") == onward, "host branches go on"
    )
    assert "up to date" in project.run("create", "y").assert_ok().stdout
    # Another repository in the old place is another one.
    other = rumpel_project(name="one")
    assert listed(other) == []
    assert listed(project) == ["x", "y", "z"]
    shutil.rmtree(other.root)
    # And back again, past a daemon that sees it only when it starts.
    project.run("daemon", "stop").assert_ok()
    project.root.rename(before.root)
    assert listed(before) == ["x", "y", "z"]
    third = before.inside("x", COMMIT)
    before.wait_for_ref("x", third)
    before.git("branch", "-dr", "rumpelpod/x", "rumpelpod/y")
    before.run("list").assert_ok()
    before.wait_for_ref("x", third)
    before.git("branch", "-dr", "rumpelpod/x")
    merged = before.run("merge", "x").assert_ok()
    assert "more meanwhile" not in merged.stderr
    assert "rumpelpod/x" in before.git("branch", "-r")
    before.run("delete", "x", "y", "z").assert_ok()
    assert before.repo.published() == {}


def test_a_copy_is_offered_the_pods_of_its_original(rumpel_project: ProjectFactory) -> None:
    before = rumpel_project(name="one")
    oid = before.inside("x", COMMIT)
    before.wait_for_ref("x", oid)
    project = at(before, "two")
    shutil.copytree(before.root, project.root, symlinks=True)
    # Both are there: the copy has pods of its own, and the refs it came with.
    assert listed(project) == []
    project.run("create", "own").assert_ok()
    assert project.repo.published()["x"] == oid
    project.run("delete", "own").assert_ok()
    project.run("adopt", str(before.root)).assert_error(4, "still there")
    shutil.rmtree(before.root)
    assert "rumpel adopt" in project.run("list", "--all").assert_ok().stderr
    project.run("create", "x").assert_error(4, "pod x belongs to this repository", "rumpel adopt")
    assert "rumpel adopt" in project.run("list").assert_ok().stderr
    assert project.repo.published()["x"] == oid
    assert project.run("adopt").assert_ok().stdout == "x\n"
    later = project.inside("x", COMMIT)
    project.wait_for_ref("x", later)
    # Deleted, and cloned again somewhere else: only somebody can know that.
    clone = at(before, "three")
    before.repo.run_git("clone", "-q", str(project.root), str(clone.root), cwd=before.home.path)
    shutil.rmtree(project.root)
    clone.run("adopt").assert_error(3, "no pods are known")
    assert clone.run("adopt", str(project.root)).assert_ok().stdout == "x\n"
    clone.wait_for_ref("x", later)
    clone.run("delete", "--force", "x").assert_ok()
