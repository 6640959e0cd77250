"""Faults, each made for real: `doctor` knows it by its code, and `--fix` or its hint ends it."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable
from typing import Any

import asyncssh
import pytest

from rumpel import names
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd

OLD_S = 8 * 86400
PLAIN = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}


def rows(project: Project, *args: str, **more: Any) -> list[dict[str, Any]]:
    found = project.run("doctor", "--json", *args, **more).data
    assert isinstance(found, list)
    return found


def codes(found: list[dict[str, Any]]) -> set[str]:
    """Of what is wrong; how much room this machine has is not for us to say."""
    bad = {one["code"] for one in found if one["state"] in ("warning", "problem")}
    assert None not in bad, found
    return bad - {"disk-low"}


def labels(project: Project, **more: str) -> dict[str, str]:
    assert project.home.label is not None
    label, value = project.home.label.split("=")
    return {label: value, names.LABEL_NONCE: "n", **more}


def aged(project: Project, path: str) -> None:
    """A file of the state folder, older than a week."""
    file = project.home.state / path
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.write_text("x")
    then = time.time() - OLD_S
    os.utime(file, (then, then))


def stop_gateway(project: Project) -> None:
    gateway = f"{names.LABEL_KIND}=gateway"
    assert project.home.label is not None
    (state,) = project.docker.containers(project.home.label, gateway)
    project.docker.api.stop(state["Id"], timeout=1)


def take_hook(project: Project) -> None:
    project.exec("a", "rm", "/workspaces/repo/.git/hooks/reference-transaction")


def make_volume(project: Project) -> None:
    time.sleep(1.1)  # the engine tells the time of a volume in whole seconds
    owned = labels(project, **{names.LABEL_KIND: "volume", names.LABEL_POD_ID: "0" * 16})
    project.docker.api.create_volume(f"rumpel-left-{owned[names.LABEL_HOME]}", labels=owned)


def make_container(project: Project) -> None:
    owned = labels(project, **{names.LABEL_KIND: "prebuild", names.LABEL_NODE: "prebuild/x"})
    project.docker.api.create_container(MINI_IMAGE, ["true"], labels=owned)


def make_import(project: Project) -> None:
    (project.home.state / "doors" / ("1" * 32) / ("0" * 16)).mkdir(parents=True)


def make_old_trash(project: Project) -> None:
    project.run("create", "gone", env={"RUMPEL_KEEP_DELETED": "1s"}).assert_ok()
    project.run("delete", "gone", env={"RUMPEL_KEEP_DELETED": "1s"}).assert_ok()
    time.sleep(1.1)


def publish(project: Project) -> None:
    project.git("update-ref", "refs/remotes/rumpelpod/odd", "HEAD")


def open_state(project: Project) -> None:
    project.run("daemon", "stop").assert_ok()
    project.home.state.chmod(0o755)


def block_socket(project: Project) -> None:
    project.run("daemon", "stop").assert_ok()
    project.home.socket.write_text("")


FIXED: dict[str, Callable[[Project], object]] = {
    "seed-stopped": stop_gateway,
    "pod-hook": take_hook,
    "left-volumes": make_volume,
    "left-containers": make_container,
    "import-left": make_import,
    "trash-over": make_old_trash,
    "crash-old": lambda project: aged(project, "crash/crash-1.txt"),
    "database-aside": lambda project: aged(project, "state.db.unreadable-1"),
    "refs-foreign": publish,
    "state-open": open_state,
    "socket-open": lambda project: project.home.socket.chmod(0o666),
    "socket-in-way": block_socket,
}


@pytest.mark.near("it looks for pods of nobody, which a remote engine cannot give back")
@pytest.mark.parametrize("code", FIXED)
def test_what_fix_mends(rumpel_project: ProjectFactory, code: str) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    FIXED[code](project)
    project.wait_until(lambda: code in codes(rows(project)), "it is found")
    found = [one for one in rows(project) if one["code"] == code]
    assert found[0]["fixable"], found
    if code not in ("state-open", "socket-in-way"):  # there no daemon runs
        assert codes(rows(project)) == {code}
    mended = rows(project, "--fix")
    assert [one["state"] for one in mended if one["code"] == code] == ["fixed"], mended
    assert codes(rows(project)) == set()
    assert project.inside("a", "git log -1 --format=%s") == "first"


def test_nothing_else_goes(rumpel_project: ProjectFactory) -> None:
    """A published ref that is the only name of a commit stays, and so does a hook of theirs."""
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    only = project.commit("only here", {"new": "work\n"})
    project.git("reset", "-q", "--hard", "HEAD~1")
    project.git("update-ref", "refs/remotes/rumpelpod/odd", only)
    project.git("update-ref", "refs/rumpel/keep/9/heads/a", only)
    hook = "/workspaces/repo/.git/hooks/reference-transaction"
    project.exec("a", "sh", "-c", f"echo mine >{hook}; chmod 644 {hook}")
    left = codes(rows(project, "--fix"))
    assert left == {"refs-foreign", "refs-ownerless", "pod-hook"}
    assert project.git("rev-parse", "refs/remotes/rumpelpod/odd").strip() == only
    assert project.exec("a", "cat", hook).stdout == "mine\n"


def test_a_port_that_somebody_has(rumpel_project: ProjectFactory) -> None:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    number = taken.getsockname()[1]
    required = {"portsAttributes": {str(number): {"requireLocalPort": True}}}
    project = rumpel_project(config={**PLAIN, "forwardPorts": [number], **required})
    project.run("create", "a")
    assert "port-closed" in codes(rows(project))
    assert "port-closed" in codes(rows(project, "--fix"))
    taken.close()
    assert "port-closed" in {
        one["code"] for one in rows(project, "--fix") if one["state"] == "fixed"
    }
    assert codes(rows(project)) == set()


def test_a_pod_nobody_has_in_the_list(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    state = project.docker.inspect(project.container_id("a"))
    owned = {**state["Config"]["Labels"], names.LABEL_POD: "b", names.LABEL_POD_ID: "0" * 16}
    api = project.docker.api
    (seed,) = [one for one in state["Mounts"] if one["Destination"] == names.SEED_PATH]
    mounted = api.create_host_config(binds={seed["Name"]: {"bind": seed["Destination"]}})
    made = api.create_container(MINI_IMAGE, ["sleep", "60"], labels=owned, host_config=mounted)
    try:
        project.wait_until(lambda: "left-pods" in codes(rows(project)), "it is found")
    finally:
        project.docker.api.remove_container(made["Id"], force=True)
    project.wait_until(lambda: codes(rows(project)) == set(), "it is gone")


def test_what_only_the_user_mends(rumpel_project: ProjectFactory) -> None:
    """The hint is typed as it stands, and ends it."""
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    project.git("remote", "add", "--mirror=push", "backup", "/nowhere")
    project.git("remote", "add", "rumpelpod", "/nowhere")
    project.git("remote", "add", "--mirror=fetch", "all", "/nowhere")
    project.write({".rumpelpod.json": '{"cpus": "many"}'})
    project.docker.api.remove_container(project.container_id("a"), force=True)
    wanted = {"remote-push", "remote-name", "remote-fetch", "config", "pod-gone"}
    project.wait_until(lambda: codes(rows(project)) == wanted, f"{codes(rows(project))}")
    found = rows(project, "--fix")
    assert codes(found) == wanted, "none of these is for us to change"
    (project.root / ".rumpelpod.json").unlink()
    for one in found:
        if one["code"] in wanted - {"config"}:
            program, *words = shlex.split(one["hint"])
            if program == "git":
                project.git(*words)
            else:
                project.run(*words).assert_ok()
    assert codes(rows(project)) == set()


def another_way(project: Project) -> str:
    """To the same engine, as an address: its socket by another name."""
    place = project.home.env.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    link = project.home.path / "other.sock"
    link.symlink_to(place.removeprefix("unix://"))
    return f"unix://{link}"


def test_the_settings_of_the_shell_that_asks(rumpel_project: ProjectFactory) -> None:
    """Not those of the one that started the daemon."""
    project = rumpel_project()
    project.git("rm", "-rq", ".devcontainer")
    own = project.home.path / "own"
    (own / "rumpel").mkdir(parents=True)
    (own / "rumpel" / "config.json").write_text('{"defaultImage": "mine:1"}')
    rows(project)
    told = [
        [one["text"] for one in rows(project, env=env) if one["check"] == "config"]
        for env in ({}, {"XDG_CONFIG_HOME": str(own)})
    ]
    assert "pods are of mine:1" not in told[0][0]
    assert "pods are of mine:1" in told[1][0]


def test_docker_elsewhere(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    other = {"DOCKER_HOST": another_way(project)}
    assert codes(rows(project, env=other)) == {"docker-address"}
    mended = rows(project, "--fix", env=other)
    assert [one["state"] for one in mended if one["code"] == "docker-address"] == ["fixed"]
    project.wait_until(lambda: codes(rows(project, env=other)) == set(), "it is connected")


def test_docker_that_is_not_there(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    env = {"DOCKER_HOST": f"unix://{project.home.path}/none.sock"}
    found = rows(project, env=env)
    assert codes(found) == {"host-unreachable"}
    assert [one["hint"] for one in found if one["code"]] == ["docker info"]


@pytest.fixture
def git_of_old(rumpel_project: ProjectFactory) -> dict[str, str]:
    """The machine's git, but for what it says of its version."""
    project = rumpel_project(name="other")
    folder = project.home.path / "old-bin"
    folder.mkdir()
    real = subprocess.check_output(["sh", "-c", "command -v git"], text=True).strip()
    tells = '[ "$1" != --version ] || { echo git version 2.30.1; exit; }'
    (folder / "git").write_text(f'#!/bin/sh\n{tells}\nexec {real} "$@"\n')
    (folder / "git").chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def test_a_git_of_old(rumpel_project: ProjectFactory, git_of_old: dict[str, str]) -> None:
    project = rumpel_project()
    assert codes(rows(project, env=git_of_old)) == {"git-old"}


