"""An image that this machine has is brought to another engine; never the other way round."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.test_image import FOLDER, dockerfile, image
from tests.support.engine import MINI_IMAGE, Engine
from tests.support.far_engine import Dockerd, FarEngine
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow]
HOST = "ssh://plain"
BUILD = {
    "build": {"dockerfile": "Dockerfile", "options": ["--network=none"]},
    "runArgs": ["--network=none"],
}
"""The other engine has no network."""
UUID = "cat /proc/sys/kernel/random/uuid >/stamp"


@pytest.fixture(scope="module")
def dockerd(docker_engine: Engine) -> Iterator[FarEngine]:
    """With no image at all: what is there was brought."""
    with Dockerd() as engine:
        yield engine


@pytest.fixture
def far(
    home: Home, docker_engine: Engine, sshd_image: str, dockerd: FarEngine
) -> Iterator[FarEngine]:
    with Sshd(home, docker_engine, sshd_image, far=dockerd):
        yield dockerd
    for container in dockerd.engine.api.containers(all=True):
        dockerd.engine.api.remove_container(container["Id"], force=True, v=True)
    for made in dockerd.engine.api.images():
        dockerd.engine.api.remove_image(made["Id"], force=True)
    for volume in dockerd.engine.api.volumes()["Volumes"] or ():
        dockerd.engine.api.remove_volume(volume["Name"])


def built(rumpel_project: ProjectFactory) -> Project:
    """Unlike any other: two of the same name and content would have one tag."""
    text = dockerfile(f"echo {uuid.uuid4()}", UUID)
    return rumpel_project({f"{FOLDER}/Dockerfile": text}, config=BUILD)


def test_a_build_is_brought(rumpel_project: ProjectFactory, far: FarEngine) -> None:
    project = built(rumpel_project)
    here = image(project, "build")
    there = image(project, "build", "--host", HOST)
    assert (there["hit"], there["how"], there["host"]) == (False, "moved", HOST)
    assert there["image_id"] == here["image_id"]
    assert far.engine.api.inspect_image(here["tag"])["Id"] == here["image_id"]
    assert image(project, "build", "--host", HOST)["hit"]
    said = project.run("image", "build", "--host", HOST).assert_ok().stdout
    assert said == f"{here['tag']} on {HOST}: there already, nothing changed\n"


def test_a_pod_elsewhere_profits(rumpel_project: ProjectFactory, far: FarEngine) -> None:
    project = built(rumpel_project)
    project.run("create", "a").assert_ok()
    stamp = project.inside("a", "cat /stamp")
    project.run("create", "b", "--host", HOST).assert_ok()
    assert project.inside("b", "cat /stamp") == stamp
    project.run("delete", "a", "b").assert_ok()


def test_what_is_asked_for_by_name_is_made_there(
    rumpel_project: ProjectFactory, docker_engine: Engine, mini_image: str, far: FarEngine
) -> None:
    far.load(docker_engine, mini_image)
    project = built(rumpel_project)
    here = image(project, "build")
    there = image(project, "build", "--force", "--host", HOST)
    assert there["how"] == "built"
    assert there["image_id"] != here["image_id"]


def test_nothing_comes_from_elsewhere(
    rumpel_project: ProjectFactory, docker_engine: Engine, mini_image: str, far: FarEngine
) -> None:
    """Who has that engine could put anything into an image."""
    far.load(docker_engine, mini_image)
    project = built(rumpel_project)
    there = image(project, "build", "--host", HOST)
    assert there["how"] == "built"
    here = image(project, "build")
    assert here["how"] == "built"
    assert here["image_id"] != there["image_id"]


def test_what_is_not_the_same_is_not_brought(
    rumpel_project: ProjectFactory, docker_engine: Engine, mini_image: str, far: FarEngine
) -> None:
    far.load(docker_engine, mini_image)
    project = built(rumpel_project)
    image(project, "build")
    project.write({f"{FOLDER}/Dockerfile": dockerfile(UUID, "echo more")})
    assert image(project, "build", "--host", HOST)["how"] == "built"


def test_an_image_no_registry_has(rumpel_project: ProjectFactory, far: FarEngine) -> None:
    project = rumpel_project()
    failed = project.run("image", "fetch", "--host", HOST, "--json")
    assert failed.code == 1, "this machine has not fetched it, either"
    image(project, "fetch")
    moved = image(project, "fetch", "--host", HOST)
    assert (moved["how"], moved["tag"]) == ("moved", MINI_IMAGE)
    assert far.engine.has_image(MINI_IMAGE)
