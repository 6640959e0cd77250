"""One request: a graph walked from what is fresh to what must run.

Everything here is synchronous and on the loop: decisions are made when a node's dependencies are
done, and only flights await.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rumpel.engine.boundary import bug
from rumpel.engine.events import DONE, LIVE, Event, EventKind, NodeState
from rumpel.engine.flight import Flight
from rumpel.engine.plan import NodePlan, Plan, Verdict, decide, node_json
from rumpel.errors import HostUnreachable, Interrupted, RumpelError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from rumpel.engine.execute import Engine
    from rumpel.engine.flight import Outcome
    from rumpel.engine.graph import Graph, Node

_EVENT_OF = {
    NodeState.CACHED: EventKind.CACHED,
    NodeState.OK: EventKind.OK,
    NodeState.FAILED: EventKind.FAILED,
    NodeState.UPSTREAM_FAILED: EventKind.UPSTREAM_FAILED,
    NodeState.CANCELLED: EventKind.CANCELLED,
    NodeState.BLOCKED: EventKind.BLOCKED,
}


@dataclass(slots=True)
class RunHandle:
    """A run as its caller sees it, also while it is going on."""

    run_id: int
    states: dict[str, NodeState] = field(default_factory=dict)
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class RunResult:
    """How every node ended. `outputs` has the nodes that are done, `errors` the others' causes."""

    run_id: int
    states: dict[str, NodeState]
    outputs: dict[str, Any]
    errors: dict[str, RumpelError]

    @property
    def is_ok(self) -> bool:
        return all(state in DONE for state in self.states.values())


