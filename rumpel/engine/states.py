"""Where a node can be, and where it can go from there.

A state is one of eight types, the same for every reader; a phase is the named sub-state of a node
that waits or runs. A move that is not in these tables is a bug of the engine. It is reported, not
raised on the spot, because a wrong word must not cost somebody's work: tests raise what was
reported.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import Final

log = logging.getLogger(__name__)


class NodeState(StrEnum):
    """Where a node is in one run. All but the first two are final."""

    WAITING = "waiting"
    RUNNING = "running"
    CACHED = "cached"
    OK = "ok"
    FAILED = "failed"
    UPSTREAM_FAILED = "upstream-failed"
    CANCELLED = "cancelled"
    BLOCKED = "blocked"


class Phase(StrEnum):
    """What a node that flies is doing, for whomever."""

    QUEUED = "queued"  # for its slots
    RUNNING = "running"
    BACKING_OFF = "backing-off"  # between two attempts, without slots
    UNDOING = "undoing"
    LANDED = "landed"


DONE: Final = frozenset({NodeState.CACHED, NodeState.OK})
LIVE: Final = frozenset({NodeState.WAITING, NodeState.RUNNING})

_ENDS: Final = frozenset(NodeState) - LIVE
MOVES: Final[dict[NodeState, frozenset[NodeState]]] = {
    NodeState.WAITING: _ENDS | {NodeState.RUNNING},
    NodeState.RUNNING: frozenset(
        {NodeState.WAITING, NodeState.OK, NodeState.FAILED, NodeState.CANCELLED}
    ),
    # Before its run has ended: the result could not be kept, the disk was full.
    NodeState.OK: frozenset({NodeState.FAILED}),
    **dict.fromkeys(_ENDS - {NodeState.OK}, frozenset[NodeState]()),
}
PHASES: Final[dict[Phase, frozenset[Phase]]] = {
    Phase.QUEUED: frozenset({Phase.RUNNING, Phase.UNDOING, Phase.LANDED}),
    Phase.RUNNING: frozenset({Phase.BACKING_OFF, Phase.UNDOING, Phase.LANDED}),
    Phase.BACKING_OFF: frozenset({Phase.QUEUED, Phase.UNDOING, Phase.LANDED}),
    Phase.UNDOING: frozenset({Phase.LANDED}),
    Phase.LANDED: frozenset(),
}


def report(text: str) -> None:
    """An illegal move; tests put their own in this place."""
    log.error("%s, which no node may", text)


def moved(node_id: str, old: NodeState, new: NodeState) -> NodeState:
    """`new`; staying is always allowed."""
    if new is not old and new not in MOVES[old]:
        report(f"{node_id} went from {old} to {new}")
    return new


def entered(node_id: str, old: Phase, new: Phase) -> Phase:
    if new is not old and new not in PHASES[old]:
        report(f"{node_id} went from {old} to {new}")
    return new
