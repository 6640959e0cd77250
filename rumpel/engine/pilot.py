"""Flying a node: slots, intent, effect, record, and what follows when one of them fails.

Order of things in an attempt: slots, intent (durable), effect, record (queued; the dependants may
start, their intents become durable after it), durable. An attempt that fails or is cancelled after
its effect began is undone, and its failure is recorded after that.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from rumpel.cache.records import Attempt, Record, encode
from rumpel.engine import faults, retry
from rumpel.engine.boundary import attempt, attempt_async, bug
from rumpel.engine.events import EventKind, NodeState, reason_json
from rumpel.engine.flight import NodeContext, Outcome
from rumpel.engine.graph import field_names
from rumpel.engine.states import Phase
from rumpel.errors import Bug, Interrupted, RumpelError, TimedOut

if TYPE_CHECKING:
    from rumpel.cache.store import Store
    from rumpel.engine.doit_bridge import EffectAction
    from rumpel.engine.flight import Flight
    from rumpel.engine.slots import Slots

CANCELLED = "it was cancelled"


@dataclass(frozen=True, slots=True)
class Pilot:
    """What every flight needs."""

    store: Store
    world: Any
    slots: Slots
    undo_timeout_s: float
    retry_delay_s: float

    async def fly(self, flight: Flight) -> Outcome:
        """All attempts of a node that has its slots. Never raises what the operation raised."""
        last: Try | None = None
        try:
            for number in count(1):
                last = self._try(flight, number, last)
                outcome = await last.outcome()
                if outcome is not None:
                    return outcome
                self.slots.drop(flight.ticket)
                await self._pause(flight, last)
        except asyncio.CancelledError:  # in a queue, or between two attempts
            was_asked()
            if last is not None:
                await last.undo()
        return Outcome(NodeState.CANCELLED, error=Interrupted(CANCELLED))

    def _try(self, flight: Flight, number: int, last: Try | None) -> Try:
        nonce = secrets.token_hex(16)
        entry = Attempt(
            id=self.store.next_attempt_id(),
            run_id=flight.users[0].run_id if flight.users else 0,
            node_id=flight.node.id,
            kind=flight.node.operation.KIND,
            number=number,
            fp=flight.decision.fingerprint or "",
            nonce=nonce,
            started_at=self.store.now(),
            reasons=tuple(map(reason_json, flight.decision.reasons)),
        )
        context = NodeContext(flight, self.world, number=number, nonce=nonce)
        # What an earlier one half made is there still, also when this one does not come so far.
        has_effect = last is not None and last.has_effect
        return Try(self, flight, entry, context, has_effect=has_effect)

    async def _pause(self, flight: Flight, last: Try) -> None:
        """Between two attempts: without slots, then until there are some again."""
        flight.enter(Phase.BACKING_OFF)
        flight.tell(EventKind.RETRY, last.why_again)
        await asyncio.sleep(last.delay_s)
        flight.enter(Phase.QUEUED)
        await self.slots.wait(flight.ticket, lambda name: flight.tell(EventKind.WAITING, name))


@dataclass(slots=True)
class Try:
    """One attempt."""

    pilot: Pilot
    flight: Flight
    entry: Attempt
    context: NodeContext
    is_begun: bool = False
    has_effect: bool = False
    delay_s: float = 0.0
    why_again: str = ""

    async def outcome(self) -> Outcome | None:
        """None = try again."""
        try:
            return await self._go()
        except asyncio.CancelledError as cancelled:
            if was_asked():
                return await self._ended(NodeState.CANCELLED, Interrupted(CANCELLED))
            return await self._ended(NodeState.FAILED, bug(cancelled))
        except RumpelError as error:
            if not self._goes_on(error):
                return await self._ended(NodeState.FAILED, error)
            if self.is_begun:
                self._note("retried", error)
            return None

    def _goes_on(self, error: RumpelError) -> bool:
        """Is there another attempt? Each class of errors has its own number of them."""
        rule = retry.rule_of(self.flight.node.policy.retries, error)
        if rule is None or self.entry.number > rule.times:
            return False
        self.delay_s = retry.delay_s(rule, self.entry.number, first_s=self.pilot.retry_delay_s)
        self.why_again = f"attempt {self.entry.number + 1} of {rule.times + 1}"
        return True

    async def undo(self) -> None:
        """Take away what was half made; what cannot be taken away is adopted next time."""
        if not self.has_effect:
            return
        self.flight.enter(Phase.UNDOING)
        self.flight.is_closing = True  # nobody may join, and a cancellation must not end the undo
        error = await attempt_async(self._undo)
        if error is not None:
            self.flight.log(f"what was half made could not be removed: {error}")

    async def _undo(self) -> None:
        operation, inputs = self.flight.node.operation, self.flight.decision.inputs
        await self._reach("undo-before")
        async with asyncio.timeout(self.pilot.undo_timeout_s):
            await operation.undo(self.context, inputs)
        await self._reach("undo-after")

    async def _go(self) -> Outcome:
        flight = self.flight
        if faults.is_on():
            await self._reach("intent-before")
        flight.started = asyncio.get_running_loop().time()
        flight.enter(Phase.RUNNING)
        flight.tell(EventKind.RUNNING)
        self.is_begun = True
        await self.pilot.store.begin_attempt(self.entry)
        for written in flight.stands_on:
            if written.done():
                written.result()  # raises: what it stands on could not be kept
        if faults.is_on():
            await self._reach("intent-after")
        self.has_effect = True
        return self._succeeded(await self._effect())

    async def _effect(self) -> EffectAction:
        """Run the operation as a doit task, within its time. Raises RumpelError."""
        # Not with this module: doit is an eighth of what a daemon would load at its start.
        from rumpel.engine.doit_bridge import EffectAction, execute, task_of

        node, inputs = self.flight.node, self.flight.decision.inputs
        operation, policy = node.operation, node.policy
        action = EffectAction(partial(operation.run, self.context, inputs), values_of)
        task = task_of(
            node.id,
            action,
            needs=node.deps,
            files=node.files(inputs),
            reasons=self.flight.decision.reasons,
            meta={"slots": policy.slots, "timeout_s": policy.timeout_s, "retries": policy.retries},
            title=node.title,
        )
        try:
            async with asyncio.timeout(policy.timeout_s):
                if faults.is_on():
                    await self._reach("effect-before")
                await execute(task, action)
                if faults.is_on():
                    await self._reach("effect-after")
        except TimeoutError:
            raise TimedOut(f"{node.title}: not done after {policy.timeout_s:g} s") from None
        if not isinstance(action.output, operation.Output):
            raise Bug(f"{operation.KIND} returned {type(action.output).__name__}, not its Output")
        return action

    def _succeeded(self, action: EffectAction) -> Outcome:
        flight, entry = self.flight, self.entry
        values, error = attempt(encode, action.values)
        if error is not None:
            raise error
        record = Record(
            node_id=flight.node.id,
            kind=entry.kind,
            version=flight.node.operation.VERSION,
            components_text=(flight.decision.components or b"{}").decode(),
            fp=entry.fp,
            output_text=values,
            attempt=entry.id,
            elapsed_s=flight.elapsed_s,
            updated_at=self.pilot.store.now(),
        )
        written = self.pilot.store.finish_attempt(entry, record, log=flight.tail)
        return Outcome(NodeState.OK, output=action.output, written=written)

    async def _ended(self, state: NodeState, error: RumpelError) -> Outcome:
        try:
            await self.undo()
        except asyncio.CancelledError:  # the loop is being torn down
            self._note(str(state), error)
            raise
        written = self._note(str(state), error) if self.is_begun else None
        return Outcome(state, error=error, written=written)

    def _note(self, state: str, error: RumpelError) -> asyncio.Future[None]:
        """The node is stale until an attempt succeeds, if the effect of this one had begun."""
        kept = error.to_json()
        if attempt(encode, kept)[1] is not None:
            kept["details"] = {}  # they hold what JSON cannot say
        return self.pilot.store.fail_attempt(
            self.entry, state=state, error=kept, log=self.flight.tail, marks_node=self.has_effect
        )

    async def _reach(self, point: str) -> None:
        await faults.reach(f"{self.entry.kind}.{point}")


def values_of(output: Any) -> dict[str, Any]:
    return {name: getattr(output, name) for name in field_names(type(output))}


def was_asked() -> bool:
    """Was the CancelledError at hand asked for? The request is taken as answered.

    An operation can also raise one by itself, by awaiting something that was cancelled.
    """
    task = asyncio.current_task()
    found = False
    while task is not None and task.cancelling():
        found = True
        task.uncancel()
    return found
