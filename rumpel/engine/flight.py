"""One node in the air: what is being run, for whom, and what it has said so far."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from rumpel.engine import faults
from rumpel.engine.events import EventKind
from rumpel.engine.operation import Reason, ReasonKind
from rumpel.engine.states import NodeState, Phase, entered

if TYPE_CHECKING:
    from rumpel.engine.graph import Node
    from rumpel.engine.plan import NodePlan
    from rumpel.engine.slots import Ticket
    from rumpel.errors import RumpelError

LOG_CHARS: Final = 256_000
"""The tail of a node's output that is kept with its attempt."""


class Watcher(Protocol):
    """A run that wants the node."""

    run_id: int

    def progress(self, flight: Flight, kind: EventKind, text: str = "") -> None: ...
    def landed(self, flight: Flight, outcome: Outcome) -> None: ...
    def freed(self, node_id: str) -> None: ...


class Outcome(NamedTuple):
    """How a node ended; `written` ends when that is durable."""

    state: NodeState
    output: Any = None
    error: RumpelError | None = None
    written: asyncio.Future[None] | None = None


@dataclass(slots=True, eq=False)
class Flight:
    """A node in the air: at most one for each node id, over all runs."""

    node: Node
    decision: NodePlan
    stands_on: list[asyncio.Future[None]]
    """The writes of what it needs: queued before its own, so they end first."""
    users: list[Watcher]
    queue: list[Watcher] = field(default_factory=list)
    """Runs that want the node with another fingerprint: they decide again when it has landed."""
    phase: Phase = Phase.QUEUED
    is_closing: bool = False
    """Cancelled or being undone: nobody may join any more, and it is not cancelled again."""
    started: float = 0.0
    lines: deque[str] = field(default_factory=deque)
    chars: int = 0
    ticket: Ticket = field(init=False)
    """Its place among those that want the same slots."""
    task: asyncio.Task[None] | None = None
    """None while it waits for its slots the first time."""

    @property
    def state(self) -> NodeState:
        """As a run that waits for it sees it."""
        is_running = self.phase in (Phase.RUNNING, Phase.UNDOING) and self.started
        return NodeState.RUNNING if is_running else NodeState.WAITING

    def enter(self, phase: Phase) -> None:
        self.phase = entered(self.node.id, self.phase, phase)

    @property
    def elapsed_s(self) -> float:
        return asyncio.get_running_loop().time() - self.started if self.started else 0.0

    def tell(self, kind: EventKind, text: str = "") -> None:
        for user in tuple(self.users):
            user.progress(self, kind, text)

    def log(self, text: str) -> None:
        self.lines.append(text if text.endswith("\n") else f"{text}\n")
        self.chars += len(text)
        while self.chars > LOG_CHARS and len(self.lines) > 1:
            self.chars -= len(self.lines.popleft())
        self.tell(EventKind.LOG, text)

    @property
    def tail(self) -> str:
        return "".join(self.lines)[-LOG_CHARS:]


def _is_again(reason: Reason) -> bool:
    """Of a crash nobody knows how far it came."""
    is_failure = reason.kind is ReasonKind.FAILED and reason.subject == NodeState.FAILED
    return is_failure or reason.kind is ReasonKind.REFRESH


class NodeContext:
    """What a running operation gets: `engine.operation.Context`."""

    __slots__ = ("_flight", "attempt", "is_again", "node_id", "nonce", "world")

    def __init__(self, flight: Flight, world: Any, *, number: int, nonce: str) -> None:
        self.world = world
        self.node_id = flight.node.id
        self.attempt = number
        self.nonce = nonce
        self.is_again = any(map(_is_again, flight.decision.reasons))
        self._flight = flight

    def log(self, text: str) -> None:
        self._flight.log(text)

    def fault(self, point: str) -> None:
        faults.point(f"{self._flight.node.operation.KIND}.{point}")
