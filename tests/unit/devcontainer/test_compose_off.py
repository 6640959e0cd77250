"""A service of which a compose project wants none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer.compose import FILE
from rumpel.devcontainer.document import Caller
from tests.support.composed import app, read
from tests.unit.devcontainer.conftest import POD_ID

OFF: list[dict[str, Any]] = [
    {"image": "d", "scale": 0},
    {"image": "d", "deploy": {"replicas": 0}},
]


@pytest.fixture(name="caller")
def caller_of(root: Path) -> Caller:
    return Caller(
        root=str(root), local_env={"HOME": "/h"}, pod="p", pod_id=POD_ID, repo_basename="demo"
    )


@pytest.mark.parametrize("off", OFF)
def test_it_is_not_started_and_told(caller: Caller, off: dict[str, Any]) -> None:
    found = read(caller, {"app": app(), "web": {"image": "d"}, "idle": off})
    assert found.project is not None
    assert [one.name for one in found.project.beside] == ["web"]
    assert "idle: it is not started: none of it is wanted" in found.project.notes[FILE]


@pytest.mark.parametrize("off", OFF)
def test_one_that_others_need_is_started(caller: Caller, off: dict[str, Any]) -> None:
    found = read(caller, {"app": app(depends_on=["idle"]), "idle": off})
    assert found.project is not None
    assert [one.name for one in found.project.beside] == ["idle"]
    assert "has no effect" in "\n".join(found.warnings)
