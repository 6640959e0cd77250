"""One request: a graph walked from what is fresh to what must run.

Everything here is synchronous and on the loop: decisions are made when a node's dependencies are
done, and only flights await.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from rumpel.engine.boundary import attempt, bug
from rumpel.engine.durations import remaining_s
from rumpel.engine.events import DONE, LIVE, Event, EventKind, NodeState
from rumpel.engine.flight import Flight
from rumpel.engine.plan import NodePlan, Plan, Verdict, decide, expansion, node_json
from rumpel.engine.states import moved
from rumpel.errors import HostUnreachable, Interrupted, RumpelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rumpel.engine.execute import Engine
    from rumpel.engine.flight import Outcome
    from rumpel.engine.graph import Node
    from rumpel.engine.slots import Rank

ANOTHER_FAILED = "another step failed"

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


class Wishes(NamedTuple):
    """How a request wants its graph to be run."""

    refresh: frozenset[str] = frozenset()
    is_interactive: bool = False
    fail_fast: bool = False


class GraphRun:
    """The walk over one graph. Owned by `Engine.run`."""

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        handle: RunHandle,
        *,
        emit: Callable[[Event], None],
        wishes: Wishes,
    ) -> None:
        """`plan` is made in this turn of the loop."""
        self.run_id = handle.run_id
        self.graph = graph = plan.graph
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
        self._plan = plan
        self._wishes = wishes
        self._expanded = set(plan.expanded)
        self._is_stopped = False
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._waiting = {node.id: len(node.deps) for node in graph.validate()}
        self._open = len(self._waiting)
        self._ready: deque[str] = deque()
        self._decided: dict[str, NodePlan] = {}
        self._written: dict[str, asyncio.Future[None]] = {}
        self._remaining: Mapping[str, float] | None = None

    def start(self) -> None:
        """Settle what is fresh and launch what can be."""
        plan = self.handle.plan = self._plan
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
        node = self.graph.nodes[flight.node.id]  # the flight has that of who launched it
        self._move(node, flight.state)
        reasons = flight.decision.reasons if kind is EventKind.RUNNING else ()
        self._tell(node, kind, text=text, reasons=reasons, elapsed_s=flight.elapsed_s)

    def landed(self, flight: Flight, outcome: Outcome) -> None:
        """A flight of this run ended."""
        self.flights.pop(flight.node.id, None)
        if outcome.written is not None:
            self._written[flight.node.id] = outcome.written
        self._settle(
            self.graph.nodes[flight.node.id],
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
                self._move(self.graph.nodes[node_id], NodeState.CANCELLED)
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
                self._move(self.graph.nodes[node_id], NodeState.FAILED)
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
        self._emit(Event(kind, self.run_id, node.id, node.pod, node.title, node.group, **more))

    def _pump(self) -> None:
        """Go on with everything that is ready; settling a node makes others ready."""
        while self._ready:
            self._go(self.graph.nodes[self._ready.popleft()])

    def _go(self, node: Node) -> None:
        """All dependencies are done: take the record, join a flight, wait for one, or start one."""
        engine = self._engine
        if engine.is_closed or self._is_stopped:
            why = ANOTHER_FAILED if self._is_stopped else "the engine is stopping"
            self._settle(node, NodeState.CANCELLED, error=Interrupted(why))
            return
        decision = self._decided.pop(node.id, None)
        if decision is None:
            record = engine.store.records.get(node.id)
            decision = decide(
                node,
                record,
                self.outputs,
                engine.world,
                refresh=node.id in self._wishes.refresh,
                now=engine.store.now(),
            )
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
            self._engine.join(self, flight)
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
        if state in DONE and node.expand is not None and node.id not in self._expanded:
            error = self._expand(node, output)
            state = NodeState.FAILED if error is not None else state
        self._move(node, state)
        self._open -= 1
        if error is not None:
            self.errors[node.id] = error
        self._tell(node, _EVENT_OF[state], elapsed_s=elapsed_s, error=error)
        if state in DONE:
            self.outputs[node.id] = output
            for dependant in self.graph.dependants[node.id]:
                self._waiting[dependant] -= 1
                # One that `_begin_no_more` has cancelled is settled already.
                is_open = self.handle.states[dependant] is NodeState.WAITING
                if is_open and not self._waiting[dependant]:
                    self._ready.append(dependant)
        else:
            self._fail_behind(node)
            if self._wishes.fail_fast and not self._is_stopped:
                self._begin_no_more()
        if not self._open:
            self.finished.set()

    def _move(self, node: Node, state: NodeState) -> None:
        states = self.handle.states
        states[node.id] = moved(node.id, states[node.id], state)

    def _expand(self, node: Node, output: Any) -> RumpelError | None:
        """What follows a barrier joins the walk; the error, if that cannot be said."""
        more, error = attempt(expansion, self.graph, node, output)
        if more is None:
            return error
        self.graph, added = more
        self._expanded.add(node.id)
        self._remaining = None
        self.handle.states.update((new.id, NodeState.WAITING) for new in added)
        self._open += len(added)
        told = tuple(node_json(new, Verdict.MAY_RUN) for new in added)
        self.emit(EventKind.RUN_EXPANDED, nodes=told)
        for new in added:
            # The barrier itself counts as waited for: it is settled after this.
            self._waiting[new.id] = sum(dep not in self.outputs for dep in new.deps)
            if not self._waiting[new.id]:
                self._ready.append(new.id)
        for dep in {dep for new in added for dep in new.deps}:
            if self.handle.states[dep] not in DONE | LIVE:
                self._fail_behind(self.graph.nodes[dep])
        return None

    def rank(self, node: Node) -> Rank:
        """Interactive first, then what has the longest way to go behind it."""
        if self._remaining is None:
            self._remaining = remaining_s(
                self.graph, self._engine.store.records, self._engine.usual
            )
        return (0.0 if self._wishes.is_interactive else 1.0, -self._remaining[node.id])

    def _begin_no_more(self) -> None:
        """After a failure, when that is wished: what does not run yet is cancelled."""
        self._is_stopped = True
        for node_id, flight in tuple(self.flights.items()):
            if flight.state is NodeState.WAITING:
                del self.flights[node_id]
                self._engine.leave(self, flight)
        for node_id, state in tuple(self.handle.states.items()):
            if state is NodeState.WAITING:
                node = self.graph.nodes[node_id]
                self._move(node, NodeState.CANCELLED)
                self._open -= 1
                self.errors[node_id] = Interrupted(ANOTHER_FAILED)
                self._tell(node, EventKind.CANCELLED, text=ANOTHER_FAILED)
        self._ready.clear()

    def _fail_behind(self, failed: Node) -> None:
        behind = deque(self.graph.dependants[failed.id])
        while behind:
            node = self.graph.nodes[behind.popleft()]
            if self.handle.states[node.id] is NodeState.WAITING:
                self._move(node, NodeState.UPSTREAM_FAILED)
                self._open -= 1
                self._tell(node, EventKind.UPSTREAM_FAILED, text=failed.id)
                behind.extend(self.graph.dependants[node.id])
