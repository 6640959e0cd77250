"""The daemon dies at every fault point of a verb; whatever the user says next converges.

The points are found by running once with RUMPEL_FAULT_LOG, so a new operation is swept without a
new test. Each point gets a repository of its own, so that shared nodes (image, seed) run again.
The normal run takes a share of the points; RUMPEL_LONG=1 (scripts/long) takes them all.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import pytest

from rumpel import names
from rumpel.tasks.prebuild import MANY_FILES
from tests.support.engine import MINI_IMAGE
from tests.support.project import CONFIG_NAMES, Project, ProjectFactory
from tests.support.sweep import (
    COMMIT_NOTHING,
    LONG,
    PORT,
    Record,
    Sweep,
    assert_dirty,
    assert_forwarded,
    assert_nothing_left,
    assert_one_pod,
    commit_in,
    label_of,
    make_dirty,
)

MOMENTS = 20


def test_a_lifecycle_command_never_runs_beside_itself(rumpel_project: ProjectFactory) -> None:
    """In a pod it outlives the daemon that started it."""
    command = "echo begun >>/tmp/log; [ $(grep -c begun /tmp/log) = 2 ] || sleep 600"
    project = rumpel_project(
        config={
            "image": MINI_IMAGE,
            "runArgs": ["--network=none"],
            "onCreateCommand": command,
        }
    )
    client = project.start("create", "p")

    def has_begun() -> bool:
        runs = [item for item in project.containers("p") if item["State"] == "running"]
        return bool(runs) and "begun" in project.exec("p", "cat", "/tmp/log", check=False).stdout

    project.wait_until(has_begun, "the command begins", timeout_s=30)
    for _ in range(2):
        project.home.kill_daemon()
        project.run("list").assert_ok()
    client.wait()
    project.run("create", "p").assert_ok()
    assert project.exec("p", "cat", "/tmp/log").stdout == "begun\n" * 2
    left = project.exec("p", "sh", "-c", "grep -l [s]leep.600 /proc/[0-9]*/cmdline", check=False)
    assert left.stdout == ""


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.slow
@pytest.mark.one_in(4)
@pytest.mark.parametrize("then", ["create", "enter", "delete"])
def test_create(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record, then: str
) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    points = sweep.chosen(sweep.points("create", "p", before=lambda project: None), record_property)
    for point in points:
        project = sweep.project(point)
        sweep.killed(project, point, "create", "p")
        if then == "delete":
            done = project.run("delete", "p")
            assert done.code == 0, f"{point}: {done}"
            assert_nothing_left(project)
            continue
        again = ("create", "p") if then == "create" else ("enter", "p", "--", "true")
        done = project.run(*again)
        assert done.code == 0, f"{point}: {done}"
        assert_one_pod(project)
        sweep.end(project)


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.slow
@pytest.mark.one_in(4)
@pytest.mark.parametrize("then", ["create", "delete"])
def test_prebuild(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record, then: str
) -> None:
    """No builder outlives the next daemon, and an image is there whole or not at all."""

    def always(project: Project) -> None:
        """So many files that the image gets a second layer."""
        project.write({".rumpelpod.json": {"prebuild": {"minDuration": 0}}})
        project.commit("many files", {f"many/{n}": f"{n}\n" for n in range(MANY_FILES + 1)})

    sweep = Sweep(rumpel_project, tmp_path)
    found = sweep.points("create", "p", before=always, key="prebuild")
    own = [point for point in found if point.startswith("prebuild.")]
    points = sweep.chosen(own, record_property)
    for point in points:
        project = sweep.project(point)
        always(project)
        sweep.killed(project, point, "create", "p")
        if then == "delete":
            done = project.run("delete", "p")
            assert done.code == 0, f"{point}: {done}"
            assert_nothing_left(project)
            continue
        done = project.run("create", "p")
        assert done.code == 0, f"{point}: {done}"
        assert_one_pod(project)
        kinds = [label_of(project), f"{names.LABEL_KIND}=prebuilt"]
        images = project.docker.images(*kinds, steps=False)
        assert all(image["RepoTags"] for image in images), f"{point}: half an image"
        made_of = project.docker.inspect(project.container_id("p"))["Image"]
        assert made_of in [image["Id"] for image in images], point
        sweep.end(project)


@pytest.mark.skipif(not LONG, reason="RUMPEL_LONG=1 only: kills between the named points")
@pytest.mark.timeout(1800)
def test_create_killed_at_any_moment(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record
) -> None:
    sweep, seed = Sweep(rumpel_project, tmp_path), random.randrange(1 << 30)
    rng = random.Random(seed)
    begun = time.monotonic()
    project = sweep.project("any")
    project.run("create", "p").assert_ok()
    longest_s = time.monotonic() - begun
    sweep.end(project)
    record_property("kills", MOMENTS)
    for number in range(MOMENTS):
        project = sweep.project("any")
        client = project.start("create", "p")
        time.sleep(rng.random() * longest_s)
        project.home.kill_daemon()
        client.wait()
        done = project.run("create", "p")
        assert done.code == 0, f"number {number} of seed {seed}: {done}"
        assert_one_pod(project)
        sweep.end(project)


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.slow
@pytest.mark.one_in(4)
def test_merge(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    """Before git's part nothing is changed, after it the merge holds; again is never wrong."""

    def make(project: Project) -> str:
        project.run("create", "p").assert_ok()
        oid = commit_in(project)
        project.commit("on the host")
        return oid

    sweep = Sweep(rumpel_project, tmp_path)
    points = sweep.chosen(sweep.points("merge", "p", before=make), record_property)
    for point in points:
        project = sweep.project(point)
        oid, head = make(project), project.repo.oid("HEAD")
        sweep.killed(project, point, "merge", "p")
        assert project.git("status", "--porcelain") == "", point
        done = project.run("merge", "p")
        assert done.code == 0, f"{point}: {done}"
        assert project.git("rev-parse", "HEAD^1", "HEAD^2").split() == [head, oid], point
        assert project.run("enter", "p", "--", "true").code == 0, point
        project.wait_for_ref("p", commit_in(project))
        sweep.end(project)


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.slow
@pytest.mark.one_in(4)
def test_delete(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    argv = ("delete", "--force", "p")
    points = sweep.chosen(sweep.points(*argv, before=make_dirty), record_property)
    for point in points:
        project = sweep.project(point)
        oid = make_dirty(project)
        sweep.killed(project, point, *argv)
        assert project.run("delete", "p").code in (0, 3, 4), point
        assert project.run(*argv).code in (0, 3), point
        assert_nothing_left(project)
        kept = project.repo.refs("refs/rumpel/keep").values()
        assert oid in kept, f"{point}: commit lost"
        assert project.run("undelete", "p").code == 0, f"{point}: not in the trash"
        assert_dirty(project, oid, point)
        sweep.end(project)


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.slow
@pytest.mark.one_in(4)
def test_a_pod_survives_a_killed_delete(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record
) -> None:
    """As long as its container is there it goes on as before, whatever was frozen in it."""
    sweep = Sweep(rumpel_project, tmp_path)
    found = sweep.points("delete", "--force", "p", before=make_dirty)
    early = [point for point in found if point.startswith(("guard.", "keep."))]
    points = sweep.chosen(early, record_property)
    for point in points:
        project = sweep.project(point)
        oid = make_dirty(project)
        sweep.killed(project, point, "delete", "--force", "p")
        assert_dirty(project, oid, point)
        onward = commit_in(project)
        project.wait_for_ref("p", onward)
        assert project.run("undelete", "--json").assert_ok().data == [], point
        sweep.end(project)


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.slow
@pytest.mark.one_in(4)
def test_undelete(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)

    def in_trash(project: Project) -> str:
        oid = make_dirty(project)
        project.run("delete", "--force", "p").assert_ok()
        return oid

    found = sweep.points("undelete", "p", before=in_trash)
    own = [item for item in found if not item.startswith("image.")]
    for point in sweep.chosen(own, record_property):
        project = sweep.project(point)
        oid = in_trash(project)
        sweep.killed(project, point, "undelete", "p")
        done = project.run("undelete", "p")
        assert done.code in (0, 3, 4), f"{point}: {done}"
        assert_dirty(project, oid, point)
        assert project.run("undelete", "--json").assert_ok().data == [], point
        sweep.end(project)


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.slow
@pytest.mark.one_in(4)
def test_stop(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    found = sweep.points("stop", "p", before=make_dirty)
    for point in sweep.chosen(found, record_property):
        project = sweep.project(point)
        oid = make_dirty(project)
        sweep.killed(project, point, "stop", "p")
        project.run("stop", "p").assert_ok()
        (container,) = project.containers("p")
        assert container["State"] == "exited", point
        project.wait_for_ref("p", oid)
        assert_dirty(project, oid, point)
        assert project.containers("p")[0]["Labels"][names.LABEL_POD] == "p"
        sweep.end(project)


def assert_one_container(project: Project) -> None:
    """One that was replaced is removed in the background."""
    project.wait_until(lambda: len(project.containers("p")) == 1, "the other one is gone")


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.slow
@pytest.mark.one_in(4)
@pytest.mark.parametrize("start", ["plain", "prebuilt"])
def test_recreate(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record, start: str
) -> None:
    """It is taken back or finished, at the next command; the pod has all its work meanwhile."""

    def change(project: Project) -> str:
        if start == "prebuilt":
            wish = {"minDuration": 0, "inputs": ["lock"]}
            project.write({".rumpelpod.json": {"prebuild": wish}})
        oid = make_dirty(project)
        set_env(project, "b")
        return oid

    sweep = Sweep(rumpel_project, tmp_path)
    found = sweep.points("recreate", "p", before=change, key=f"recreate-{start}")
    project, oid = None, ""
    for number, point in enumerate(sweep.chosen(found, record_property)):
        if project is None:
            project = sweep.project(point)
            oid = change(project)
        set_env(project, f"b{number}")
        sweep.killed(project, point, "recreate", "p")
        assert_dirty(project, oid, point)
        assert_one_container(project)
        done = project.run("recreate", "p")
        assert done.code == 0, f"{point}: {done}"
        assert_dirty(project, oid, point)
        shown = project.run("enter", "p", "--", "sh", "-c", "echo $A").assert_ok().stdout
        assert shown == f"b{number}\n", point
        if start == "prebuilt":
            assert project.exec("p", "cat", "/tmp/on-create").stdout == "ran\n", point
        assert_one_container(project)
        commit = project.run("enter", "p", "--", "sh", "-c", COMMIT_NOTHING)
        oid = commit.assert_ok().stdout.strip()
        project.wait_for_ref("p", oid)
    assert project is not None
    sweep.end(project)


def set_env(project: Project, value: str) -> None:
    path = project.root / CONFIG_NAMES[0]
    path.write_text(json.dumps({**json.loads(path.read_text()), "containerEnv": {"A": value}}))


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.slow
@pytest.mark.one_in(4)
def test_forward_port(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record
) -> None:
    def make(project: Project) -> None:
        project.run("create", "p").assert_ok()

    sweep, argv = Sweep(rumpel_project, tmp_path), ("forward-port", f"p:{PORT + 1}")
    project, container = None, ""
    for point in sweep.chosen(sweep.points(*argv, before=make), record_property):
        if project is None:
            project = sweep.project(point)
            make(project)
            container = project.container_id("p")
        sweep.killed(project, point, *argv)
        done = project.run(*argv)
        assert done.code == 0, f"{point}: {done}"
        local = done.stdout.strip()
        assert project.run(*argv).assert_ok().stdout.strip() == local, f"{point}: it moved"
        assert_forwarded(project, str(PORT), str(PORT + 1))
        assert project.container_id("p") == container, point
        project.run("forward-port", "--remove", argv[1]).assert_ok()
    assert project is not None
    sweep.end(project)


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.slow
@pytest.mark.one_in(4)
def test_review(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    found = sweep.points("review", "p", before=commit_in)
    for point in sweep.chosen(found, record_property):
        project = sweep.project(point)
        oid = commit_in(project)
        sweep.killed(project, point, "review", "p")
        data = project.run("review", "p", "--json").assert_ok().data
        assert (data["commit"], data["ahead"]) == (oid, 1), point
        assert not list((project.home.path / "run/rumpel").glob("review-*")), point
        sweep.end(project)
