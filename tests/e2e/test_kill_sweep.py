"""The daemon dies at every fault point of a verb; whatever the user says next converges.

The points are found by running once with RUMPEL_FAULT_LOG, so a new operation is swept without a
new test. Each point gets a repository of its own, so that shared nodes (image, seed) run again.
The normal run takes a share of the points; RUMPEL_LONG=1 (scripts/long) takes them all.
"""

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpel import names
from rumpel.tasks.prebuild import MANY_FILES
from tests.support.engine import MINI_IMAGE
from tests.support.project import CONFIG_NAMES, Project, ProjectFactory

LONG = bool(os.environ.get("RUMPEL_LONG"))
"""Read when imported: no test sees the caller's variables."""
COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"
DIES_WITHIN_S = 10.0
FOUND: dict[str, list[str]] = {}
"""The points of each verb."""
MOMENTS = 20
PORT = 39_700
Record = Callable[[str, object], None]
"""`record_property`: scripts/long puts the numbers into its table."""


class Sweep:
    """One verb that is killed; `rumpel daemon` of the test's home does what all of them ask."""

    def __init__(self, make: ProjectFactory, folder: Path) -> None:
        self._make, self._log, self._count = make, folder / "points", 0

    def project(self, point: str = "image.") -> Project:
        """For the points of a build with images of its own, else with those of the others."""
        self._count += 1
        key = self._make.home.path.name
        if point.startswith(("image.", "tools.")):
            key += f"-{self._count}"
        config = {
            "build": {"dockerfile": "Dockerfile"},
            "runArgs": ["--network=none"],
            # It is part of the tools layer, which all repositories share.
            "workspaceFolder": f"/ws/{key.lower()}",
            "onCreateCommand": "echo ran >>/tmp/on-create",
            "forwardPorts": [PORT],
        }
        dockerfile = f"FROM {MINI_IMAGE}\nLABEL made-by={key}\n"
        name = f"repo-{self._count}"
        return self._make({".devcontainer/Dockerfile": dockerfile}, config=config, name=name)

    def points(
        self,
        *argv: str,
        before: Callable[[Project], object],
        key: str | None = None,
        pods: tuple[str, ...] = ("p",),
    ) -> list[str]:
        """Each once, in the order they were met; the same for every test of a verb (or `key`)."""
        key = key or argv[0]
        if key in FOUND:
            return FOUND[key]
        project = self.project()
        before(project)
        project.run("daemon", "stop")
        project.run(*argv, env={"RUMPEL_FAULT_LOG": str(self._log)}).assert_ok()
        found = list(dict.fromkeys(self._log.read_text().split()))
        project.run("delete", "--force", *pods)
        project.run("daemon", "stop").assert_ok()
        assert len(found) > 4, found
        FOUND[key] = found
        return found

    def chosen(self, found: list[str], share: int) -> list[str]:
        """All of them in a long run, else others each time."""
        if LONG:
            return found
        return sorted(random.sample(found, share), key=found.index)

    def killed(self, project: Project, point: str, *argv: str) -> None:
        """Run the verb with a daemon that dies at `point`."""
        project.run("daemon", "stop")
        project.run(*argv, env={"RUMPEL_FAULT": f"{point}:1:kill"})
        is_dead = lambda: not project.home.daemon_pids()  # noqa: E731 - a name for wait_until
        project.wait_until(is_dead, f"the daemon dies at {point}", timeout_s=DIES_WITHIN_S)

    def end(self, project: Project) -> None:
        project.run("delete", "--force", "p").assert_ok()
        assert_nothing_left(project)
        project.run("daemon", "stop").assert_ok()


def label_of(project: Project) -> str:
    label = project.home.label
    assert label, "an empty label would stand for everything on the engine"
    return label


