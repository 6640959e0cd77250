"""Pods on a remote host: OpenSSH's server leads to the engine, everything else is as ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.project import ProjectFactory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow]


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


def _with_env(root: Path) -> str:
    found = json.loads((root / ".devcontainer/devcontainer.json").read_text())
    return json.dumps({**found, "containerEnv": {"NEW": "yes"}})
