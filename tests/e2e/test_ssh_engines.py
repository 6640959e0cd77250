"""Two engines in one daemon: this machine's, and one of its own behind OpenSSH's server."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpel import names
from tests.support.engine import MINI_IMAGE, Engine
from tests.support.far_engine import Dockerd, FarEngine, Podman, RootlessPodman
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow]
HOST = "ssh://plain"


@pytest.fixture(scope="module")
def podman(docker_engine: Engine, mini_image: str) -> Iterator[FarEngine | None]:
    if shutil.which("podman") is None:
        yield None
        return
    with Podman() as engine:
        engine.load(docker_engine, mini_image)
        yield engine


@pytest.fixture
def far(
    request: pytest.FixtureRequest,
    home: Home,
    docker_engine: Engine,
    sshd_image: str,
    dockerd: FarEngine,
    podman: FarEngine | None,
) -> Iterator[Sshd]:
    """`ssh://plain` leads to the engine that the test names."""
    engine = dockerd if request.param == "dockerd" else needed(podman)
    with Sshd(home, docker_engine, sshd_image, far=engine) as machine:
        yield machine


def needed(podman: FarEngine | None) -> FarEngine:
    if podman is None:
        pytest.skip("podman is not installed")
    return podman


both = pytest.mark.parametrize("far", ["dockerd", "podman"], indirect=True)
one = pytest.mark.parametrize("far", ["dockerd"], indirect=True)


def whole_life(project: Project, *host: str) -> None:
    """Create to undelete of one pod, its commits and dirty work kept."""
    project.run("create", "a", *host).assert_ok()
    assert project.inside("a", "git log -1 --format=%s") == "first"
    project.inside("a", "echo new > new && git add new && git commit -qm second && echo d > dirty")
    oid = project.inside("a", "git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    row = project.run("list", "--json").assert_ok().data[0]
    assert (row["status"], row["git"]["ahead"]) == ("running", 1)
    later = project.commit("later", {"later": "1"})
    show = "git fetch -q host || :; git rev-parse host/main"
    wait_until_shown(project, "a", show, later)
    project.run("stop", "a").assert_ok()
    assert project.run("list", "--json").data[0]["status"] == "stopped"
    config = project.root / ".devcontainer/devcontainer.json"
    config.write_text(config.read_text().replace("{", '{"containerEnv": {"NEW": "yes"}, ', 1))
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "git rev-parse HEAD; cat dirty; echo $NEW") == f"{oid}\nd\nyes"
    project.run("fork", "a", "b").assert_ok()
    assert project.inside("b", "git rev-parse HEAD; cat dirty") == f"{oid}\nd"
    project.run("delete", "a", "b", "--force").assert_ok()
    assert project.run("list", "--json").assert_ok().data == []
    project.run("undelete", "a").assert_ok()
    assert project.inside("a", "git rev-parse HEAD; cat dirty") == f"{oid}\nd"
    project.run("delete", "a", "--force").assert_ok()


@both
def test_the_whole_life_of_a_pod(rumpel_project: ProjectFactory, far: Sshd) -> None:
    whole_life(rumpel_project(), "--host", HOST)
    assert far.far is not None
    assert far.far.engine.containers() == []


@both
def test_files_are_copied_both_ways(rumpel_project: ProjectFactory, far: Sshd) -> None:
    files = {f"tree/{n // 50}/{n}": f"{n}\n" * 500 for n in range(200)}
    project = rumpel_project(files)
    project.run("create", "a", "--host", HOST).assert_ok()
    for copy in ("first", "second"):  # the second one over what is there
        project.run("cp", "tree/.", "a:copy").assert_ok()
        project.run("cp", "a:copy", copy).assert_ok()
    project.run("stop", "a").assert_ok()
    project.run("cp", "a:copy", "stopped").assert_ok()
    for copy in ("first", "second", "stopped"):
        for name, content in files.items():
            assert (project.root / copy / name.removeprefix("tree/")).read_text() == content
    assert project.run("cp", "a:nothing", ".").code == 3
    assert project.run("cp", "tree", "a:").code == 4
    assert far.far is not None
    project.run("delete", "a", "--force").assert_ok()


@pytest.mark.one_in(2)
def test_podman_as_the_local_engine(
    rumpel_project: ProjectFactory, podman: FarEngine | None
) -> None:
    lives_at(needed(podman), rumpel_project())


def lives_at(engine: FarEngine, project: Project) -> None:
    project.run("list", env={"DOCKER_HOST": engine.url}).assert_ok()  # starts the daemon
    whole_life(project)
    (project.root / "in").write_text("there and back\n")
    project.run("create", "c", "d", "e").assert_ok()
    project.run("cp", "in", "c:/tmp/in").assert_ok()
    project.run("cp", "c:/tmp/in", "out").assert_ok()
    assert (project.root / "out").read_text() == "there and back\n"
    project.run("delete", "c", "d", "e").assert_ok()
    assert engine.engine.containers() == []


@pytest.fixture(scope="module")
def rootless(near_engine: Engine, mini_image: str) -> Iterator[FarEngine]:
    if reason := RootlessPodman.missing():
        pytest.skip(reason)
    with RootlessPodman() as engine:
        engine.load(near_engine, mini_image)
        yield engine


@pytest.mark.one_in(3)
def test_podman_of_a_user_without_privileges(
    rootless: FarEngine, rumpel_project: ProjectFactory
) -> None:
    lives_at(rootless, rumpel_project())


def wait_until_shown(project: Project, pod: str, command: str, wanted: str) -> None:
    project.wait_until(lambda: project.inside(pod, command) == wanted, f"{wanted} in {pod}")


@one
def test_two_engines_at_once(rumpel_project: ProjectFactory, far: Sshd) -> None:
    """Each pod lives where it was made; both see each other's branches."""
    project = rumpel_project()
    project.run("create", "near").assert_ok()
    project.run("create", "away", "--host", HOST).assert_ok()
    assert far.far is not None
    assert [len(project.containers(name)) for name in ("near", "away")] == [1, 0]
    rows = {row["name"]: row["host"] for row in project.run("list", "--json").data}
    assert rows == {"near": "local", "away": HOST}
    assert "HOST" in project.run("list").stdout
    for host, name in (("local", "near"), (HOST, "away")):
        assert project.run("list", "-q", "--host", host).assert_ok().stdout.split() == [name]
    assert project.run("list", "-q", "--host", "ssh://nobody").assert_ok().stdout == ""
    project.run("list", "--host", "nobody").assert_error(2, "host")
    for name in ("near", "away"):  # each host has its own image
        project.run("logs", name, "image").assert_ok()
    commit = "git commit -q --allow-empty -m work && git rev-parse HEAD"
    for name, other in (("near", "away"), ("away", "near")):
        oid = project.inside(name, commit)
        project.wait_for_ref(name, oid)
        show = f"git rev-parse rumpelpod/{name}"
        wait_until_shown(project, other, show, oid)
    project.run("delete", "near", "away", "--force").assert_ok()
    assert far.far.engine.containers() == []


