"""The engine: plans and runs graphs over one store and one world.

Equal work of several requests is done once: a node id with the same fingerprint is joined, with
another one it is waited for and decided again. A node is cancelled when nobody wants it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final

from rumpel.engine import faults
from rumpel.engine.boundary import attempt, bug
from rumpel.engine.durations import Usual
from rumpel.engine.events import EventKind, NodeState
from rumpel.engine.flight import Flight, Outcome
from rumpel.engine.pilot import CANCELLED, Pilot
from rumpel.engine.plan import Plan, plan
from rumpel.engine.run import GraphRun, RunHandle, RunResult, Wishes
from rumpel.engine.slots import Slots, Ticket, names_of
from rumpel.engine.states import Phase
from rumpel.errors import Interrupted, NotFound, RumpelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping

    from rumpel.cache.records import Intent
    from rumpel.cache.store import Store
    from rumpel.engine.events import Event
    from rumpel.engine.graph import Graph

__all__ = ["Engine", "RunHandle", "RunResult"]

log = logging.getLogger(__name__)

UNDO_TIMEOUT_S: Final = 30.0
RETRY_DELAY_S: Final = 0.5


class Engine:
    """One for each daemon. `close` before the store is closed."""

    def __init__(
        self,
        store: Store,
        world: Any,
        *,
        slots: Mapping[str, int] | None = None,
        emit: Callable[[Event], None] | None = None,
        undo_timeout_s: float = UNDO_TIMEOUT_S,
        retry_delay_s: float = RETRY_DELAY_S,
    ) -> None:
        self.store = store
        self.world = world
        self.flights: dict[str, Flight] = {}
        self.runs: dict[int, GraphRun] = {}
        """Those that go on."""
        self._emit = emit
        self._watchers: list[Callable[[Event], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_closed = False
        self.usual = Usual(store.records)
        self._slots = Slots(slots or {})
        self._pilot = Pilot(
            store=store,
            world=world,
            slots=self._slots,
            undo_timeout_s=undo_timeout_s,
            retry_delay_s=retry_delay_s,
        )

    def plan(self, graph: Graph, *, refresh: Collection[str] = ()) -> Plan:
        """What a run would do now. Raises Bug for a graph with a cycle or a missing node."""
        return plan(
            graph,
            self.store.records,
            self.world,
            refresh=frozenset(refresh),
            busy=self.flights.keys(),
            now=self.store.now(),
        )

    @contextlib.contextmanager
    def watch(self, listen: Callable[[Event], None]) -> Iterator[None]:
        """Hear the events of all runs, also of those that go on; of a shared node those of each."""
        self._watchers.append(listen)
        try:
            yield
        finally:
            with contextlib.suppress(ValueError):  # it failed, and was dropped
                self._watchers.remove(listen)

    def resize(self, name: str, capacity: int) -> None:
        """How many nodes with this slot run at once."""
        self._slots.resize(name, capacity)

    def open_run(self) -> RunHandle:
        """Number a run before it starts, to be told to a client or watched."""
        return RunHandle(self.store.next_run_id())

    async def run(
        self,
        graph: Graph,
        *,
        emit: Callable[[Event], None] | None = None,
        refresh: Collection[str] = (),
        run: RunHandle | None = None,
        is_interactive: bool = False,
        fail_fast: bool = False,
    ) -> RunResult:
        """Make everything in the graph true; failures are in the result, not raised.

        What a person waits for (`is_interactive`) is given slots first. With `fail_fast` nothing
        more is begun after a failure; what runs is left to its end.

        Cancelling this leaves the nodes others want alone, undoes the rest and then raises
        CancelledError; a second cancellation does not wait for the undoing, which goes on.

        Raises Bug for a graph that cannot be ordered, NotFound for an unknown node in `refresh`.
        """
        if self.is_closed:
            raise Interrupted("the engine is shutting down")
        wishes = Wishes(frozenset(refresh), is_interactive, fail_fast)
        active = self._prepared(graph, run or self.open_run(), self._both(emit), wishes)
        self.runs[active.run_id] = active
        try:
            active.start()
            await self._ended_run(active)
            return active.result()
        finally:
            del self.runs[active.run_id]

    async def _ended_run(self, active: GraphRun) -> None:
        try:
            try:
                await active.finished.wait()
            except asyncio.CancelledError:
                await self._abandon(active)
                raise
            written = self._end(active)
            await active.durable()
            await self._noted(active, written)
        finally:  # whoever follows it waits for this, also when it was cancelled just now
            active.emit(EventKind.RUN_ENDED)

    def _prepared(
        self,
        graph: Graph,
        handle: RunHandle,
        emit: Callable[[Event], None],
        wishes: Wishes,
    ) -> GraphRun:
        """To be started in this turn of the loop."""
        planned = self.plan(graph, refresh=wishes.refresh)
        unknown = sorted(wishes.refresh - planned.nodes.keys())
        if unknown and not planned.is_open:
            raise NotFound(f"no node {unknown[0]} in this graph", details={"nodes": unknown})
        return GraphRun(self, planned, handle, emit=emit, wishes=wishes)

    async def recover(self) -> tuple[Intent, ...]:
        """Once, before the first run: nodes the last daemon was killed in fail visibly.

        The next request for such a node runs it again, and the operation adopts what it finds.
        """
        error = RumpelError("the daemon was stopped while it ran")
        return await self.store.close_intents(error.to_json())

    async def close(self) -> None:
        """Cancel and undo what runs, and wait for it. Later runs are refused."""
        self.is_closed = True
        for flight in tuple(self.flights.values()):
            self._close(flight)
        if self._tasks:
            await asyncio.wait(self._tasks)

    def launch(self, run: GraphRun, flight: Flight) -> Flight:
        """Start a node that no flight is running, as soon as it has its slots."""
        if not run.has_effects:
            run.has_effects = True
            self.store.begin_run(run.run_id, run.graph.verb, run.graph.subject)
        self.flights[flight.node.id] = flight
        names = names_of(flight.node.policy.slots, flight.decision.inputs)
        flight.ticket = Ticket(names, run.rank(flight.node), lambda: self._start(flight))
        self._slots.ask(flight.ticket)
        if flight.task is None:
            flight.tell(EventKind.WAITING, self._slots.lacking(flight.ticket))
        return flight

    def _start(self, flight: Flight) -> None:
        flight.task = asyncio.create_task(self._fly(flight), name=flight.node.id)
        self._tasks.add(flight.task)
        flight.task.add_done_callback(lambda task: self._ended(flight, task))

    def join(self, run: GraphRun, flight: Flight) -> None:
        """Another user, who may be in more of a hurry."""
        flight.users.append(run)
        self._slots.hurry(flight.ticket, run.rank(flight.node))

    def leave(self, run: GraphRun, flight: Flight) -> bool:
        """A user goes; at zero users the node is cancelled, which is the answer."""
        if run in flight.users:
            flight.users.remove(run)
        if not flight.users:
            self._close(flight)
        return not flight.users

    def _close(self, flight: Flight) -> None:
        if flight.is_closing:
            return
        flight.is_closing = True
        if flight.task is not None:
            flight.task.cancel()
        else:
            self._land(flight, Outcome(NodeState.CANCELLED, error=Interrupted(CANCELLED)))

    def _ended(self, flight: Flight, task: asyncio.Task[None]) -> None:
        """A task that is cancelled before its first step never runs a line of `_fly`."""
        self._tasks.discard(task)
        if self.flights.get(flight.node.id) is flight:
            self._land(flight, Outcome(NodeState.CANCELLED, error=Interrupted(CANCELLED)))

    async def _fly(self, flight: Flight) -> None:
        try:
            outcome = await self._pilot.fly(flight)
        except GeneratorExit:
            raise  # the loop is gone, and with it all that could be told
        except BaseException as error:
            self._land(flight, Outcome(NodeState.FAILED, error=bug(error)))
            raise
        self._land(flight, outcome)
        if faults.is_on() and outcome.state is NodeState.OK and outcome.written is not None:
            with contextlib.suppress(RumpelError):  # the runs wait for the same write and tell
                await asyncio.shield(outcome.written)
                await faults.reach(f"{flight.node.operation.KIND}.record-after")

    def _land(self, flight: Flight, outcome: Outcome) -> None:
        """Free the node, then tell: first those it was run for, then those who waited for it."""
        del self.flights[flight.node.id]
        flight.enter(Phase.LANDED)
        self._slots.free(flight.ticket)
        for user in tuple(flight.users):
            user.landed(flight, outcome)
        for waiter in flight.queue:
            waiter.freed(flight.node.id)
        self._slots.serve()  # now that what became ready has asked: the best rank goes first

    async def _abandon(self, run: GraphRun) -> None:
        undone = [flight.task for flight in run.cancel() if flight.task is not None]
        try:
            if undone:
                await asyncio.wait(undone)
        except asyncio.CancelledError:  # a second one does not wait; the run has ended for it
            self._end(run)
            raise
        await self._noted(run, self._end(run))

    async def _noted(self, run: GraphRun, written: Awaitable[None]) -> None:
        """A run that did nothing is noted too, but nobody waits for that."""
        if run.has_effects:
            try:
                await written
            except RumpelError as error:  # its nodes have said so already
                log.error("run %d is not in the history: %s", run.run_id, error)

    def _end(self, run: GraphRun) -> Awaitable[None]:
        return self.store.end_run(
            run.run_id,
            run.graph.verb,
            run.graph.subject,
            state=run.state,
            started_at=run.started_at,
            nodes={node_id: str(state) for node_id, state in run.handle.states.items()},
        )

    def _both(self, emit: Callable[[Event], None] | None) -> Callable[[Event], None]:
        """An event goes to whoever watches the engine and to whoever asked for the run."""
        targets = [target for target in (self._emit, emit) if target is not None]

        def tell(event: Event) -> None:
            for target in (*targets, *self._watchers):
                _, error = attempt(target, event)
                if error is not None:  # a listener that breaks must not break the run
                    (targets if target in targets else self._watchers).remove(target)
                    log.error("a listener of run %d failed: %s", event.run_id, error.details)

        return tell
