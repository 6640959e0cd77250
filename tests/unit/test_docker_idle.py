"""Connections that nobody uses: the last one stays, the others not for long."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from rumpel.adapters import docker_idle
from rumpel.adapters.docker_idle import Idle
from rumpel.adapters.docker_wire import Wire


class Fake:
    def __init__(self) -> None:
        self.ended = asyncio.Event()

    def is_stale(self) -> bool:
        return self.ended.is_set()

    def close(self) -> None:
        self.ended.set()


def given(idle: Idle, count: int) -> list[Fake]:
    wires = [Fake() for _ in range(count)]
    for one in wires:
        idle.give(cast(Wire, one))
    return wires


def taken(idle: Idle) -> Any:
    return idle.take()


async def test_of_a_burst_one_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_idle, "IDLE_S", 0.05)
    idle = Idle()
    *others, last = given(idle, 5)
    assert taken(idle) is last
    idle.give(cast(Wire, last))
    async with asyncio.timeout(10):
        await asyncio.gather(*(one.ended.wait() for one in others))
    assert not last.ended.is_set()
    (newer,) = given(idle, 1)
    async with asyncio.timeout(10):
        await last.ended.wait()
    assert taken(idle) is newer
    assert taken(idle) is None


async def test_they_are_few_and_go_with_their_owner() -> None:
    idle = Idle()
    first, *others = given(idle, docker_idle.MAX_IDLE + 1)
    assert first.ended.is_set()
    others[-1].close()
    assert taken(idle) is others[-2], "a stale one is passed over"
    idle.close()
    assert all(one.ended.is_set() for one in others if one is not others[-2])
    assert taken(idle) is None
