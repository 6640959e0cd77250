"""A store in a temporary folder and an engine over a fake world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import rumpel.engine.doit_bridge  # noqa: F401 - else the first effect loads it, inside the loop
from rumpel.cache.store import Store
from rumpel.engine import states
from rumpel.engine.execute import Engine
from tests.engine.fake import World


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store(tmp_path / "state.db") as opened:
        yield opened


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def engine(store: Store, world: World) -> AsyncIterator[Engine]:
    made = Engine(store, world, retry_delay_s=0.001)
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def illegal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A state that no node may go to fails the test it happens in."""
    found: list[str] = []
    monkeypatch.setattr(states, "report", found.append)
    yield found
    if found:
        raise AssertionError("; ".join(found))
