"""Pods on a remote host: OpenSSH's server leads to the engine, everything else is as ever."""

from __future__ import annotations

import json
import time
from pathlib import Path

import asyncssh
import pytest

from tests.support.engine import Engine
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow]
HOST = "ssh://plain"


@pytest.mark.parametrize("way", ["plain", "strict"])
def test_the_whole_life_of_a_pod(rumpel_project: ProjectFactory, sshd: Sshd, way: str) -> None:
    """`strict` does not forward sockets: there `docker system dial-stdio` carries everything."""
    project, host = rumpel_project(), f"ssh://{way}"
    made = project.run("create", "a", "--host", host, "--json").assert_ok()
    assert made.data[0]["host"] == host
    assert project.inside("a", "git log -1 --format=%s") == "first"
    project.inside("a", "echo new > new && git add new && git commit -qm second")
    oid = project.inside("a", "git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    row = project.run("list", "--json").assert_ok().data[0]
    assert (row["host"], row["status"], row["git"]["ahead"]) == (host, "running", 1)
    project.run("stop", "a").assert_ok()
    assert project.run("list", "--json").data[0]["status"] == "stopped"
    assert project.inside("a", "git rev-parse HEAD") == oid
    project.write({".devcontainer/devcontainer.json": _with_env(project.root)})
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "git rev-parse HEAD; echo $NEW") == f"{oid}\nyes"
    project.run("delete", "a", "--force").assert_ok()
    assert project.run("list", "--json").assert_ok().data == []
    assert project.containers() == []


def test_connections_for_many_streams_go_with_them(
    rumpel_project: ProjectFactory, sshd: Sshd
) -> None:
    """sshd lets one carry ten: the others are there for as long as they are needed, if only for
    a stream of ours that was opened meanwhile.
    """
    project = rumpel_project()
    project.run("create", "a", "--host", "ssh://strict").assert_ok()

    def connections() -> int:
        count = "grep -ls '^sshd: root@' /proc/[0-9]*/cmdline | wc -l"
        return int(sshd.engine.exec(sshd.container, "sh", "-c", count).stdout)

    before = connections()
    project.inside("a", "mkfifo /tmp/go")
    waits = [project.start("enter", "a", "--", "cat", "/tmp/go") for _ in range(24)]
    project.wait_until(lambda: connections() >= before + 2, "one was not enough")
    for process in waits:
        process.terminate()
        process.wait(30)
    project.wait_until(lambda: connections() < before + 2, "they are closed again")
    assert project.inside("a", "echo on") == "on"
    project.run("delete", "a", "--force").assert_ok()


def _with_env(root: Path) -> str:
    found = json.loads((root / ".devcontainer/devcontainer.json").read_text())
    return json.dumps({**found, "containerEnv": {"NEW": "yes"}})


def refused(project: Project, host: str, code: str, *, exit_code: int = 5) -> str:
    """What `create` says of a host, and its hint; nothing was made."""
    done = project.run("create", "a", "--host", host, "--json")
    assert done.code == exit_code, done
    error = json.loads(done.stdout)["error"]
    assert error["code"] == code, error
    assert project.containers() == []
    return f"{error['message']} | {error['hint']}"


