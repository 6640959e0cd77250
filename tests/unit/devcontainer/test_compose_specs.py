"""What is kept of the services of a compose project, once it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rumpel.daemon import image_specs
from rumpel.devcontainer import config
from rumpel.devcontainer.config import DevConfig
from rumpel.devcontainer.document import Caller
from rumpel.graphs import ids
from rumpel.model import ContainerSpec, ImageSpec, PodSpec, ServiceSpec
from rumpel.sealing import is_sealed
from rumpel.tasks import image
from tests.support.composed import SOURCE, app, read
from tests.unit.devcontainer.conftest import POD_ID
from tests.unit.test_prebuild import REPO

LOGGING = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
OTHER = {"driver": "local", "options": {"max-size": "1m"}}


@pytest.fixture(name="caller")
def caller_of(root: Path) -> Caller:
    env = {"HOME": "/home/u", "PIN": "7+91", "LEVEL": "3"}
    return Caller(root=str(root), local_env=env, pod="p", pod_id=POD_ID, repo_basename="demo")


def spec_of(caller: Caller, service: dict[str, Any], *granted: str) -> ServiceSpec:
    dev = read(caller, {"app": app(), "db": service}, *granted)
    found = image_specs.project(dev, caller.root, (), 4096)
    assert found is not None
    return found.services[0]


BOUNDS: list[tuple[dict[str, Any], int | None, dict[str, Any]]] = [
    ({}, 4096, LOGGING),
    ({"pids_limit": None, "logging": {}}, 4096, LOGGING),
    ({"pids_limit": 9, "logging": OTHER}, 9, OTHER),
    ({"pids_limit": -1}, -1, LOGGING),
    ({"deploy": {"resources": {"limits": {"pids": 7}}}}, None, LOGGING),
    ({"deploy": {"resources": {"limits": {"cpus": "1"}}}}, 4096, LOGGING),
]


@pytest.mark.parametrize(("said", "pids", "logging"), BOUNDS)
def test_a_service_is_bounded_as_a_pod_is(
    caller: Caller, said: dict[str, Any], pids: int | None, logging: dict[str, Any]
) -> None:
    body = spec_of(caller, {"image": "d", **said}).body
    assert body.get("pids_limit") == pids
    assert body["logging"] == logging


def stored(caller: Caller, source: ImageSpec) -> PodSpec:
    """Of a pod that is made of it; no line of what is kept has the value."""
    spec = PodSpec(
        repo=REPO,
        host="local",
        pod="p",
        pod_id=POD_ID,
        base_branch=None,
        base_oid=None,
        image=source,
        container=ContainerSpec(workspace_folder="/w"),
    )
    text = json.dumps(spec.to_json())
    assert caller.local_env["PIN"] not in text
    known = PodSpec.from_json(json.loads(text))
    fingerprints = [
        image.fingerprint(ids.image_inputs(one, one.image, "p", {})) for one in (spec, known)
    ]
    assert caller.local_env["PIN"] not in repr(fingerprints)
    assert fingerprints[0] == fingerprints[1]
    assert known.to_json() == spec.to_json()
    return known


def sealed_args(spec: PodSpec) -> set[str]:
    return {name for name, text in spec.image.args.items() if is_sealed(text)}


def test_build_args_of_a_project_are_sealed_however_short(caller: Caller) -> None:
    folder = Path(caller.root, ".devcontainer")
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM x\n")
    args = {"PIN": "${PIN}", "PART": "a-${LEVEL}", "PLAIN": "3", "LIKE": "sealed:x"}
    built = {"build": {"context": str(folder), "args": args}}
    granted = ("local-env:PIN", "local-env:LEVEL")
    dev = read(caller, {"app": {**built, "command": "sleep infinity"}, "db": built}, *granted)
    project = image_specs.project(dev, caller.root, (), 4096)
    assert project is not None
    for source in (image_specs.of_pod(dev, caller.root), project.services[0].image):
        assert source.args["PIN"] == "7+91", "what it is built with"
        assert sealed_args(stored(caller, source)) == {"PIN", "PART"}
    shown(caller, dev)


def test_build_args_of_a_configuration_are_sealed_however_short(caller: Caller) -> None:
    folder = Path(caller.root, ".devcontainer")
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM x\n")
    args = {"PIN": "${localEnv:PIN}", "PLAIN": "3"}
    file = {"build": {"dockerfile": "Dockerfile", "args": args}}
    dev = config.parse(json.dumps(file), SOURCE, caller)
    source = image_specs.of_pod(dev, caller.root)
    assert source.args["PIN"] == "7+91"
    assert sealed_args(stored(caller, source)) == {"PIN"}
    shown(caller, dev)


def shown(caller: Caller, dev: DevConfig) -> None:
    assert caller.local_env["PIN"] not in json.dumps(config.describe(dev))
