"""The built-in agent at work in its seat: one task, or a person who talks with it."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from rumpel import agents, protocol, text
from rumpel.agents.headless import Began, Ended, Event
from rumpel.builtin import history, loop, providers, reading
from rumpel.builtin.history import Conversation
from rumpel.builtin.model import ModelError
from rumpel.cli.builtin_seat import Left, Over, Seat
from rumpel.errors import CommandFailed, Interrupted, RumpelError, TimedOut

DONE, FAILED, ENDED = "done", "failed", "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the command line says."""

    model: str | None = None
    is_new: bool = False
    number: int | None = None
    """Of a conversation."""
    limits: loop.Limits = field(default_factory=loop.Limits)
    timeout_s: int | None = None
    is_streamed: bool = True
    env: Mapping[str, str] = field(repr=False)


@dataclass(slots=True, kw_only=True)
class Talk:
    """One run of the command."""

    seat: Seat
    wanted: Wanted
    tell: Callable[[Event], None]
    agent: loop.Agent = field(init=False)
    keys: tuple[str, ...] = field(init=False, default=())
    """Variables that sign us in at its provider."""
    before: str = field(init=False, default="")
    """What the model is to read with the first words of a new conversation."""

    def open(self) -> Conversation:
        """The conversation that goes on, or a new one."""
        found = _conversation(self.seat.pod_id, self.wanted)
        self.begin(found)
        return found

    def begin(self, conversation: Conversation) -> None:
        seat, wanted = self.seat, self.wanted
        choice = providers.choose(wanted.model, conversation.model, wanted.env)
        providers.check(choice)
        self.keys = tuple(providers.PROVIDERS[choice.provider].keys)
        self.before = "" if conversation.entries else reading.files(seat)
        total = loop.Total()
        if hasattr(self, "agent"):
            total = self.agent.total
            self.agent.provider.close()
        self.agent = loop.Agent(
            provider=providers.Later(choice),
            model=choice.model,
            system=reading.system(seat.about, seat.workspace),
            pod=seat,
            conversation=conversation,
            name=f"rumpel-{seat.pod_id}-{conversation.number}",
            tell=self.tell,
            limits=wanted.limits,
            total=total,
            is_streamed=wanted.is_streamed,
        )
        self.tell(Began(session=str(conversation.number), model=choice.model))

    def turn(self, prompt: str, is_kept: Callable[[], None] = lambda: None) -> Ended:
        """Raises ModelError, and KeyboardInterrupt when it was stopped. `is_kept` is called once
        the prompt is written down.
        """
        self.seat.say("working")
        before, self.before = self.before, ""
        try:
            return self.agent.turn(prompt, before, is_kept)
        except ModelError as error:
            if error.needs_login:
                error.hint = f"look at {' and '.join(self.keys)}"
            elif error.is_refused and self.agent.conversation.turns > 1:
                error.hint = error.hint or "--new begins another conversation, if this is too long"
            raise


def task(talk: Talk, prompt: str, is_kept: Callable[[], None]) -> dict[str, Any]:
    """One task, to its end; the last message. `is_kept`: as of `Talk.turn`."""
    wanted = talk.wanted
    begun, name, ended = time.monotonic(), talk.seat.name, None
    error: RumpelError | None = None
    again = f"rumpel agent {name} -p PROMPT   goes on"
    try:
        with alarm(wanted.timeout_s):
            talk.open()
            ended = talk.turn(prompt, is_kept)
        if not ended.is_ok:
            what = f"the built-in agent failed in pod {name}: {ended.why}"
            error = CommandFailed(what, hint=again)
    except Over:
        within = text.duration(wanted.timeout_s or 0)
        error = TimedOut(
            f"the built-in agent did not end within {within} in pod {name}", hint=again
        )
    except KeyboardInterrupt as stopped:
        error = interrupted(name)
        if isinstance(stopped, Left):
            raise error from None
    except RumpelError as problem:
        error = problem
    state = DONE if error is None else ENDED if isinstance(error, Interrupted) else FAILED
    data = {"text": (ended.text or "") if ended is not None else "", "state": state}
    return last(talk, data | {"duration_s": round(time.monotonic() - begun, 3)}, error)


def last(talk: Talk, data: dict[str, Any], error: RumpelError | None) -> dict[str, Any]:
    """What the daemon says at the end, with what was said here."""
    try:
        told = talk.seat.leave(str(data["state"]))
    except RumpelError as gone:
        raise error or gone from None
    if told.get("error") is not None:
        return told
    total = talk.agent.total if hasattr(talk, "agent") else loop.Total()
    whole = {
        "kind": "result",
        "agent": agents.BUILTIN,
        "session": str(talk.agent.conversation.number) if hasattr(talk, "agent") else "",
        "model": talk.agent.model if hasattr(talk, "agent") else "",
        "turns": total.answers,
        "tokens_in": total.usage.input,
        "tokens_cached": total.usage.cached,
        "tokens_out": total.usage.output,
        "cost_usd": total.cost_usd if total.answers else None,
        **told["result"],
        **data,
    }
    notices = [str(one.get("text")) for one in talk.seat.notices]
    warnings = [*notices, *told.get("warnings", ())]
    if total.is_least:
        warnings.append("an answer broke off: more tokens were used than are told")
    if error is None:
        return protocol.result(whole, warnings=warnings)
    return protocol.failure(error.to_json(), data=whole, warnings=warnings)


def _conversation(pod_id: str, wanted: Wanted) -> Conversation:
    """Raises NotFound."""
    if wanted.number is not None:
        return history.load(pod_id, wanted.number)
    found = None if wanted.is_new else history.newest(pod_id)
    return found or history.begin(pod_id)


def interrupted(name: str) -> Interrupted:
    return Interrupted(
        f"the built-in agent was ended in pod {name}; what it did so far is there",
        hint=f"rumpel review {name}",
    )


@contextlib.contextmanager
def alarm(seconds: int | None) -> Iterator[None]:
    """Raises Over, wherever that is: in a library, in a tool, while waiting to ask again."""

    def over(*_: object) -> NoReturn:
        raise Over

    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
