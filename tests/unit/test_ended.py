"""A container that ended by itself, and what is told when it went meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rumpel.errors import NotFound, RumpelError
from rumpel.tasks import ended

ENV = ["TOKEN=canary-7c1e", "OTHER=other-value"]


class Engine:
    def __init__(self, goes_before: str) -> None:
        self._goes_before = goes_before

    def _is_there(self, call: str) -> None:
        if call == self._goes_before:
            raise NotFound("container x does not exist")

    async def logs(self, _container: str) -> bytes:
        self._is_there("logs")
        return b"canary-7c1e and other-value, then canary-"

    async def inspect(self, _container: str) -> Any:
        self._is_there("inspect")
        return SimpleNamespace(config={"Env": ENV})


@pytest.mark.parametrize(
    ("goes_before", "details"),
    [
        ("", {"tail": "*** and other-value, then ***"}),
        ("logs", {}),
        ("inspect", {}),
    ],
)
async def test_a_container_that_went(goes_before: str, details: dict[str, str]) -> None:
    world: Any = SimpleNamespace(host=lambda _host: Engine(goes_before))
    state: Any = SimpleNamespace(id="x", exit_code=9)
    told: RumpelError = await ended.at_once(world, "local", "p", state, ["TOKEN"])
    assert told.message == "the container of pod 'p' ended at once with 9"
    assert told.details == details