def test_the_far_engine_is_started_again(
    rumpel_project: ProjectFactory, home: Home, docker_engine: Engine, sshd_image: str
) -> None:
    """Its containers went down with it: `enter` brings the pod up, nothing is made twice."""
    project = rumpel_project()
    with Dockerd() as engine, Sshd(home, docker_engine, sshd_image, far=engine):
        engine.load(docker_engine, MINI_IMAGE)
        project.run("create", "a", "--host", HOST).assert_ok()
        project.inside("a", "echo kept > dirty")
        before = {one["Id"] for one in engine.engine.containers()}
        engine.stop()
        done = project.run("enter", "a", "--", "true")
        assert done.code == 5, done
        engine.start()
        assert project.inside("a", "cat dirty") == "kept"
        assert {one["Id"] for one in engine.engine.containers()} == before
        project.run("delete", "a", "--force").assert_ok()


@one
def test_a_far_engine_that_is_stopped_holds_up_nobody(
    rumpel_project: ProjectFactory, far: Sshd, dockerd: FarEngine
) -> None:
    assert far.far is dockerd
    project = rumpel_project()
    project.run("create", "near").assert_ok()
    project.run("create", "away", "--host", HOST).assert_ok()
    dockerd.signal(signal.SIGSTOP)
    try:
        assert project.inside("near", "echo here") == "here"
        rows = {row["name"]: row for row in project.run("list", "--json").assert_ok().data}
        assert rows["near"]["status"] == "running"
        project.run("stop", "near").assert_ok()
    finally:
        dockerd.signal(signal.SIGCONT)
    assert project.inside("away", "echo here") == "here"
    project.run("delete", "near", "away", "--force").assert_ok()