@pytest.mark.slow
def test_hosts(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    """By SSH is the only way to an engine here: one has one name."""
    project = rumpel_project()
    env = {"DOCKER_HOST": f"unix://{project.home.path}/none.sock"}

    def told() -> set[str]:
        """By a daemon that knows nothing of the host yet."""
        project.run("daemon", "stop").assert_ok()
        begun = time.monotonic()
        found = [one for one in rows(project, env=env) if one["check"] == "hosts"]
        assert time.monotonic() - begun < 12
        assert len(found) == 1
        return codes(found)

    project.run("create", "a", "--host", "ssh://plain", env=env).assert_ok()
    assert told() == set()
    sshd.configure(known=False)
    assert told() == {"host-key-unknown"}
    sshd.configure(key=asyncssh.generate_private_key("ssh-ed25519"))
    assert told() == {"host-key-changed"}
    own, sshd.user_key = sshd.user_key, asyncssh.generate_private_key("ssh-ed25519")
    sshd.configure()
    assert told() == {"ssh-refused"}
    sshd.user_key = own
    sshd.configure()
    assert told() == set()
    sshd.stop()
    assert told() == {"host-unreachable"}
    sshd.start()
    assert told() == set()
    project.run("delete", "a", env=env).assert_ok()
    project.run("daemon", "stop").assert_ok()
    no_permission = {"DOCKER_HOST": "ssh://dev@plain"}
    assert "no-docker" in codes(rows(project, env=no_permission))
