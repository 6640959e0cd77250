"""One node being run, for everybody who wants it, through its attempts.

Order of things in an attempt: slots, intent (durable), effect, record (queued; the dependants may
start, their intents become durable after it), durable. An attempt that fails or is cancelled after
its effect began is undone before its failure is recorded.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from rumpel.cache.records import Attempt, Record, encode
from rumpel.engine import faults
from rumpel.engine.boundary import attempt, attempt_async, bug
from rumpel.engine.doit_bridge import EffectAction, execute, task_of
from rumpel.engine.events import EventKind, NodeState, reason_json
from rumpel.engine.graph import field_names
from rumpel.errors import Bug, HostUnreachable, Interrupted, RumpelError, TimedOut

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from rumpel.cache.store import Store
    from rumpel.engine.graph import Node
    from rumpel.engine.plan import NodePlan
    from rumpel.engine.slots import Slots

LOG_CHARS: Final = 32_000
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
    written: Awaitable[None] | None = None


@dataclass(slots=True, eq=False)
class Flight:
    """A node in the air: at most one for each node id, over all runs."""

    node: Node
    decision: NodePlan
    users: list[Watcher] = field(default_factory=list)
    queue: list[Watcher] = field(default_factory=list)
    """Runs that want the node with another fingerprint: they decide again when it has landed."""
    state: NodeState = NodeState.WAITING
    is_closing: bool = False
    """Cancelled, being undone: nobody may join any more."""
    started: float = 0.0
    lines: deque[str] = field(default_factory=deque)
    chars: int = 0
    task: asyncio.Task[None] | None = None

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started if self.started else 0.0

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


class NodeContext:
    """What a running operation gets: `engine.operation.Context`."""

    __slots__ = ("_flight", "attempt", "node_id", "nonce", "world")

    def __init__(self, flight: Flight, world: Any, *, number: int, nonce: str) -> None:
        self.world = world
        self.node_id = flight.node.id
        self.attempt = number
        self.nonce = nonce
        self._flight = flight

    def log(self, text: str) -> None:
        self._flight.log(text)

    def fault(self, point: str) -> None:
        faults.point(f"{self._flight.node.operation.KIND}.{point}")


@dataclass(frozen=True, slots=True)
class Pilot:
    """What every flight needs."""

    store: Store
    world: Any
    slots: Slots
    undo_timeout_s: float
    retry_delay_s: float

    async def fly(self, flight: Flight) -> Outcome:
        """All attempts of a node. Never raises what the operation raised."""
        policy = flight.node.operation.POLICY
        number = 0
        while True:
            number += 1
            try:
                async with self.slots.hold(policy.slots, partial(_queued, flight)):
                    outcome = await self._attempt(flight, number)
                if outcome is not None:
                    return outcome
                flight.tell(EventKind.RETRY, f"attempt {number + 1} of {policy.retries + 1}")
                await asyncio.sleep(self._delay_s(number))
            except asyncio.CancelledError:
                return Outcome(NodeState.CANCELLED, error=Interrupted("it was cancelled"))

    def _delay_s(self, number: int) -> float:
        """Doubling, at most 16 times the first, with jitter so that nodes do not retry in step."""
        return self.retry_delay_s * 2.0 ** min(number - 1, 4) * random.uniform(0.5, 1.0)  # noqa: S311

    async def _attempt(self, flight: Flight, number: int) -> Outcome | None:
        """One attempt; None = try again."""
        operation = flight.node.operation
        context = NodeContext(flight, self.world, number=number, nonce=secrets.token_hex(16))
        entry = self._entry(flight, context)
        is_begun = has_effect = False
        error: RumpelError
        try:
            await faults.reach(f"{operation.KIND}.intent-before")
            flight.started, flight.state = time.monotonic(), NodeState.RUNNING
            flight.tell(EventKind.RUNNING)
            begun = self.store.begin_attempt(entry)
            is_begun = True
            await begun
            await faults.reach(f"{operation.KIND}.intent-after")
            has_effect = True
            output = await self._effect(flight, context)
            return self._succeeded(flight, entry, output)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            is_asked = task is not None and task.cancelling() > 0
            error = Interrupted("it was cancelled") if is_asked else bug(cancelled)
        except RumpelError as failed:
            error = failed
            if isinstance(error, HostUnreachable) and number <= operation.POLICY.retries:
                if is_begun:
                    self._note(flight, entry, error, state="retried", marks_node=False)
                return None
        if has_effect:
            await self._undo(flight, context)
        is_cancelled = isinstance(error, Interrupted)
        state = NodeState.CANCELLED if is_cancelled else NodeState.FAILED
        written = None
        if is_begun:
            written = self._note(flight, entry, error, state=str(state), marks_node=has_effect)
        return Outcome(state, error=error, written=written)

    def _entry(self, flight: Flight, context: NodeContext) -> Attempt:
        return Attempt(
            id=self.store.next_attempt_id(),
            run_id=flight.users[0].run_id if flight.users else 0,
            node_id=flight.node.id,
            kind=flight.node.operation.KIND,
            number=context.attempt,
            fp=flight.decision.fingerprint or "",
            nonce=context.nonce,
            started_at=time.time(),
            reasons=tuple(map(reason_json, flight.decision.reasons)),
        )

    async def _effect(self, flight: Flight, context: NodeContext) -> Any:
        """Run the operation as a doit task, within its time. Raises RumpelError."""
        node, inputs = flight.node, flight.decision.inputs
        operation = node.operation
        policy = operation.POLICY
        action = EffectAction(lambda: operation.run(context, inputs), values_of)
        task = task_of(
            node.id,
            action,
            needs=node.deps,
            reasons=flight.decision.reasons,
            meta={"slots": policy.slots, "timeout_s": policy.timeout_s, "retries": policy.retries},
            title=node.title,
        )
        try:
            async with asyncio.timeout(policy.timeout_s):
                await faults.reach(f"{operation.KIND}.effect-before")
                output = await execute(task, action)
                await faults.reach(f"{operation.KIND}.effect-after")
        except TimeoutError:
            raise TimedOut(f"{node.title}: not done after {policy.timeout_s:g} s") from None
        if not isinstance(output, operation.Output):
            raise Bug(f"{operation.KIND} returned {type(output).__name__}, not its Output")
        return output

    def _succeeded(self, flight: Flight, entry: Attempt, output: Any) -> Outcome:
        operation, decision = flight.node.operation, flight.decision
        values, error = attempt(lambda: encode(values_of(output)))
        if error is not None:
            raise error
        record = Record(
            node_id=flight.node.id,
            kind=operation.KIND,
            version=operation.VERSION,
            components_text=(decision.components or b"{}").decode(),
            fp=entry.fp,
            output_text=values,
            attempt=entry.id,
            elapsed_s=flight.elapsed_s,
            updated_at=time.time(),
        )
        written = self.store.finish_attempt(entry, record, log=flight.tail)
        return Outcome(NodeState.OK, output=output, written=written)

    def _note(
        self, flight: Flight, entry: Attempt, error: RumpelError, *, state: str, marks_node: bool
    ) -> Awaitable[None]:
        kept = error.to_json()
        if attempt(encode, kept)[1] is not None:
            kept["details"] = {}  # they hold what JSON cannot say
        return self.store.fail_attempt(
            entry, state=state, error=kept, log=flight.tail, marks_node=marks_node
        )

    async def _undo(self, flight: Flight, context: NodeContext) -> None:
        """Take away what was half made; what cannot be taken away is adopted next time."""
        operation, inputs = flight.node.operation, flight.decision.inputs

        async def undo() -> None:
            await faults.reach(f"{operation.KIND}.undo-before")
            async with asyncio.timeout(self.undo_timeout_s):
                await operation.undo(context, inputs)
            await faults.reach(f"{operation.KIND}.undo-after")

        error = await attempt_async(undo)
        if error is not None:
            flight.log(f"what was half made could not be removed: {error}\n")


def values_of(output: Any) -> dict[str, Any]:
    return {name: getattr(output, name) for name in field_names(type(output))}


def _queued(flight: Flight, name: str) -> None:
    flight.state = NodeState.WAITING
    flight.tell(EventKind.WAITING, name)
