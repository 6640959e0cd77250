"""Ten pods behind one connection: it is cut, falls silent, is swallowed, and is made anew."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from rumpel import names
from tests.support.engine import Engine
from tests.support.far_engine import FarEngine
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
HOST, COUNT = "ssh://plain", 10
SILENT_S = 20.0
"""Longer than it takes to give a silent connection up."""
PODS = [f"p-{number}" for number in range(1, COUNT + 1)]
COMMIT = "git commit -q --allow-empty -m x && git rev-parse HEAD"


@pytest.fixture
def far(home: Home, docker_engine: Engine, sshd_image: str, dockerd: FarEngine) -> Iterator[Sshd]:
    with Sshd(home, docker_engine, sshd_image, far=dockerd) as machine:
        yield machine


def containers(far: Sshd) -> dict[str, str]:
    assert far.far is not None
    found = far.far.engine.containers(f"{names.LABEL_KIND}=pod")
    return {one["Labels"][names.LABEL_POD]: one["Id"] for one in found}


def commit_everywhere(far: Sshd) -> dict[str, str]:
    """By the engine itself, as an agent in the pod would: nobody here is asked."""
    assert far.far is not None
    folder = "/workspaces/repo"
    return {
        pod: far.far.engine.exec(one, "sh", "-c", COMMIT, cwd=folder).stdout.strip()
        for pod, one in containers(far).items()
    }


def all_arrive(project: Project, oids: dict[str, str]) -> None:
    assert sorted(oids) == sorted(PODS)
    for pod, oid in oids.items():
        project.wait_for_ref(pod, oid)


def swallow(far: Sshd, *, is_on: bool) -> None:
    """Everything that goes to sshd, and not a word about it."""
    pid = far.engine.inspect(far.container)["State"]["Pid"]
    rule = ["INPUT", "-p", "tcp", "--dport", "22", "-j", "DROP"]
    subprocess.run(
        ["nsenter", "-t", str(pid), "-n", "iptables", "-A" if is_on else "-D", *rule],
        check=True,
        capture_output=True,
    )


@pytest.mark.one_in(3)
def test_ten_pods_come_back(rumpel_project: ProjectFactory, far: Sshd) -> None:
    project = rumpel_project()
    project.run("create", *PODS, "--host", HOST, timeout=120).assert_ok()
    before = containers(far)

    far.kill_sessions()
    all_arrive(project, commit_everywhere(far))

    far.engine.api.pause(far.container)
    try:
        oids = commit_everywhere(far)
        time.sleep(SILENT_S)  # what is tested is the silence itself
    finally:
        far.engine.api.unpause(far.container)
    all_arrive(project, oids)

    if shutil.which("nsenter") and shutil.which("iptables"):
        swallow(far, is_on=True)
        oids = commit_everywhere(far)
        time.sleep(SILENT_S)
        swallow(far, is_on=False)
        all_arrive(project, oids)

    port = far.ports["plain"]
    far.stop()
    oids = commit_everywhere(far)
    far.start()  # at another port, as the configuration says by then
    assert far.ports["plain"] != port
    assert project.inside("p-1", "git rev-parse HEAD") == oids["p-1"]
    all_arrive(project, oids)
    assert containers(far) == before
    project.run("delete", "--force", *PODS, timeout=120).assert_ok()


def test_what_a_pod_gets_while_its_host_is_away(rumpel_project: ProjectFactory, far: Sshd) -> None:
    """The host's commits wait here, and are behind `host` once it is back."""
    project = rumpel_project()
    project.run("create", "a", "--host", HOST).assert_ok()
    far.stop()
    oid = project.commit("while it was away", {"new": "1"})
    far.start()
    show = "git fetch -q host || :; git rev-parse host/main"
    project.wait_until(lambda: project.inside("a", show) == oid, "the commit is behind host")
    project.run("delete", "a", "--force").assert_ok()
