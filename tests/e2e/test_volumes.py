"""Volumes that an image declares belong to the pod: they outlive its container, and go with it."""

from __future__ import annotations

import json

from tests.support.engine import MINI_IMAGE
from tests.support.project import ProjectFactory

DOCKERFILE = f"FROM {MINI_IMAGE}\nRUN mkdir /data /bound && echo given >/data/given\n"
CONFIG = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none", "--tmpfs=/bound"]}


def test_a_recreate_keeps_what_lies_in_them(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {".devcontainer/Dockerfile": f"{DOCKERFILE}VOLUME /data /bound\n"}, config=CONFIG
    )
    assert project.inside("p", "cat /data/given; echo mine >/data/mine; echo $A") == "given"
    before = project.container_id("p")
    changed = {**CONFIG, "containerEnv": {"A": "new"}}
    project.write({".devcontainer/devcontainer.json": json.dumps(changed)})
    project.run("recreate", "p").assert_ok()
    assert project.container_id("p") != before
    assert project.inside("p", "cat /data/given /data/mine; echo $A").split() == [
        *("given", "mine", "new")
    ]
    mounts = project.docker.api.inspect_container(project.container_id("p"))["Mounts"]
    volumes = {mount["Destination"]: mount["Name"] for mount in mounts if mount["Name"]}
    places = {"/rumpel/host.git", "/rumpel/agents", "/rumpel/home"}
    assert volumes.keys() == {"/data"} | places
    assert project.home.label
    api, ours = project.docker.api, project.docker.containers(project.home.label)
    used = {mount["Name"] for one in ours for mount in one["Mounts"] if mount.get("Name")}
    assert len(used) > len(volumes), "the gateway has anonymous ones: it is of the same image"
    project.run("delete", "--force", "p").assert_ok()
    kinds = [item["Labels"]["rumpel.kind"] for item in project.docker.volumes(project.home.label)]
    assert kinds == ["agents"], "programs are kept for the next pod"
    used.discard(volumes["/rumpel/agents"])
    assert used.isdisjoint(one["Name"] for one in api.volumes()["Volumes"] or ())


def test_root_runs_no_program_of_the_user(rumpel_project: ProjectFactory, dev_image: str) -> None:
    """A new volume is given to the user by root, whatever PATH the image has."""
    own = "RUN mkdir /own && chown dev /own\nENV PATH=/own:$PATH\nUSER dev\n"
    for name in ("id", "stat", "ls", "chown"):
        log = "[ ! -d /cache/one ] || [ $(/usr/bin/id -u) != 0 ] || : >>/own/by-root"
        script = f'{log}; exec /usr/bin/{name} "$@"'
        own += f"RUN printf '#!/bin/sh\\n%s\\n' '{script}' >/own/{name} && chmod +x /own/{name}\n"
    config = {
        "build": {"dockerfile": "Dockerfile"},
        "mounts": ["type=volume,target=/cache/one"],
        "remoteUser": "dev",
    }
    project = rumpel_project(
        {".devcontainer/Dockerfile": f"FROM {dev_image}\n{own}"}, config=config
    )
    project.run("create", "p", "--trust").assert_ok()
    assert project.inside("p", "touch /cache/one/mine; ls /own").split() == [
        *("chown", "id", "ls", "stat")
    ]
    project.run("delete", "--force", "p").assert_ok()