class GraphRun:
    """The walk over one graph. Owned by `Engine.run`."""

    def __init__(
        self,
        engine: Engine,
        graph: Graph,
        handle: RunHandle,
        *,
        emit: Callable[[Event], None],
        refresh: Collection[str],
    ) -> None:
        self.run_id = handle.run_id
        self.graph = graph
        self.handle = handle
        self.outputs: dict[str, Any] = {}
        self.errors: dict[str, RumpelError] = {}
        self.flights: dict[str, Flight] = {}
        """The flights this run uses now."""
        self.finished = asyncio.Event()
        self.started_at = engine.store.now()
        self.has_effects = False
        self._engine = engine
        self._emit = emit
        self._refresh = refresh
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._waiting = {node.id: len(node.deps) for node in graph.validate()}
        self._open = len(self._waiting)
        self._ready: deque[str] = deque()
        self._decided: dict[str, NodePlan] = {}
        self._written: dict[str, asyncio.Future[None]] = {}

    def start(self, plan: Plan) -> None:
        """Settle what is fresh and launch what can be; `plan` was made in this turn of the loop."""
        self.handle.plan = plan
        self.handle.states.update(dict.fromkeys(plan.nodes, NodeState.WAITING))
        nodes = self.graph.nodes
        self.emit(
            EventKind.RUN_PLANNED,
            nodes=tuple(node_json(nodes[item.id], item.verdict) for item in plan.nodes.values()),
        )
        # A decision that has a fingerprint was made with all its dependencies known; it holds
        # until something awaits.
        self._decided = {
            item.id: item
            for item in plan.nodes.values()
            if item.fingerprint is not None or item.error is not None
        }
        self._ready.extend(node_id for node_id, count in self._waiting.items() if not count)
        self._pump()
        self._decided = {}
        if not self._open:
            self.finished.set()

    def progress(self, flight: Flight, kind: EventKind, text: str = "") -> None:
        """A flight of this run went on."""
        self.handle.states[flight.node.id] = flight.state
        reasons = flight.decision.reasons if kind is EventKind.RUNNING else ()
        self._tell(flight.node, kind, text=text, reasons=reasons, elapsed_s=flight.elapsed_s)

    def landed(self, flight: Flight, outcome: Outcome) -> None:
        """A flight of this run ended."""
        self.flights.pop(flight.node.id, None)
        if outcome.written is not None:
            self._written[flight.node.id] = outcome.written
        self._settle(
            flight.node,
            outcome.state,
            output=outcome.output,
            error=outcome.error,
            elapsed_s=flight.elapsed_s,
        )
        self._pump()

    def freed(self, node_id: str) -> None:
        """The node was run for another request with other inputs: decide again."""
        if self.handle.states[node_id] is NodeState.WAITING:  # not cancelled meanwhile
            self._ready.append(node_id)
            self._pump()

    def cancel(self) -> list[Flight]:
        """Leave all flights; returns those nobody else wants, which are being undone."""
        left = [flight for flight in self.flights.values() if self._engine.leave(self, flight)]
        self.flights.clear()
        self._ready.clear()
        for node_id, state in self.handle.states.items():
            if state in LIVE:
                self.handle.states[node_id] = NodeState.CANCELLED
                self.errors[node_id] = Interrupted("it was cancelled")
                self._tell(self.graph.nodes[node_id], EventKind.CANCELLED)
        self._open = 0
        return left

    async def durable(self) -> None:
        """Wait for the writes of this run; a result that could not be kept is a failure."""
        for written in reversed(self._written.values()):  # they end in order: the last one first
            if not written.done():
                await asyncio.wait([written])  # others wait for the same write, too
        for node_id, written in self._written.items():
            error = written.exception()
            if error is not None:
                self.handle.states[node_id] = NodeState.FAILED
                self.errors[node_id] = error if isinstance(error, RumpelError) else bug(error)
                self.outputs.pop(node_id, None)

    def result(self) -> RunResult:
        return RunResult(self.run_id, dict(self.handle.states), self.outputs, self.errors)

    @property
    def state(self) -> str:
        states = set(self.handle.states.values())
        if NodeState.CANCELLED in states:
            return "cancelled"
        return "ok" if states <= DONE else "failed"

    def emit(self, kind: EventKind, *, nodes: tuple[dict[str, Any], ...] = ()) -> None:
        """An event of the run itself."""
        elapsed_s = self._clock() - self._started
        self._emit(Event(kind, self.run_id, elapsed_s=elapsed_s, nodes=nodes))

    def _tell(self, node: Node, kind: EventKind, **more: Any) -> None:
        self._emit(Event(kind, self.run_id, node.id, node.pod, node.title, **more))

    def _pump(self) -> None:
        """Go on with everything that is ready; settling a node makes others ready."""
        while self._ready:
            self._go(self.graph.nodes[self._ready.popleft()])

    def _go(self, node: Node) -> None:
        """All dependencies are done: take the record, join a flight, wait for one, or start one."""
        engine = self._engine
        if engine.is_closed:
            self._settle(node, NodeState.CANCELLED, error=Interrupted("the engine is stopping"))
            return
        decision = self._decided.pop(node.id, None)
        if decision is None:
            record = engine.store.records.get(node.id)
            refresh = node.id in self._refresh
            decision = decide(node, record, self.outputs, engine.world, refresh=refresh)
        flight = engine.flights.get(node.id)
        if flight is not None:
            self._share(node, flight, decision)
        elif decision.verdict is Verdict.FRESH:
            self._settle(node, NodeState.CACHED, output=decision.output)
        elif decision.verdict is Verdict.RUN:
            writes = [self._written[dep] for dep in node.deps if dep in self._written]
            self.flights[node.id] = engine.launch(self, Flight(node, decision, writes, [self]))
        elif decision.error is not None:
            self._settle(node, NodeState.FAILED, error=decision.error)
        else:
            text = decision.reasons[0].subject
            error = HostUnreachable(f"{node.title}: {text or 'its state is unknown'}")
            self._settle(node, NodeState.BLOCKED, error=error)

    def _share(self, node: Node, flight: Flight, decision: NodePlan) -> None:
        is_same = decision.fingerprint == flight.decision.fingerprint
        if is_same and decision.verdict is not Verdict.BLOCKED and not flight.is_closing:
            flight.users.append(self)
            self.flights[node.id] = flight
            if flight.state is NodeState.RUNNING:
                self.progress(flight, EventKind.RUNNING)
        else:
            flight.queue.append(self)
            self._tell(node, EventKind.WAITING, text="it runs for another request")

    def _settle(
        self,
        node: Node,
        state: NodeState,
        *,
        output: Any = None,
        error: RumpelError | None = None,
        elapsed_s: float = 0.0,
    ) -> None:
        """The final state of a node; its dependants become ready, or fail with it."""
        self.handle.states[node.id] = state
        self._open -= 1
        if error is not None:
            self.errors[node.id] = error
        self._tell(node, _EVENT_OF[state], elapsed_s=elapsed_s, error=error)
        if state in DONE:
            self.outputs[node.id] = output
            for dependant in self.graph.dependants[node.id]:
                self._waiting[dependant] -= 1
                if not self._waiting[dependant]:
                    self._ready.append(dependant)
        else:
            self._fail_behind(node)
        if not self._open:
            self.finished.set()

    def _fail_behind(self, failed: Node) -> None:
        behind = deque(self.graph.dependants[failed.id])
        while behind:
            node = self.graph.nodes[behind.popleft()]
            if self.handle.states[node.id] is NodeState.WAITING:
                self.handle.states[node.id] = NodeState.UPSTREAM_FAILED
                self._open -= 1
                self._tell(node, EventKind.UPSTREAM_FAILED, text=failed.id)
                behind.extend(self.graph.dependants[node.id])
