"""kill -9 at every fault point and at random moments; the rerun converges."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rumpel.cache import runs
from rumpel.cache.store import Store
from rumpel.engine import faults
from rumpel.engine.events import NodeState
from rumpel.engine.execute import Engine
from rumpel.engine.operation import ReasonKind
from rumpel.errors import UsageError
from tests.engine.fake import World, graph_of

ROOT = Path(__file__).resolve().parents[2]


def crash(folder: Path, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.crash", str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.timeout(120)
def test_killed_at_every_point_it_converges(tmp_path: Path) -> None:
    found = crash(tmp_path, "sweep")
    assert found["wrong"] == []
    names = {point.split(":")[0] for point in found["points"]}
    assert names == {
        f"fake.{point}"
        for point in (
            "intent-before",
            "intent-after",
            "effect-before",
            "half",
            "made",
            "effect-after",
            "record-after",
        )
    }
    assert found["kills"] == 4 * 7


@pytest.mark.timeout(120)
def test_killed_at_any_moment_it_converges(tmp_path: Path) -> None:
    found = crash(tmp_path, "1000", "40")
    assert found["wrong"] == []
    assert found["interrupted"] >= 10, "the kills came too early or too late to mean anything"


async def test_a_crash_is_a_visible_failure(tmp_path: Path, world: World) -> None:
    """A copy of the files in the middle of a run is what kill -9 leaves."""
    path = tmp_path / "s.db"
    async with Store(path) as store:
        engine = Engine(store, world)
        world.holds["b"] = asyncio.Event()
        running = asyncio.ensure_future(engine.run(graph_of({"a": (), "b": ("a",)})))
        while "b" not in world.started:  # noqa: ASYNC110 - a fake world tells nobody
            await asyncio.sleep(0)
        for suffix in ("", "-wal"):
            source = path.with_name(path.name + suffix)
            await asyncio.to_thread(shutil.copyfile, source, tmp_path / f"copy.db{suffix}")
        world.holds["b"].set()
        await running
        await engine.close()
    async with Store(tmp_path / "copy.db") as store:
        engine = Engine(store, world)
        (intent,) = await engine.recover()
        assert intent.node_id == "fake/b"
        assert len(intent.nonce) == 32
        reason = engine.plan(graph_of({"a": (), "b": ("a",)}))["fake/b"].reasons[0]
        assert (reason.kind, reason.subject) == (ReasonKind.FAILED, "crashed")
        assert reason.after == "the daemon was stopped while it ran"
        (row,) = await store.query(runs.recent_runs)
        assert row.state == "crashed"
        (entry,) = await store.query(runs.attempts_of_nodes, ["fake/b"])
        assert entry.state == "crashed"
        assert (await engine.run(graph_of({"a": (), "b": ("a",)}))).is_ok
        assert await engine.recover() == ()
        await engine.close()


@pytest.fixture
def armed() -> Any:
    yield faults.configure
    faults.configure()


async def test_a_raised_fault_is_a_failure_of_the_effect(
    engine: Engine, world: World, armed: Any
) -> None:
    for point in ("intent-before", "intent-after", "effect-before", "middle", "effect-after"):
        armed(f"fake.{point}:1:raise")
        result = await engine.run(graph_of({"a": ()}), refresh=["fake/a"])
        assert result.states["fake/a"] is NodeState.FAILED, point
        assert point in result.errors["fake/a"].message
        assert engine.store.intents == {}
        assert world.half == set()
        armed()
        assert (await engine.run(graph_of({"a": ()}))).is_ok


async def test_a_hanging_node_can_be_cancelled(engine: Engine, world: World, armed: Any) -> None:
    armed("fake.effect-after:1:hang")
    running = asyncio.ensure_future(engine.run(graph_of({"a": ()})))
    while "a" not in world.done:  # noqa: ASYNC110 - a fake world tells nobody
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.undone == ["a"]
    assert faults.seen()[-2:] == ("fake.undo-before", "fake.undo-after")


def test_bad_fault_texts_are_refused() -> None:
    for text in ("x", "x:1", "x:a:kill", "x:1:explode"):
        with pytest.raises(UsageError):
            faults.parse(text)
    assert faults.parse("a.b:2:kill,c:1:raise") == {"a.b": (2, "kill"), "c": (1, "raise")}
