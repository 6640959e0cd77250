"""`hostRequirements`: told where the engine has less; a pod is made all the same."""

from __future__ import annotations

import json

from tests.support.engine import MINI_IMAGE
from tests.support.project import ProjectFactory


def test_what_the_engine_lacks_is_told_once(rumpel_project: ProjectFactory) -> None:
    wanted = {"cpus": 4096, "memory": "900tb", "gpu": True}
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "hostRequirements": wanted}
    project = rumpel_project({".devcontainer.json": json.dumps(config)})
    refused = project.run("create", "a", "b")
    assert "gives the pod devices of the host" in refused.stderr, "as --gpus all does"
    told = project.run("create", "a", "b", "--trust").assert_ok().stderr
    for words in ("4096 are wanted", "of memory, ", "no GPU that its engine can use"):
        assert told.count(words) == 1, told
    assert "hostRequirements" not in project.run("create", "a", "b").assert_ok().stderr
    host = project.docker.inspect(project.containers()[0]["Id"])["HostConfig"]
    assert not host["DeviceRequests"], "an engine without the runtime would refuse to start it"


def test_what_is_there_is_not_told(rumpel_project: ProjectFactory) -> None:
    wanted = {"cpus": 1, "memory": "1mb", "gpu": "optional"}
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "hostRequirements": wanted}
    project = rumpel_project({".devcontainer.json": json.dumps(config)})
    assert "hostRequirements" not in project.run("create", "a", "--trust").assert_ok().stderr
