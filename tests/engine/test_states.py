"""The transition tables, and that the engine keeps to them."""

from __future__ import annotations

import logging

import pytest

from rumpel.engine.execute import Engine
from rumpel.engine.states import DONE, LIVE, MOVES, PHASES, NodeState, Phase, entered, moved
from tests.engine.fake import graph_of


def test_final_states_are_final() -> None:
    assert set(MOVES) == set(NodeState)
    assert {state for state in NodeState if not MOVES[state]} == set(NodeState) - LIVE - {
        NodeState.OK
    }
    assert MOVES[NodeState.OK] == {NodeState.FAILED}, "only when its result could not be kept"
    assert set(PHASES) == set(Phase)
    assert [phase for phase in Phase if not PHASES[phase]] == [Phase.LANDED]
    assert set(NodeState) - LIVE > DONE


def test_an_illegal_move_is_reported(
    illegal: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert moved("n", NodeState.FAILED, NodeState.RUNNING) is NodeState.RUNNING
    entered("n", Phase.LANDED, Phase.QUEUED)
    assert illegal == ["n went from failed to running", "n went from landed to queued"]
    illegal.clear()
    monkeypatch.undo()
    with caplog.at_level(logging.ERROR):
        moved("n", NodeState.CACHED, NodeState.OK)
    assert "n went from cached to ok, which no node may" in caplog.text


async def test_the_engine_is_held_to_the_tables(
    engine: Engine, illegal: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With tables that lack what the engine does, a run is reported."""
    monkeypatch.setitem(MOVES, NodeState.WAITING, frozenset[NodeState]())
    monkeypatch.setitem(PHASES, Phase.RUNNING, frozenset[Phase]())
    for _ in range(2):
        assert (await engine.run(graph_of({"a": ()}))).is_ok
    assert illegal == [
        "fake/a went from waiting to running",
        "fake/a went from running to landed",
        "fake/a went from waiting to cached",
    ]
    illegal.clear()
