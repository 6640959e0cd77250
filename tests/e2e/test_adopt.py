"""The database is lost while pods live: Docker and git are the truth."""

from __future__ import annotations

import io
import uuid

import pytest

from rumpel import names
from rumpel.tasks.container import LABEL_MEMO
from tests.support.project import Project, ProjectFactory

pytestmark = pytest.mark.near("who has a remote engine could name any repository of this machine")

COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"


def lose_the_database(project: Project) -> None:
    project.run("daemon", "stop").assert_ok()
    for path in project.home.state.glob("state.db*"):
        path.unlink()


def commit_past_rumpel(project: Project, pod: str) -> str:
    script = f"cd /workspaces/repo && git config --global safe.directory '*' && {COMMIT}"
    return project.exec(pod, "sh", "-ec", script).stdout.strip()


def test_pods_are_rebuilt_from_their_containers(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p", "q").assert_ok()
    first = project.run("enter", "p", "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()
    project.wait_for_ref("p", first)
    project.run("enter", "q", "--", "touch", "precious").assert_ok()
    ids = {pod: project.container_id(pod) for pod in ("p", "q")}
    lose_the_database(project)
    assert sorted(project.run("list", "-q").assert_ok().stdout.split()) == ["p", "q"]
    second = commit_past_rumpel(project, "p")
    project.wait_for_ref("p", second)
    onward = project.commit("on the host")
    entered = project.run("enter", "q", "--", "cat", "/proc/self/cwd/precious").assert_ok()
    assert entered.stdout == ""
    project.wait_until(
        lambda: (
            project.run("enter", "q", "--", "git", "rev-parse", "host/main").stdout.strip()
            == onward
        ),
        "the host's commit arrives in the pod",
    )
    assert {pod: project.container_id(pod) for pod in ("p", "q")} == ids
    project.run("delete", "p").assert_error(4, "2 unmerged commits", second[:12])
    project.run("delete", "q").assert_error(4, "1 uncommitted file")
    project.run("stop", "q").assert_ok()
    project.run("create", "q").assert_ok()
    assert {pod: project.container_id(pod) for pod in ("p", "q")} == ids
    project.run("delete", "--force", "p", "q").assert_ok()
    assert second in project.repo.refs("refs/rumpel/keep").values()
    assert project.containers() == []
    project.run("undelete", "q").assert_ok()
    project.run("enter", "q", "--", "cat", "precious").assert_ok()
    project.run("delete", "--force", "q").assert_ok()


def test_tools_made_anew_change_nothing(rumpel_project: ProjectFactory) -> None:
    """Two daemons that build one layer at once, or an image that was removed: another id."""
    project = rumpel_project(
        config={
            "image": "rumpel-mini:1",
            "runArgs": ["--network=none"],
            "workspaceFolder": f"/ws/{uuid.uuid4().hex[:12]}",
        }
    )
    project.run("create", "p").assert_ok()
    container = project.containers("p")[0]
    api = project.docker.api
    (tag,) = api.inspect_image(container["ImageID"])["RepoTags"]
    dockerfile = io.BytesIO(f"FROM {tag}\nLABEL made-by=test\n".encode())
    list(api.build(fileobj=dockerfile, tag=tag, rm=True))
    assert api.inspect_image(tag)["Id"] != container["ImageID"]
    try:
        project.run("stop", "p").assert_ok()
        lose_the_database(project)
        project.run("create", "p").assert_ok()
        assert project.container_id("p") == container["Id"]
        project.run("delete", "p").assert_ok()
    finally:
        api.remove_image(tag, force=True)


@pytest.mark.parametrize("then", ["enter", "stop", "delete"])
def test_the_first_command_finds_the_pod(rumpel_project: ProjectFactory, then: str) -> None:
    """It must not make a second one of the same name."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    container = project.container_id("p")
    lose_the_database(project)
    project.run(then, "p", *(("--", "true") if then == "enter" else ())).assert_ok()
    if then != "delete":
        assert project.container_id("p") == container
        project.run("delete", "p").assert_ok()
    assert project.containers() == []


def test_a_pod_without_a_memo(rumpel_project: ProjectFactory) -> None:
    """As older versions made them: still listed, entered, stopped and guarded."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    oid = commit_past_rumpel(project, "p")
    project.wait_for_ref("p", oid)
    old = project.docker.api.inspect_container(project.container_id("p"))
    labels = {k: v for k, v in old["Config"]["Labels"].items() if k != LABEL_MEMO}
    project.run("stop", "p").assert_ok()
    lose_the_database(project)
    image = project.docker.api.commit(old["Id"], changes="LABEL made-by=test")["Id"]
    project.docker.api.remove_container(old["Id"], v=True, force=True)
    host_config = project.docker.api.create_host_config(network_mode="none", init=True)
    host_config["Mounts"] = old["HostConfig"]["Mounts"]
    project.docker.api.create_container(
        image,
        entrypoint=old["Config"]["Entrypoint"],
        command=[],
        labels=labels,
        working_dir=old["Config"]["WorkingDir"],
        stdin_open=True,
        host_config=host_config,
        name=f"{old['Name'].lstrip('/')}-again",
    )
    project.docker.api.start(project.container_id("p"))
    try:
        assert project.run("list", "-q").assert_ok().stdout == "p\n"
        out = project.run("enter", "p", "--", "git", "rev-parse", "HEAD").assert_ok().stdout
        assert out.strip() == oid
        project.run("delete", "p").assert_error(4, "1 unmerged commit")
        project.run("delete", "--force", "p").assert_ok()
    finally:
        project.docker.api.remove_image(image, force=True)


def test_the_memo_has_no_secret(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        config={
            "image": "rumpel-mini:1",
            "runArgs": ["--network=none"],
            "containerEnv": {"TOKEN": "canary-value"},
        }
    )
    project.run("create", "p").assert_ok()
    labels = project.containers("p")[0]["Labels"]
    assert labels[names.LABEL_POD] == "p"
    assert project.repo.oid("HEAD") in labels[LABEL_MEMO]
    assert "canary-value" not in str(labels)
    project.run("delete", "p").assert_ok()
