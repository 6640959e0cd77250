"""What tests of agents have in common: packages, screens, and a search for keys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pyte
import pytest

from rumpel import names
from tests.support.fake_api import Model, model
from tests.support.place import Place
from tests.support.project import Project

DEV = "rumpel-dev:1"
ON_HOST = {"image": DEV, "remoteUser": "dev", "runArgs": ["--network=host"]}
DETACH = "\x01d"
LOOK_S = 60


@pytest.fixture(name="fake")
def fake_model(pod_place: Place, dev_image: str) -> Iterator[Model]:
    """On the loopback of this machine, and on that of the pods that are on their host's network."""
    assert dev_image == DEV
    with model() as server, pod_place.shares_port(server.server_port):
        yield server


def set_up(project: Project, agent: str, version: str, env: dict[str, str]) -> Project:
    """Its agent is pinned, and told where the model is."""
    project.write({".rumpelpod.json": json.dumps({"agentVersions": {agent: version}})})
    project.home.env = project.home.env | env
    return project


def npm_cache(package: str) -> str:
    """Where packages are kept, so that each is fetched once for all tests; skips without npm."""
    if shutil.which("npm") is None:
        pytest.skip("this machine has no npm")
    asked = ["npm", "view", package, "version", "--fetch-retries=0"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0 or not done.stdout.strip():
        pytest.skip(f"npm's registry is out of reach: {done.stderr.strip()[:200]}")
    return os.environ.get("NPM_CONFIG_CACHE") or str(Path.home() / ".npm")


def drawn(shell: pexpect.spawn, wanted: tuple[str, ...], size: tuple[int, int]) -> list[str]:
    """What a terminal shows once it shows all that is `wanted`."""
    screen = pyte.Screen(size[1], size[0])
    stream = pyte.ByteStream(screen)
    while not all(text in "\n".join(screen.display) for text in wanted):
        stream.feed(shell.read_nonblocking(1 << 16, timeout=LOOK_S))
    return list(screen.display)


def keeps_no_secret(project: Project, pod: str, key: str) -> None:
    """Nowhere but in the process: not on the host, not in what Docker shows, not in the image."""
    api, container = project.docker.api, project.container_id(pod)
    assert key not in json.dumps(api.inspect_container(container))
    assert key not in json.dumps(api.inspect_image(api.inspect_container(container)["Image"]))
    assert key not in api.logs(container).decode(errors="replace")
    for path in project.home.path.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path
    argv = project.exec(pod, "sh", "-c", "cat /proc/*/cmdline 2>/dev/null | tr '\\0' ' '")
    assert key not in argv.stdout
    places = (names.AGENT_HOME_PATH, "/workspaces", "/tmp", "/home", "/root", "/etc", "/var")
    found = project.exec(pod, "grep", "-rlF", key, *places, check=False)
    assert found.stdout == ""


def does_a_batch(project: Project, agent: str) -> None:
    """A task and one that needs it; the limits of all are kept by those who can."""
    commit = "please-run: echo {0} >{0} && git add {0} && git commit -qm {0}"
    tasks = [
        {"name": "a", "prompt": commit.format("a")},
        {"name": "b", "prompt": commit.format("b"), "needs": ["a"], "verify": "test -f a -a -f b"},
    ]
    defaults = {"agent": agent, "limits": {"time": "5m", "cost": 2, "turns": 9}}
    project.write({"batch.json": json.dumps({"defaults": defaults, "tasks": tasks})})
    done = project.run("batch", "run", "--trust", "--json", "batch.json", timeout=350).assert_ok()
    rows = done.data["tasks"]
    assert [(row["state"], row["text"], row["agent"]) for row in rows] == [
        ("done", "DONE", agent)
    ] * 2
    assert (rows[1]["verify"], rows[1]["tokens_in"], rows[1]["commits"]) == ("passed", 200, 1)