def commit_in(project: Project) -> str:
    return project.run("enter", "p", "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()


def assert_one_pod(project: Project) -> None:
    """One container, one gateway, one volume; commits go both ways."""
    label = label_of(project)
    found = [item["Names"] for item in project.docker.containers(label)]
    assert len(found) == 2, f"one pod and one gateway, found {found}"
    assert len(project.docker.volumes(label)) == 1
    project.wait_for_ref("p", project.repo.oid("HEAD"), timeout_s=20)
    assert set(project.repo.published()) == {"p", "p@p"}
    assert_forwarded(project, str(PORT))
    ran = project.run("enter", "p", "--", "cat", "/tmp/on-create").assert_ok().stdout
    assert ran.startswith("ran\n")
    project.wait_for_ref("p", commit_in(project))
    onward = project.commit("on the host")
    fetched = "git rev-parse -q --verify refs/remotes/host/main"

    def arrived() -> bool:
        return project.run("enter", "p", "--", "sh", "-c", fetched).stdout.strip() == onward

    project.wait_until(arrived, "the host's commit arrives in the pod")


def assert_forwarded(project: Project, *keys: str) -> None:
    """At ports of this machine that take connections."""
    rows = project.run("ports", "p", "--json").assert_ok().data
    assert [(row["key"], row["state"]) for row in rows] == [(key, "open") for key in keys]
    for row in rows:
        socket.create_connection(("127.0.0.1", row["local_port"]), timeout=5).close()


def assert_nothing_left(project: Project) -> None:
    label = label_of(project)
    project.wait_until(
        lambda: not project.docker.containers(label) and not project.docker.volumes(label),
        "containers and volumes go",
    )
    assert project.repo.published() == {}
    doors = project.home.state / "doors"
    assert not [path for path in doors.glob("*/*") if path.is_dir()]


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
@pytest.mark.parametrize("then", ["create", "enter", "delete"])
def test_create(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record, then: str
) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    points = sweep.chosen(sweep.points("create", "p", before=lambda project: None), share=2)
    record_property("kills", len(points))
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
    points = sweep.chosen(own, share=2)
    record_property("kills", len(points))
    for point in points:
        project = sweep.project(point)
        always(project)
        sweep.killed(project, point, "create", "p")
        if then == "delete":
            assert project.run("delete", "p").code == 0, point
            assert_nothing_left(project)
            continue
        done = project.run("create", "p")
        assert done.code == 0, f"{point}: {done}"
        assert_one_pod(project)
        kinds = [label_of(project), f"{names.LABEL_KIND}=prebuilt"]
        images = project.docker.api.images(filters={"label": kinds})
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
def test_merge(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    """Before git's part nothing is changed, after it the merge holds; again is never wrong."""

    def make(project: Project) -> str:
        project.run("create", "p").assert_ok()
        oid = commit_in(project)
        project.commit("on the host")
        return oid

    sweep = Sweep(rumpel_project, tmp_path)
    points = sweep.chosen(sweep.points("merge", "p", before=make), share=2)
    record_property("kills", len(points))
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


def make_dirty(project: Project) -> str:
    """A pod with a commit, a staged and an untracked file; the commit."""
    project.run("create", "p").assert_ok()
    oid = commit_in(project)
    script = "echo staged >staged; git add staged; echo more >>staged; echo new >untracked"
    project.run("enter", "p", "--", "sh", "-c", script).assert_ok()
    return oid


def assert_dirty(project: Project, oid: str, point: str) -> None:
    script = "git rev-parse HEAD; git status --porcelain; cat staged untracked; git show :staged"
    shown = project.run("enter", "p", "--", "sh", "-c", script).assert_ok().stdout
    expected = [oid, "AM staged", "?? untracked", "staged", "more", "new", "staged"]
    assert shown.splitlines() == expected, point


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.slow
def test_delete(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    argv = ("delete", "--force", "p")
    points = sweep.chosen(sweep.points(*argv, before=make_dirty), share=2)
    record_property("kills", len(points))
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
def test_a_pod_survives_a_killed_delete(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record
) -> None:
    """As long as its container is there it goes on as before, whatever was frozen in it."""
    sweep = Sweep(rumpel_project, tmp_path)
    found = sweep.points("delete", "--force", "p", before=make_dirty)
    early = [point for point in found if point.startswith(("guard.", "keep."))]
    points = sweep.chosen(early, share=1)
    record_property("kills", len(points))
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
def test_undelete(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)

    def in_trash(project: Project) -> str:
        oid = make_dirty(project)
        project.run("delete", "--force", "p").assert_ok()
        return oid

    found = sweep.points("undelete", "p", before=in_trash)
    points = sweep.chosen([item for item in found if not item.startswith("image.")], share=2)
    record_property("kills", len(points))
    for point in points:
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
def test_stop(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    points = sweep.points("stop", "p", before=make_dirty)
    points = sweep.chosen(points, share=1)
    record_property("kills", len(points))
    for point in points:
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


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.slow
def test_recreate(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    """It is taken back or finished, at the next command; the pod has all its work meanwhile."""

    def change(project: Project) -> str:
        oid = make_dirty(project)
        path = project.root / CONFIG_NAMES[0]
        path.write_text(json.dumps({**json.loads(path.read_text()), "containerEnv": {"A": "b"}}))
        return oid

    sweep = Sweep(rumpel_project, tmp_path)
    found = sweep.points("recreate", "p", before=change)
    points = sweep.chosen(found, share=2)
    record_property("kills", len(points))
    for point in points:
        project = sweep.project(point)
        oid = change(project)
        sweep.killed(project, point, "recreate", "p")
        assert_dirty(project, oid, point)
        assert len(project.containers("p")) == 1, point
        done = project.run("recreate", "p")
        assert done.code == 0, f"{point}: {done}"
        assert_dirty(project, oid, point)
        shown = project.run("enter", "p", "--", "sh", "-c", "echo $A").assert_ok().stdout
        assert shown == "b\n", point
        assert len(project.containers("p")) == 1, point
        project.wait_for_ref("p", commit_in(project))
        sweep.end(project)


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.slow
def test_forward_port(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record
) -> None:
    def make(project: Project) -> None:
        project.run("create", "p").assert_ok()

    sweep, argv = Sweep(rumpel_project, tmp_path), ("forward-port", f"p:{PORT + 1}")
    points = sweep.chosen(sweep.points(*argv, before=make), share=2)
    record_property("kills", len(points))
    for point in points:
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
        sweep.end(project)


@pytest.mark.timeout(1800 if LONG else 120)
@pytest.mark.slow
def test_review(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    points = sweep.points("review", "p", before=commit_in)
    points = sweep.chosen(points, share=2)
    record_property("kills", len(points))
    for point in points:
        project = sweep.project(point)
        oid = commit_in(project)
        sweep.killed(project, point, "review", "p")
        data = project.run("review", "p", "--json").assert_ok().data
        assert (data["commit"], data["ahead"]) == (oid, 1), point
        assert not list((project.home.path / "run/rumpel").glob("review-*")), point
        sweep.end(project)
