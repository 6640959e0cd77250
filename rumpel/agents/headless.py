"""An agent without a terminal: what it is asked, and what it says, in one form for all agents.

Each line of its output becomes events by a pure function of its agent. What comes from a pod may
be anything: whatever is no event is passed over, and all of it is bounded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rumpel.agents.model import Seat

MAX_LINE_BYTES = 1 << 20
"""Longer ones hold pictures or whole files, and are nothing that is shown."""
MAX_TEXT_CHARS = 32_000
MAX_DETAIL_CHARS = 1000
MAX_RESULT_CHARS = 256_000
MOST = 1e12
"""Of whatever is counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """How it goes about it; what it is to do comes on its stdin."""

    goes_on: bool = False
    """With the last conversation."""
    turns: int | None = None
    dollars: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens."""

    input: int = 0
    """All that were read, also those from a cache."""
    cached: int = 0
    output: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    session: str
    """By this name the agent knows the conversation."""
    model: str


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Of a text, which whatever else is said ends."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """It uses a tool."""

    name: str
    detail: str
    """What of its arguments says most: a command, a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFailed:
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The model's service does not answer as it should, and is asked again."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What one answer of the model took. Those of the same `of` are one, told more than once."""

    of: str
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The last event: what it came to."""

    is_ok: bool
    text: str | None = None
    """None: the last text is the result."""
    why: str = ""
    """Of what went wrong, as a sentence goes on: `it used up its turns`."""
    needs_login: bool = False
    session: str = ""
    turns: int | None = None
    cost_usd: float | None = None
    usage: Usage | None = None


Event = Began | Text | Piece | Tool | ToolFailed | Again | Spent | Ended
"""What is passed on, and the end, which is summed up."""
KINDS = {
    Began: "start",
    Text: "text",
    Tool: "tool",
    ToolFailed: "tool-failed",
    Again: "retry",
    Spent: "usage",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Headless:
    """What an agent needs to be run without a terminal."""

    argv: Callable[[Seat, str, Task], list[str]]
    """Behind the program, with what it is told about the pod; the caller's come after."""
    events: Callable[[bytes], tuple[Event, ...]]
    """Of one line of its stdout. Pure; never raises."""
    conversations: str
    """What it keeps of them: a pattern of files, below its home and without blanks."""
    limits: frozenset[str] = frozenset()
    """Which of `turns` and `dollars` it keeps by itself; `tokens`: it tells of them as it works."""
    env: Mapping[str, str] = field(default_factory=dict)
    """On top of its own."""


class Lines:
    """Cuts a byte stream into lines. Linear in the bytes; one that is too long is left out."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[bytes]:
        head, newline, rest = data.partition(b"\n")
        self._add(head)
        if not newline:
            return []
        lines, last = [self.end()], rest.split(b"\n")
        lines += last[:-1]
        self._add(last[-1])
        return [line for line in lines if 0 < len(line) <= MAX_LINE_BYTES]

    def end(self) -> bytes:
        """What was begun and not ended."""
        line = b"".join(self._parts)
        self._parts, self._size = [], 0
        return line

    def _add(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_LINE_BYTES:
            self._parts = []
        elif part:
            self._parts.append(part)


class Pieces:
    """Texts that come in pieces, made whole. Linear in what comes, and bounded."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def take(self, event: Event) -> tuple[Event, ...]:
        """What is to be told now; no piece is."""
        if not isinstance(event, Piece):
            return (*self.end(), event)
        if event.text and self._size < MAX_TEXT_CHARS:
            self._parts.append(event.text)
            self._size += len(event.text)
        return ()

    def end(self) -> tuple[Text, ...]:
        text = text_of("".join(self._parts)).strip()
        self._parts, self._size = [], 0
        return (Text(text),) if text else ()


def told(event: Event) -> dict[str, Any]:
    """As it is told to programs."""
    return {"kind": KINDS.get(type(event), "end"), **asdict(event)}


def shown(event: Event) -> str:
    """As it is told to people; empty: not at all."""
    match event:
        case Text(text=text):
            return text
        case Tool(name=name, detail=detail):
            first, _, more = detail.strip().partition("\n")
            return f"> {name}  {first}{' …' if more else ''}".rstrip()
        case ToolFailed(text=text) | Again(text=text):
            return f"! {text.strip().partition(chr(10))[0]}"
    return ""


def an_object(line: bytes) -> dict[str, Any]:
    """A line as a JSON object; empty when it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def text_of(value: object, most: int = MAX_TEXT_CHARS) -> str:
    """What can be written down: no lone surrogates, and not too much."""
    if not isinstance(value, str):
        return ""
    cut = value if len(value) <= most else value[: most - 1] + "…"
    return cut.encode("utf-8", "replace").decode()


def number_of(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value <= MOST and math.isfinite(value) else None


def count_of(value: object) -> int:
    return int(number_of(value) or 0)


def detail_of(arguments: object, first: tuple[str, ...]) -> str:
    """The argument that says most, else all of them."""
    if isinstance(arguments, dict):
        for key in first:
            if isinstance(arguments.get(key), str):
                return text_of(arguments[key], MAX_DETAIL_CHARS)
    try:
        return text_of(json.dumps(arguments), MAX_DETAIL_CHARS) if arguments else ""
    except RecursionError:  # what could be read may be too deep to be written
        return ""