def test_podman_after_stops_and_a_killed_daemon(
    rumpel_project: ProjectFactory, podman: FarEngine | None
) -> None:
    """Whoever attaches anew finds the main process deaf, or brings an ended container back."""
    engine, project = needed(podman), rumpel_project()
    project.run("list", env={"DOCKER_HOST": engine.url}).assert_ok()
    project.run("create", "a").assert_ok()
    label = f"{names.LABEL_POD}=a"
    container = engine.engine.containers(label)[0]["Id"]
    engine.engine.api.stop(container, timeout=1)
    project.wait_until(
        lambda: project.run("list", "--json").data[0]["status"] == "stopped", "list shows it"
    )
    assert project.inside("a", "echo here") == "here"
    project.home.kill_daemon()
    project.run("list", env={"DOCKER_HOST": engine.url}).assert_ok()
    oid = project.inside("a", "git commit -q --allow-empty -m late && git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    assert [one["Id"] for one in engine.engine.containers(label)] == [container]
    project.run("delete", "a", "--force").assert_ok()


def test_podman_removes_only_what_is_ours(
    rumpel_project: ProjectFactory, podman: FarEngine | None
) -> None:
    """Asked for volumes with two labels, it names those with either: other homes' too."""
    engine, project = needed(podman), rumpel_project()
    strange = {names.LABEL_KIND: "git", names.LABEL_HOME: "another"}
    engine.engine.api.create_volume("rumpel-of-another", labels=strange)
    project.run("list", env={"DOCKER_HOST": engine.url}).assert_ok()
    project.run("create", "a").assert_ok()
    project.run("delete", "a", "--force").assert_ok()
    kept = [one["Name"] for one in engine.engine.volumes(f"{names.LABEL_HOME}=another")]
    engine.engine.api.remove_volume("rumpel-of-another")
    assert kept == ["rumpel-of-another"]


@both
def test_a_workspace_stays_its_users(rumpel_project: ProjectFactory, far: Sshd) -> None:
    """Podman tells an owner of files that is none: without it git would not look at them."""
    config = {"image": MINI_IMAGE, "remoteUser": "dev", "runArgs": ["--network=none"]}
    project = rumpel_project(config=config)
    project.run("create", "a", "--host", HOST).assert_ok()
    project.inside("a", "echo dirty > dirty; chmod 600 dirty")
    project.run("recreate", "a", "--force").assert_ok()
    assert project.inside("a", "find . ! -user dev; stat -c %a dirty") == "600"
    oid = project.inside("a", "git add -A && git commit -qm x && git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    project.run("delete", "a", "--force").assert_ok()


@one
def test_bind_mounts_of_this_machine_are_copied_once(
    rumpel_project: ProjectFactory, far: Sshd, tmp_path: Path
) -> None:
    """Into a volume that the pod keeps; a single file comes with each new container."""
    tools, setting = tmp_path / "tools", tmp_path / "setting"
    (tools / "bin").mkdir(parents=True)
    (tools / "bin/tool").write_text("#!/bin/sh\necho tool\n")
    (tools / "bin/tool").chmod(0o755)
    (tools / "link").symlink_to("bin/tool")
    setting.write_text("one")
    mounts = [f"type=bind,source={tools},target=/opt/tools"]
    run_args = ["--network=none", "-v", f"{setting}:/etc/setting:ro"]
    config = {"image": MINI_IMAGE, "remoteUser": "dev", "mounts": mounts, "runArgs": run_args}
    project = rumpel_project(config=config)
    project.run("create", "a", "--host", HOST).assert_error(4, str(tools))
    said = project.run("create", "a", "--host", HOST, "--trust").assert_ok().stderr
    assert f"{tools} is copied to {HOST} once" in said
    look = "/opt/tools/link; cat /etc/setting; ls -A /opt/tools; stat -c %U /opt/tools/bin/tool"
    assert project.inside("a", look).split() == ["tool", "onebin", "link", "dev"]
    project.inside("a", "echo mine > /opt/tools/mine")
    (tools / "later").write_text("")
    setting.write_text("two")
    project.run("stop", "a").assert_ok()
    assert project.inside("a", "cat /etc/setting; ls /opt/tools").split() == [
        *("onebin", "link", "mine")
    ]
    project.run("recreate", "a", "--force", "--trust").assert_ok()
    assert project.inside("a", "cat /etc/setting; ls /opt/tools").split() == [
        *("twobin", "link", "mine")
    ]
    project.run("delete", "a", "--force").assert_ok()
    assert far.far is not None
    kept = [one["Labels"][names.LABEL_KIND] for one in far.far.engine.volumes(names.LABEL_HOME)]
    assert "volume" not in kept


@one
def test_what_cannot_be_copied_is_named(
    rumpel_project: ProjectFactory, far: Sshd, tmp_path: Path
) -> None:
    """And nothing is left of the attempt; once it is mended the next one gets through."""
    big = tmp_path / "big"
    big.mkdir()
    with (big / "hole").open("wb") as file:
        file.truncate(3 << 30)
    mounts = [f"type=bind,source={big},target=/opt/big"]
    config = {"image": MINI_IMAGE, "mounts": mounts, "runArgs": ["--network=none"]}
    project = rumpel_project(config=config)
    done = project.run("create", "a", "--host", HOST, "--trust")
    assert done.code == 4
    assert f"{big} is too large" in done.stderr
    (big / "hole").write_text("small")
    project.run("create", "a", "--host", HOST, "--trust").assert_ok()
    assert project.inside("a", "cat /opt/big/hole; ls -A /opt/big") == "smallhole"
    project.run("delete", "a", "--force").assert_ok()


@one
def test_a_mount_far_away_is_as_it_would_be_here(
    rumpel_project: ProjectFactory, far: Sshd, tmp_path: Path
) -> None:
    """Read-only where it is, instead of what the image has there; the kernel's stays theirs."""
    keys, setting, data = tmp_path / "keys", tmp_path / "setting", tmp_path / "data"
    keys.mkdir()
    data.mkdir()
    (keys / "id").write_text("secret")
    (keys / "id").chmod(0o600)
    (data / "mine").write_text("mine")
    setting.write_text("one")
    mounts = [
        f"type=bind,source={keys},target=/home/dev/.keys,readonly",
        f"type=bind,source={data},target=/var",
    ]
    run_args = ["--network=none", "-v", f"{setting}:/etc/setting:ro", "-v", "/proc/sys:/opt/proc"]
    config = {"image": MINI_IMAGE, "remoteUser": "dev", "mounts": mounts, "runArgs": run_args}
    project = rumpel_project(config=config)
    said = project.run("create", "a", "--host", HOST, "--trust").assert_ok().stderr
    assert f"/proc/sys is mounted from {HOST}" in said
    look = "cat ~/.keys/id; ls -A ~/.keys /var; stat -c '%U %a' ~/.keys/id /var/mine /etc/setting"
    assert project.inside("a", look).split() == [
        *("secret/home/dev/.keys:", "id", "/var:", "mine"),
        *("dev", "600", "dev", "644", "dev", "444"),
    ]
    tried = project.inside("a", "rm -f ~/.keys/id 2>&1 || true; rm /var/mine; cat ~/.keys/id")
    assert "Read-only file system" in tried
    assert tried.endswith("secret")
    project.run("recreate", "a", "--force", "--trust").assert_ok()
    assert project.inside("a", "ls -A /var ~/.keys").split() == ["/home/dev/.keys:", "id", "/var:"]
    project.run("delete", "a", "--force").assert_ok()


@one
def test_a_mount_that_was_filled_by_half(
    rumpel_project: ProjectFactory, far: Sshd, tmp_path: Path
) -> None:
    """By a daemon that was killed: the next begins anew, and a pod that is deleted takes all."""
    assert far.far is not None
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/tool").write_text("tool")
    mounts = [f"type=bind,source={tmp_path}/tools,target=/opt/tools"]
    project = rumpel_project(
        config={"image": MINI_IMAGE, "mounts": mounts, "runArgs": ["--network=none"]}
    )
    create, killed = ("--host", HOST, "--trust"), {"RUMPEL_FAULT": "container.carried:1:kill"}
    for name in "ab":
        assert project.run("create", name, *create, env=killed).code != 0
        project.run("daemon", "stop", "--force")
        assert len(far.far.engine.containers(f"{names.LABEL_KIND}=carrier")) == 1
        (tmp_path / "tools/tool").write_text("whole")
        if name == "a":
            project.run("create", name, *create).assert_ok()
            assert project.inside("a", "cat /opt/tools/tool") == "whole"
            assert far.far.engine.containers(f"{names.LABEL_KIND}=carrier") == []
            project.run("daemon", "stop").assert_ok()
    project.run("delete", "a", "b", "--force").assert_ok()
    assert far.far.engine.containers() == []
    kinds = [one["Labels"][names.LABEL_KIND] for one in far.far.engine.volumes(names.LABEL_HOME)]
    assert "volume" not in kinds
