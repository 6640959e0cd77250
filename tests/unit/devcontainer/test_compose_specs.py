"""What is kept of the services of a compose project, once it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rumpel.daemon import image_specs
from rumpel.devcontainer.document import Caller
from rumpel.model import ServiceSpec
from tests.support.composed import app, read
from tests.unit.devcontainer.conftest import POD_ID

LOGGING = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
OTHER = {"driver": "local", "options": {"max-size": "1m"}}


@pytest.fixture(name="caller")
def caller_of(root: Path) -> Caller:
    env = {"HOME": "/home/u", "PIN": "7391", "LEVEL": "3"}
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