def test_who_is_not_let_in_is_told_why(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    project = rumpel_project()
    sshd.configure(known=False)
    said = refused(project, HOST, "host-key-unknown")
    assert sshd.host_key.get_fingerprint() in said
    assert "| ssh plain   shows it" in said

    sshd.configure(key=asyncssh.generate_private_key("ssh-ed25519"))
    said = refused(project, HOST, "host-key-changed")
    assert f"-R '[127.0.0.1]:{sshd.ports['plain']}'" in said

    sshd.configure()
    own, sshd.user_key = sshd.user_key, asyncssh.generate_private_key("ssh-ed25519")
    sshd.configure()
    assert "refuses to let root in" in refused(project, HOST, "ssh-refused")
    sshd.user_key = own
    sshd.configure()
    said = refused(project, "ssh://dev@plain", "no-docker")
    assert "no permission to use Docker at ssh://dev@plain (/var/run/docker.sock)" in said
    assert "nobody listens" in refused(project, "ssh://plain:1", "host-unreachable")
    # After all that the next request gets through: nothing is remembered against the host.
    project.run("create", "a", "--host", HOST).assert_ok()


def test_names_that_are_none(rumpel_project: ProjectFactory, home: Home) -> None:
    project = rumpel_project()
    mark = home.path / "ran"
    (home.path / "home/.ssh").mkdir(mode=0o700)
    (home.path / "home/.ssh/config").write_text(f"Host *\n  ProxyCommand touch {mark}; exit 1\n")
    hostile = [
        *("ssh://", "ssh://-oProxyCommand=x", "ssh://a;touch x", "ssh://$(id)", "ssh://a b"),
        *("ssh://u@-l", "ssh://-l@h", "ssh://h:0", "ssh://h:99999", "ssh://h:x", "ssh://h/p"),
        *("ssh://a@b@c", "ssh://h\n", "ssh://`x`", "ssh://[::1", "ssh://h?x", "tcp://h:1", "x"),
        *("ssh://%h", "ssh://h\u202e", "ssh://" + "a" * 300, "ssh://ü", "ssh://u:p@h"),
    ]
    for name in hostile:
        done = project.run("create", "a", f"--host={name}")
        assert done.code == 2, (name, done)
    assert not mark.exists()


def test_no_docker_there(
    rumpel_project: ProjectFactory, home: Home, docker_engine: Engine, sshd_image: str
) -> None:
    with Sshd(home, docker_engine, sshd_image, engine_socket=None) as machine:
        project = rumpel_project()
        said = refused(project, HOST, "no-docker")
        assert machine.container
        assert "does not answer: " in said
        assert "| ssh plain docker info" in said


def test_a_host_that_the_repository_names_needs_consent(
    rumpel_project: ProjectFactory, sshd: Sshd
) -> None:
    project = rumpel_project({".rumpelpod.json": {"host": HOST}})
    done = project.run("create", "a")
    assert done.code == 4
    assert f"sends your commits to {HOST}" in done.stderr
    assert sshd.sessions() == []
    project.run("create", "a", "--host", HOST).assert_ok()  # the user's own word
    project.run("create", "b", "--trust").assert_ok()
    project.run("create", "c").assert_ok()
    assert {row["host"] for row in project.run("list", "--json").data} == {HOST}


def test_lost_connections_come_back(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    project = rumpel_project()
    project.run("create", "a", "--host", HOST).assert_ok()
    container = project.container_id("a")
    for _ in range(3):
        assert sshd.kill_sessions() > 0
        begun = time.monotonic()
        assert project.inside("a", "echo here") == "here"
        assert time.monotonic() - begun < 10
    assert sshd.kill_sessions() > 0
    # Nobody asks for anything: the commit arrives all the same.
    commit = "git commit -q --allow-empty -m late && git rev-parse HEAD"
    done = project.exec("a", "sh", "-c", commit, cwd=_folder(project, container))
    project.wait_for_ref("a", done.stdout.strip())
    project.run("create", "a").assert_ok()
    assert project.container_id("a") == container
    assert len(project.containers("a")) == 1


def test_no_command_is_lost_when_a_session_ends(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    """Nobody has noticed yet: the command is begun all the same, once."""
    project = rumpel_project()
    project.run("create", "a", "--host", HOST).assert_ok()
    for number in range(8):
        sshd.kill_sessions()
        project.inside("a", f"echo {number} >> ran")
    assert project.inside("a", "cat ran").split() == [str(number) for number in range(8)]


def _folder(project: Project, container: str) -> str:
    return str(project.docker.inspect(container)["Config"]["WorkingDir"])


def test_a_silent_connection_is_found(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    """Its other end is stopped, not closed: only keepalive tells."""
    project = rumpel_project()
    project.run("create", "a", "--host", HOST).assert_ok()
    begun = time.monotonic()
    assert sshd.kill_sessions("STOP") > 0
    project.wait_until(lambda: len(sshd.sessions()) > 1, "a new session beside the stopped one")
    assert time.monotonic() - begun < 30
    assert project.inside("a", "echo here") == "here"


def test_a_dead_host_keeps_nobody_waiting(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    project, other = rumpel_project(), rumpel_project(name="other")
    project.run("create", "far", "--host", HOST).assert_ok()
    project.run("daemon", "stop", "--force").assert_ok()  # one engine has one name in a daemon
    sshd.engine.api.pause(sshd.container)
    try:
        other.run("create", "near").assert_ok()
        took = []
        for _ in range(3):
            begun = time.monotonic()
            rows = project.run("list", "--all", "--json").assert_ok().data
            took.append(time.monotonic() - begun)
            assert {row["name"]: row["status"] for row in rows} == {
                "near": "running",
                "far": "unreachable",
            }
        assert min(took) < 1.0
        assert other.inside("near", "echo here") == "here"
        done = project.run("enter", "far", "--", "true")
        assert done.code == 5
        assert done.elapsed_s < 15
        assert "did not answer" in done.stderr
    finally:
        sshd.engine.api.unpause(sshd.container)
    assert "same Docker engine" in project.run("enter", "far", "--", "true").stderr
    other.run("delete", "near", "--force").assert_ok()


def test_by_way_of_another_host(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    """`behind` is reached from `plain` only; each has a key that must be known."""
    port = sshd.ports["strict"]
    config = sshd.folder / "config"
    known = (sshd.folder / "known_hosts").read_text()
    config.write_text(
        f"Host behind\n  ProxyJump plain\n  Port 2222\n  HostKeyAlias inner\n{config.read_text()}"
    )
    project = rumpel_project()
    assert "not known" in refused(project, "ssh://behind", "host-key-unknown")
    key = next(line for line in known.splitlines() if f":{port} " in line).partition(" ")[2]
    (sshd.folder / "known_hosts").write_text(f"{known}[inner]:2222 {key}\n")
    project.run("create", "a", "--host", "ssh://behind").assert_ok()
    assert project.inside("a", "echo here") == "here"
