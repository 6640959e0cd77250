"""What Podman does in its own way, for each commit; all else on it is by RUMPEL_TEST_PLACES."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from rumpel import names
from tests.support.engine import MINI_IMAGE, Engine
from tests.support.far_engine import FarEngine, Podman
from tests.support.project import Project, ProjectFactory

FOLDER = "/workspaces/repo"
ID = "cat /proc/sys/kernel/random/uuid"


@pytest.fixture(scope="module")
def podman(near_engine: Engine, mini_image: str) -> Iterator[FarEngine]:
    if reason := Podman.missing():
        pytest.skip(reason)
    with Podman() as engine:
        engine.load(near_engine, mini_image)
        yield engine


def project_at(engine: FarEngine, make: ProjectFactory, **more: object) -> Project:
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "remoteUser": "dev", **more}
    project = make({".rumpelpod.json": '{"prebuild": {"minDuration": "0s"}}'}, config=config)
    project.run("list", env={"DOCKER_HOST": engine.url}).assert_ok()  # starts the daemon
    return project


def container(engine: FarEngine, project: Project) -> str:
    """Of the one pod."""
    (found,) = engine.engine.containers(str(project.home.label), f"{names.LABEL_KIND}=pod")
    return str(found["Id"])


def test_a_stopped_pod(podman: FarEngine, rumpel_project: ProjectFactory) -> None:
    """Its archive call knows no owners, follows links, and leaves a folder itself out."""
    project = project_at(podman, rumpel_project)
    project.run("create", "a").assert_ok()
    project.inside("a", "mkdir sub; echo 1 >sub/f; ln -s sub link; ln -s nowhere broken")
    engine = podman.engine
    own = "echo 2 >theirs; chown 77:88 theirs; echo 3 >roots; chmod 750 sub"
    engine.exec(container(podman, project), "sh", "-ec", own, user="0", cwd=FOLDER)
    project.run("recreate", "a", "--force").assert_ok()
    look = ["stat", "-c", "%n %u:%g %a", "theirs", "roots", "sub", "sub/f"]
    assert engine.exec(container(podman, project), *look, cwd=FOLDER).stdout.splitlines() == [
        *("theirs 77:88 644", "roots 0:0 644", "sub 1000:1000 750", "sub/f 1000:1000 644")
    ]
    project.run("stop", "a").assert_ok()
    to = project.home.path / "to"
    project.run("cp", "a:sub/.", str(to)).assert_ok()
    assert ((to / "f").read_text(), to.stat().st_mode & 0o777) == ("1\n", 0o750)
    for name, leads_to in (("link", "sub"), ("broken", "nowhere")):
        project.run("cp", f"a:{name}", str(to)).assert_ok()
        assert str((to / name).readlink()) == leads_to
    project.run("cp", "-a", "a:sub", str(to)).assert_error(4, "Podman does not tell the owners")
    project.run("delete", "a", "--force").assert_ok()


def test_a_stop_by_hand_that_is_no_news_yet(
    podman: FarEngine, rumpel_project: ProjectFactory
) -> None:
    project = project_at(podman, rumpel_project)
    project.run("create", "a").assert_ok()
    for _ in range(3):
        podman.engine.api.stop(container(podman, project), timeout=0)
        assert project.inside("a", "echo here") == "here"
    project.run("delete", "a", "--force").assert_ok()


def test_an_image_of_a_container(podman: FarEngine, rumpel_project: ProjectFactory) -> None:
    """Its commit reads no configuration, and its list of what takes room names no labels."""
    project = project_at(podman, rumpel_project, onCreateCommand=f"{ID} >/tmp/made")
    project.run("create", "a", "b").assert_ok()
    made = {project.inside(pod, "cat /tmp/made") for pod in ("a", "b")}
    assert len(made) == 1, "the command ran for both"
    home = str(project.home.label)
    (image,) = podman.engine.tags(home, f"{names.LABEL_KIND}=prebuilt").values()
    kept = podman.engine.api.inspect_image(image)["Config"]
    base = podman.engine.api.inspect_image(MINI_IMAGE)["Config"]
    for key in ("Cmd", "Entrypoint"):
        assert (kept.get(key) or []) == (base.get(key) or [])
    assert not [one for one in kept["Env"] if one.startswith("HOSTNAME=")], "the builder's"
    project.run("delete", "a", "b", "--force").assert_ok()
    rows = project.run("gc", "--all", "--json").assert_ok().data
    gone = {item["id"] for row in rows for item in row["items"] if item["kind"] == "image"}
    assert image in gone, json.dumps(rows)
    assert podman.engine.tags(home) == {}
