"""What somebody made by docker of something of ours has our labels, and is theirs: it stays."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from rumpel import names
from tests.support.project import Project, ProjectFactory


class Theirs:
    """An image of pod `a`, a container of that, one of the image that the pod stands on."""

    def __init__(self, project: Project) -> None:
        self.docker, mark = project.docker, project.home.path.name.lower()
        self.pod = project.container_id("a")
        commit = ["docker", "commit", "--pause=false", self.pod, f"mine-{mark}:1"]
        self.image = subprocess.check_output(commit, text=True).strip()
        base = self.docker.inspect(self.pod)["Image"]
        self.named = f"mine-{mark}:2"
        self.docker.api.tag(base, f"mine-{mark}", "2")
        self.containers = [
            self.docker.api.create_container(
                image, ["sleep", "600"], entrypoint=[], name=f"{name}-{mark}"
            )["Id"]
            for image, name in ((base, "plain"), (self.image, "copied"))
        ]
        for one in self.containers:
            self.docker.api.start(one)

    def check(self) -> None:
        for one in self.containers:
            assert self.docker.inspect(one)["State"]["Running"]
        assert self.docker.has_image(self.image)
        assert self.docker.has_image(self.named)

    def remove(self) -> None:
        for one in self.containers:
            self.docker.api.remove_container(one, force=True, v=True)
        for image in (self.image, self.named):
            self.docker.api.remove_image(image, force=True)


@pytest.fixture(name="project")
def with_a_pod(rumpel_project: ProjectFactory) -> Project:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    return project


@pytest.fixture
def theirs(project: Project) -> Iterator[Theirs]:
    made = Theirs(project)
    yield made
    made.remove()


def test_a_copy_of_a_pod_is_not_the_pod(project: Project, theirs: Theirs) -> None:
    """The newest is listed first: a daemon that starts sees the copy before the pod."""
    project.run("daemon", "restart").assert_ok()
    project.inside("a", "echo pod > /tmp/which")
    assert project.docker.exec(theirs.pod, "cat", "/tmp/which").stdout == "pod\n"
    project.run("stop", "a").assert_ok()
    assert not project.docker.inspect(theirs.pod)["State"]["Running"]
    theirs.check()
    project.run("recreate", "a", "--force").assert_ok()
    project.run("delete", "a", "--force").assert_ok()
    theirs.check()
    project.run("gc", "--all").assert_ok()
    project.run("doctor", "--fix")
    theirs.check()


def test_purge(project: Project, theirs: Theirs) -> None:
    project.run("system-uninstall", "--purge", "--yes", "--force").assert_ok()
    theirs.check()
    assert not project.home.state.exists()
    left = project.docker.api.containers(all=True, filters={"id": theirs.pod})
    assert left == []


def test_purge_of_a_pod_that_nobody_knows(project: Project) -> None:
    api, state = project.docker.api, project.docker.inspect(project.container_id("a"))
    (seed,) = [one for one in state["Mounts"] if one["Destination"] == names.SEED_PATH]
    strange = {names.LABEL_POD_ID: "0" * 16, names.LABEL_REPO: "", names.LABEL_POD: "b"}
    mounted = api.create_host_config(binds={seed["Name"]: {"bind": seed["Destination"]}})
    labels = {**state["Config"]["Labels"], **strange}
    made = api.create_container(state["Image"], [], labels=labels, host_config=mounted)["Id"]
    project.run("system-uninstall", "--purge", "--yes").assert_error(4, "no list of pods")
    assert api.containers(all=True, filters={"id": made})
    assert project.run("list", "-q").assert_ok().stdout == "a\n"
    project.run("system-uninstall", "--purge", "--yes", "--force").assert_ok()
    assert api.containers(all=True, filters={"id": made}) == []
