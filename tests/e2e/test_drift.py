"""What somebody changed by hand: the plan finds it and says what it is; the next run mends it.

Twelve kinds, on few pods: each is found on a pod where everything was cached, and what the pod had
is still there afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.flaky_engine import flaky_engine
from tests.support.project import CONFIG_NAMES, DEFAULT_CONFIG, Project, ProjectFactory

PORT = 9300
SEED = "/rumpel/host.git"


def nodes(
    project: Project, *args: str, env: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Kind -> node, of the pod `p`."""
    data = project.run("graph", "p", *args, "--json", env=env).assert_ok().data
    return {node["kind"]: node for node in data["nodes"]}


def reasons(project: Project, kind: str, *args: str) -> str:
    return "; ".join(reason["subject"] for reason in nodes(project, *args)[kind]["reasons"])


def found(project: Project, kind: str, text: str) -> None:
    """The plan says it of a node of this kind; an event of the engine may be on its way."""
    project.wait_until(lambda: text in reasons(project, kind), f"{kind}: {text}")


def mended(project: Project) -> None:
    project.run("create", "p").assert_ok()
    states = {kind: node["state"] for kind, node in nodes(project).items()}
    assert set(states.values()) == {"cached"}, states


def work(project: Project) -> str:
    """Everything of the pod that could be lost."""
    script = (
        "git log --format=%H -1; git status --porcelain; cat new || :; git fetch -q host && echo ok"
    )
    return project.exec("p", "sh", "-ec", f"cd /workspaces/repo; {script}").stdout


