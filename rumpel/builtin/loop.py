"""One turn of the built-in agent: the model is asked, its tools are run, until it has done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rumpel.agents.headless import Again, Ended, Event, Spent, Text, ToolFailed, Usage
from rumpel.agents.headless import Tool as Used
from rumpel.builtin import clean, retry, tools, turns
from rumpel.builtin.history import Conversation
from rumpel.builtin.model import (
    Answered,
    Call,
    ModelError,
    Pod,
    Provider,
    Question,
    Result,
    Results,
    Said,
)

CUT = "your answer was cut off before this call was whole: nothing was done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one run of the agent; None: none."""

    answers: int | None = None
    tokens: int | None = None
    """Read and written, of all answers."""


@dataclass(slots=True, kw_only=True)
class Total:
    """What was used so far."""

    answers: int = 0
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = 0.0
    """None: of some of it nobody knows the price."""
    is_least: bool = False
    """Answers broke off, of which nobody says what they took: there is more than this."""

    def add(self, answer: Answered) -> None:
        self.answers += 1
        self.usage = Usage(
            input=self.usage.input + answer.usage.input,
            cached=self.usage.cached + answer.usage.cached,
            output=self.usage.output + answer.usage.output,
        )
        known = self.cost_usd is not None and answer.cost_usd is not None
        self.cost_usd = (self.cost_usd or 0.0) + (answer.cost_usd or 0.0) if known else None


@dataclass(slots=True, kw_only=True)
class Agent:
    """Who talks with whom, about what, and where."""

    provider: Provider
    model: str
    system: str
    pod: Pod
    conversation: Conversation
    name: str
    """Of the conversation, for the provider's cache."""
    tell: Callable[[Event], None]
    on_text: Callable[[str], None] = lambda text: None
    limits: Limits = field(default_factory=Limits)
    total: Total = field(default_factory=Total)
    is_streamed: bool = True

    def turn(
        self, prompt: str, before: str = "", is_kept: Callable[[], None] = lambda: None
    ) -> Ended:
        """What it came to. Raises ModelError, and KeyboardInterrupt when the person stopped it:
        the conversation can go on afterwards. `is_kept` is called once the prompt is written down.
        """
        self.conversation.add(Said(text=prompt, before=before))
        is_kept()
        while True:
            limit = self._used_up()
            if limit:
                return self._ended("", why=f"it used up its {limit}")
            answer = self._answer()
            if answer.text:
                self.tell(Text(answer.text))
            self.tell(Spent(of=str(self.total.answers), usage=answer.usage))
            if not answer.calls:
                return self._ended(answer.text, why=answer.why)
            self._run(answer)

    def _answer(self) -> Answered:
        question = Question(
            model=self.model,
            system=self.system,
            entries=self.conversation.entries,
            tools=tools.TOOLS,
            conversation=self.name,
            is_streamed=self.is_streamed,
        )
        answer = retry.asked(
            lambda: self._once(question),
            tell=lambda text: self.tell(Again(text=text)),
        )
        self.conversation.add(answer)
        self.total.add(answer)
        return answer

    def _once(self, question: Question) -> Answered:
        has_begun = False

        def heard(piece: str) -> None:
            nonlocal has_begun
            has_begun = True
            self.on_text(piece)

        try:
            return clean.cleaned(self.provider.ask(question, heard))
        except clean.TooDeep as error:
            self.total.is_least = True
            raise ModelError(
                f"the model answered something odd: {error}", may_again=False
            ) from error
        except (ModelError, KeyboardInterrupt):
            self.total.is_least |= has_begun
            raise

    def _run(self, answer: Answered) -> None:
        """One after the other: what they do may depend on each other. Each gets its result, also
        when the person stops them.
        """
        done: list[Result] = []
        try:
            for call in answer.calls:
                done.append(self._result(call, is_cut=bool(answer.why)))  # noqa: PERF401 - `finally` reads it
        finally:
            done += turns.stopped(answer.calls[len(done) :])
            self.conversation.add(Results(tuple(done)))

    def _result(self, call: Call, *, is_cut: bool) -> Result:
        if is_cut:
            return Result(id=call.id, name=call.name, text=CUT, is_error=True)
        self.tell(Used(name=call.name, detail=tools.detail(call)))
        result = tools.run(self.pod, call)
        if result.is_error:
            # The end of what a command said says most.
            self.tell(ToolFailed(text=result.text.strip().rpartition("\n")[2][:1000]))
        return result

    def _used_up(self) -> str:
        used = self.total.usage.input + self.total.usage.output
        if self.limits.answers is not None and self.total.answers >= self.limits.answers:
            return "turns"
        return "tokens" if self.limits.tokens is not None and used >= self.limits.tokens else ""

    def _ended(self, text: str, *, why: str) -> Ended:
        return Ended(
            is_ok=not why,
            text=text,
            why=why,
            session=str(self.conversation.number),
            turns=self.total.answers,
            cost_usd=self.total.cost_usd,
            usage=self.total.usage,
        )
