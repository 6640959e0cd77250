"""What the built-in agent, the models and the pod say to each other. Values only.

A conversation is a list of entries. What a model answered is kept as its provider sent it (`raw`):
thinking and its signatures have to go back unchanged, and mean nothing to another model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from rumpel.agents.headless import Usage
from rumpel.errors import RumpelError

STOPPED = "stopped by the person before it had ended"
"""What a model is told of a tool that did not come to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """The model wants a tool."""

    id: str
    name: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a call."""

    id: str
    name: str
    text: str
    is_error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """By the person."""

    text: str
    before: str = ""
    """What the agent is given to read first: files of the workspace, nobody's orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """By a model."""

    provider: str = ""
    """Its name; empty in conversations from before it was kept."""
    model: str
    raw: Sequence[Mapping[str, Any]]
    text: str
    calls: tuple[Call, ...] = ()
    usage: Usage = field(default_factory=Usage)
    cost_usd: float | None = None
    """None: nobody knows the model's price."""
    why: str = ""
    """Why it broke off, as a sentence goes on: `its answer was too long`."""


@dataclass(frozen=True, slots=True)
class Results:
    """Of all calls of the answer before it, in their order."""

    results: tuple[Result, ...]


Entry: TypeAlias = Said | Answered | Results


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool as models are told of it; `schema` is a JSON Schema of its arguments."""

    name: str
    about: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Everything a model is asked with."""

    model: str
    system: str
    entries: Sequence[Entry]
    tools: Sequence[Tool]
    conversation: str
    """A name of the conversation, the same for all its questions: for caches."""
    is_streamed: bool = True


class Provider(Protocol):
    """Asks the models of one provider. Raises ModelError."""

    def ask(self, question: Question, on_text: Callable[[str], None]) -> Answered:
        """`on_text` is told the text as it comes."""

    def close(self) -> None:
        """Let go of its connections."""


class ModelError(RumpelError):
    """A model's service did not answer as it should."""

    code = "model"
    exit_code = 6

    def __init__(
        self,
        message: str,
        *,
        may_again: bool,
        wait_s: float | None = None,
        needs_login: bool = False,
        is_refused: bool = False,
    ) -> None:
        """`may_again`: asked later it may be answered; `wait_s`: so long it said to wait;
        `is_refused`: the question as it is will never be answered.
        """
        super().__init__(message)
        self.may_again = may_again
        self.wait_s = wait_s
        self.needs_login = needs_login
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command in a pod has ended, and nothing of it runs any more (but what it detached)."""

    code: int | None
    """None: it was ended, since its time was over."""
    out: bytes
    err: bytes
    left_out: int = 0
    """Bytes in the middle of the output that were not kept."""


class Pod(Protocol):
    """Where tools run."""

    workspace: str

    def run(self, argv: Sequence[str], *, input: bytes | None, timeout_s: float, keep: int) -> Ran:
        """In the workspace, as the pod's user. Keeps at most `keep` bytes of its output, of its
        beginning and its end. Raises RumpelError when it cannot be run, KeyboardInterrupt when
        the person stopped it: nothing of it runs then."""