@pytest.mark.rooted("without cgroup v2 a user's Podman ignores limits, and pauses nothing")
def test_a_container(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    api = project.docker.api
    with project.network() as network, contextlib.ExitStack() as last:
        last.callback(project.run, "delete", "--force", "p")
        config = {"image": MINI_IMAGE, "runArgs": [f"--network={network}"]}
        project.commit("network", {CONFIG_NAMES[0]: config})
        project.run("create", "p", "--trust").assert_ok()
        oid = project.inside(
            "p", "git commit -qm one --allow-empty; echo 1 >new; git rev-parse HEAD"
        )
        project.wait_for_ref("p", oid)
        before, container = work(project), project.container_id("p")
        name = project.docker.inspect(container)["Name"]

        def drifts(text: str) -> None:
            found(project, "container", text)
            mended(project)
            assert project.container_id("p") == container
            assert work(project) == before

        api.stop(container, timeout=1)
        drifts("container is exited")
        api.pause(container)
        drifts("container is paused")
        api.rename(container, "rumpel-drift")
        drifts("container was renamed to rumpel-drift")
        assert project.docker.inspect(container)["Name"] == name
        api.disconnect_container_from_network(container, network)
        drifts(f"container was disconnected from network {network}")
        assert list(project.docker.inspect(container)["NetworkSettings"]["Networks"]) == [network]
        edited = {**config, "containerEnv": {"A": "b"}}
        (project.root / CONFIG_NAMES[0]).write_text(json.dumps(edited))
        found(project, "container", "containerEnv.A")
        project.run("create", "p").assert_error(4, "rumpel recreate p")
        (project.root / CONFIG_NAMES[0]).write_text(json.dumps(config))
        mended(project)
        assert work(project) == before
        api.remove_container(container, force=True)
        found(project, "container", "container removed")
        shown = project.run("graph", "p", "--why", "container").assert_ok().stdout
        assert "container removed" in shown
        mended(project)
        assert work(project).splitlines()[0] == oid, "what was committed is back"


def test_an_image(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=None)
    image = f"{project.home.path.name.lower().replace('_', 'x')}-base:1"
    project.commit("image", {CONFIG_NAMES[0]: {**DEFAULT_CONFIG, "image": image}})
    api = project.docker.api
    project.docker.build(image, f"FROM {MINI_IMAGE}\nENV V=1\n")
    try:
        project.inside("p", "echo 1 >new")
        container, before = project.container_id("p"), work(project)
        project.docker.build(image, f"FROM {MINI_IMAGE}\nENV V=2\n")
        found(project, "image", f"{image} names another image now")
        project.run("create", "p").assert_error(4, "rumpel recreate p")
        assert project.container_id("p") == container
        project.run("recreate", "p").assert_ok()
        assert project.inside("p", "echo $V; cat new") == "2\n1"
        container = project.container_id("p")
        saved = b"".join(api.get_image(image))
        api.remove_image(image, force=True)
        found(project, "image", "image removed")
        project.run("create", "p").assert_error(1, image)
        assert project.inside("p", "cat new") == "1"
        assert project.container_id("p") == container
        assert work(project) == before
        api.load_image(saved)
        mended(project)
        assert project.container_id("p") == container
    finally:
        project.run("delete", "--force", "p").assert_ok()
        with contextlib.suppress(Exception):
            api.remove_image(image, force=True)


def gateway(project: Project) -> str:
    (row,) = project.docker.containers(str(project.home.label), "rumpel.kind=gateway")
    return str(row["Id"])


def test_a_repository(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    api = project.docker.api
    first = project.git("rev-parse", "HEAD")
    oid = project.inside("p", "git commit -qm one --allow-empty; echo 1 >new; git rev-parse HEAD")
    project.wait_for_ref("p", oid)
    before, container = work(project), project.container_id("p")
    project.git("update-ref", "refs/remotes/rumpelpod/p", first)
    found(project, "sync", "rumpelpod/p was moved by hand")
    mended(project)
    assert project.repo.published()["p"] == oid
    project.git("update-ref", "-d", "refs/remotes/rumpelpod/p")
    found(project, "sync", "rumpelpod/p was removed by hand")
    mended(project)
    assert project.repo.published()["p"] == oid
    damages = {
        "rm -rf objects/pack/*": "it lacks commit",
        "rm HEAD": "git takes it for no repository",
        "rm -rf refs/heads/* packed-refs": "its branches are not the host's",
    }
    for script, text in damages.items():
        project.docker.exec(gateway(project), "sh", "-ec", f"cd {SEED}; {script}")
        found(project, "seed", f"host.git is damaged: {text}")
        mended(project)
        assert project.container_id("p") == container
        assert work(project) == before
        project.exec("p", "git", "-C", "/workspaces/repo", "fsck", "--connectivity-only")
    writer = gateway(project)
    project.docker.exec(writer, "mv", f"{SEED}/HEAD", f"{SEED}/HEAD.away")
    found(project, "seed", "host.git is damaged")
    project.docker.exec(writer, "mv", f"{SEED}/HEAD.away", f"{SEED}/HEAD")
    mended(project)
    assert gateway(project) == writer, "it was looked at again before it was made anew"
    project.docker.exec(gateway(project), "sh", "-ec", f"rm -rf {SEED}/objects/*")
    project.run("create", "q").assert_error(1, "host.git is damaged", "run the same again")
    project.run("create", "q").assert_ok()
    assert project.run(
        "enter", "q", "--", "git", "rev-parse", "HEAD"
    ).assert_ok().stdout.strip() == (first)
    project.run("delete", "--force", "q").assert_ok()
    (volume,) = project.docker.volumes(str(project.home.label), "rumpel.kind=seed")
    for id in (container, gateway(project)):
        api.remove_container(id, force=True)
    api.remove_volume(volume["Name"])
    found(project, "seed", "volume removed")
    mended(project)
    assert work(project).splitlines()[0] == oid, "what was committed is back"


def test_a_port(rumpel_project: ProjectFactory) -> None:
    """Taken while the daemon was down: while it runs, it has the port itself."""
    project = rumpel_project(config={**DEFAULT_CONFIG, "forwardPorts": [PORT]})
    project.run("create", "p").assert_ok()
    local = project.run("ports", "p", "--json").assert_ok().data[0]["local_port"]
    project.run("daemon", "stop").assert_ok()
    with socket.socket() as other:
        other.bind(("127.0.0.1", local))
        other.listen()
        found(project, "port", f"local port {local} is taken by another program")
        mended(project)
        row = project.run("ports", "p", "--json").assert_ok().data[0]
        assert row["local_port"] != local
        assert row["state"] == "open"


@pytest.mark.here("another DOCKER_HOST")
async def test_an_engine_that_does_not_answer(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """Unknown, never gone: nothing is made again."""
    project = rumpel_project()
    async with flaky_engine(tmp_path) as engine:
        env = {"DOCKER_HOST": engine.url}

        def states() -> set[str]:
            return {node["state"] for node in nodes(project, env=env).values()}

        def there() -> tuple[str, str]:
            detail = project.docker.inspect(project.container_id("p"))
            return detail["Id"], detail["State"]["StartedAt"]

        made = await asyncio.to_thread(project.run, "create", "p", env=env)
        made.assert_ok()
        before = there()
        await engine.down()
        shown = await asyncio.to_thread(nodes, project, env=env)
        assert {node["state"] for node in shown.values()} == {"unknown"}
        assert "does not answer" in json.dumps(shown["image"]["reasons"])
        failed = await asyncio.to_thread(project.run, "create", "p", env=env)
        failed.assert_code(5)
        await engine.up()
        again = await asyncio.to_thread(project.run, "create", "p", env=env)
        again.assert_ok()
        assert await asyncio.to_thread(states) == {"cached"}
        assert there() == before
