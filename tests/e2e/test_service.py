"""The daemon as a service: a real systemd of the test's user, and what there is without one."""

from __future__ import annotations

import fcntl
import os
import plistlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpel.cli import service
from tests.support.project import DEFAULT_CONFIG, Project, ProjectFactory

# systemd runs as a user's only where the system was booted with it: in a mount namespace of its
# own it cannot tell, and sees the cgroups it wants.
ALONE = Path("/tmp/rumpel-test-systemd.lock")
INSIDE = """
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mkdir -p /run/systemd/system
own=/sys/fs/cgroup/systemd
if ! [ -e /sys/fs/cgroup/cgroup.controllers ] && ! mountpoint -q $own; then
    mkdir -p $own
    mount -t cgroup -o none,name=systemd cgroup $own
fi
exec systemd --user --log-target=null
"""


def systemctl(project: Project, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemctl", "--user", *args],
        env=project.home.env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.fixture(name="project")
def with_a_systemd(rumpel_project: ProjectFactory) -> Iterator[Project]:
    if not shutil.which("systemd") or not shutil.which("unshare") or os.geteuid() != 0:
        pytest.skip("no systemd that can be started here")
    lock = ALONE.open("w")  # two would have the same cgroup for a unit, and end each other's
    fcntl.flock(lock, fcntl.LOCK_EX)
    project = rumpel_project()
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", INSIDE]
    process = project.home.start(argv, cwd=project.root)
    try:
        project.wait_until(
            lambda: (
                process.poll() is not None
                or systemctl(project, "show", "--property=Version").returncode == 0
            ),
            "systemd answers",
        )
        if process.poll() is not None:
            pytest.skip("systemd does not run as a user's here")
        yield project
        project.run("system-uninstall", "--force").assert_ok()
    finally:
        systemctl(project, "exit")
        process.terminate()
        process.wait(20)
        lock.close()


def active(project: Project, unit: str) -> bool:
    return systemctl(project, "is-active", unit).stdout.strip() == "active"


def daemon_pid(project: Project) -> int:
    return int(project.run("daemon", "status", "--json").assert_ok().data["pid"])


def test_systemd_starts_the_daemon_when_somebody_asks(project: Project) -> None:
    project.run("create", "a").assert_ok()
    by_command = daemon_pid(project)
    said = project.run("system-install", "--json").assert_ok().data
    assert (said["manager"], said["changed"], len(said["files"])) == ("systemd", True, 2)
    assert active(project, "rumpel.socket")
    assert not active(project, "rumpel.service"), "nobody asked yet"
    assert [row["name"] for row in project.run("list", "--json").assert_ok().data] == ["a"]
    assert active(project, "rumpel.service")
    main = systemctl(project, "show", "-P", "MainPID", "rumpel.service").stdout.strip()
    assert int(main) == daemon_pid(project) != by_command
    again = project.run("system-install").assert_ok()
    assert again.stdout.startswith("installed already, nothing to do")
    assert daemon_pid(project) == int(main), "it is left alone"
    project.inside("a", "git commit -q --allow-empty -m x")
    os.kill(int(main), signal.SIGKILL)
    project.run("list").assert_ok()
    assert daemon_pid(project) != int(main)
    project.run("daemon", "stop").assert_ok()
    assert project.home.socket.exists(), "systemd goes on listening"
    assert project.inside("a", "git log -1 --format=%s") == "x"
    for path in said["files"]:
        assert Path(path).stat().st_mode & 0o777 == 0o600
    gone = project.run("system-uninstall").assert_ok()
    assert gone.stdout.startswith("the service is gone")
    assert not any(Path(path).exists() for path in said["files"])
    assert project.run("system-uninstall").assert_ok().stdout.startswith("no service was")
    assert project.inside("a", "git log -1 --format=%s") == "x", "as before"


def test_what_runs_is_not_ended_for_it(project: Project) -> None:
    waits = "mkfifo /tmp/go && read line </tmp/go"
    project.write(
        {".devcontainer/devcontainer.json": {**DEFAULT_CONFIG, "postCreateCommand": waits}}
    )
    making = project.start("create", "a")
    project.wait_until(
        lambda: (
            any(row["State"] == "running" for row in project.containers("a"))
            and project.exec("a", "test", "-p", "/tmp/go", check=False).code == 0
        ),
        "it waits",
    )
    project.run("system-install").assert_error(4, "in progress", "--force")
    assert not active(project, "rumpel.socket")
    project.exec("a", "sh", "-c", "echo go >/tmp/go")
    assert making.wait(30) == 0
    kept = "sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >/tmp/pid"
    project.exec("a", "sh", "-c", kept)
    project.run("system-install").assert_ok()
    project.run("list").assert_ok()
    project.exec("a", "sh", "-c", "kill -0 $(cat /tmp/pid)")


def test_another_version_takes_over(project: Project) -> None:
    """The units name another program: the daemon that runs ends, and that one is started."""
    project.run("create", "a").assert_ok()
    project.run("system-install").assert_ok()
    first = daemon_pid(project)
    unit = Path(project.home.env["XDG_CONFIG_HOME"]) / "systemd/user/rumpel.service"
    text = unit.read_text()
    unit.write_text(text.replace("Description=The rumpel", "Description=An old rumpel"))
    assert project.run("system-install", "--json").assert_ok().data["changed"] is True
    assert unit.read_text() == text
    assert daemon_pid(project) != first
    assert project.run("list", "--json").data[0]["status"] == "running"


def test_a_session_without_a_runtime_folder_finds_it(project: Project) -> None:
    project.run("system-install").assert_ok()
    env: dict[str, str | None] = {"XDG_RUNTIME_DIR": None}
    told = project.run("daemon", "status", "--json", env=env)
    assert told.code != 0, "status starts nothing"
    project.run("list", env=env).assert_ok()
    assert active(project, "rumpel.service")
    assert len(project.home.daemon_pids()) == 1
    env["XDG_STATE_HOME"] = str(project.home.path / "other")
    project.run("list", env=env).assert_ok()
    assert len(project.home.daemon_pids()) == 2, "of another state it is another one"
    project.run("daemon", "stop", env=env).assert_ok()


def test_purge_lists_asks_and_leaves_nothing(project: Project) -> None:
    project.run("create", "a", "b").assert_ok()
    project.run("system-install").assert_ok()
    project.inside("a", "git commit -q --allow-empty -m unmerged")
    project.wait_for_ref("a", project.inside("a", "git rev-parse HEAD"))
    refused = project.run("system-uninstall", "--purge")
    refused.assert_error(2, "nobody can answer", "--yes")
    assert "pod a of " in refused.stderr
    assert "container" in refused.stderr
    said = project.run("system-uninstall", "--purge", "--yes")
    said.assert_error(4, "stays, and with it the rest", "--force")
    assert project.home.state.exists()
    assert active(project, "rumpel.socket")
    assert "a" in project.run("list", "-q").assert_ok().stdout.split()
    label = project.home.label
    child = project.spawn("system-uninstall", "--purge", "--force")
    child.expect("Remove all of it")
    child.sendline("y")
    child.expect("the service is gone")
    child.wait()
    api = project.docker.api
    for rows in (
        api.containers(all=True, filters={"label": label}),
        api.volumes(filters={"label": label})["Volumes"] or [],
        api.images(filters={"label": label}),
    ):
        assert rows == []
    assert not project.home.state.exists()
    assert not project.home.socket.parent.exists()
    refs = project.git("for-each-ref", "--format=%(refname)")
    assert refs.split() == ["refs/heads/main"]
    assert not active(project, "rumpel.socket")


def test_without_a_service_manager_it_says_that_none_is_needed(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    project = rumpel_project()
    said = project.run("system-install")
    if said.code == 0:
        project.run("system-uninstall").assert_ok()
        pytest.skip("there is one")
    said.assert_error(1, "neither a systemd of yours nor launchd", "by itself")
    assert project.run("system-install", "--json").json()["error"]["code"] == "no-service-manager"
    project.run("create", "a").assert_ok()
    done = project.run("system-uninstall", "--purge", "--yes").assert_ok()
    assert "no service was installed" in done.stdout
    assert not project.home.state.exists()


HOSTILE = '/tmp/a b%h$HOME"\\x/run/daemon.sock'


def test_odd_paths_are_words_of_a_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    env = {"RUMPEL_SOCKET": HOSTILE, "DOCKER_X": 'q"u%o\\te $HOME', "PATH": os.environ["PATH"]}
    made = service.files(service.SYSTEMD, env | {"XDG_CONFIG_HOME": str(tmp_path)})
    service.write(made)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", *made],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if "rumpel" in line]
    assert said == []
    text = made[str(tmp_path / "systemd/user/rumpel.service")].decode()
    assert 'Environment="DOCKER_X=q\\"u%%o\\\\te $HOME"' in text


def test_no_password_of_a_proxy_is_in_a_unit(tmp_path: Path) -> None:
    env = {"HTTPS_PROXY": "http://me:secret@p:1", "http_proxy": "http://p:1"}
    for kind in (service.SYSTEMD, service.LAUNCHD):
        made = service.files(kind, env | {"HOME": str(tmp_path), "RUMPEL_SOCKET": "/x/y"})
        assert not any(b"secret" in content for content in made.values())
        assert any(b"http://p:1" in content for content in made.values())


def test_the_launchd_agent_is_what_launchd_reads(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "RUMPEL_SOCKET": HOSTILE}
    ((path, content),) = service.files(service.LAUNCHD, env).items()
    assert path == f"{tmp_path}/Library/LaunchAgents/rumpel.daemon.plist"
    found = plistlib.loads(content)
    assert found["ProgramArguments"] == [sys.executable, "-P", "-m", "rumpel.daemon"]
    assert found["EnvironmentVariables"]["RUMPEL_SOCKET"] == HOSTILE
    assert found["RunAtLoad"] is True
