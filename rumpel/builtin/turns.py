"""A conversation as one model may be told it.

What another model answered is told as text: its own form means nothing here, and signatures of
thoughts are refused by all but the model that made them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rumpel.builtin.model import STOPPED, Answered, Call, Entry, Result, Results, Said


@dataclass(frozen=True, slots=True)
class Foreign:
    """What another model said."""

    text: str


Turn: TypeAlias = Said | Foreign | Answered | Results


def told(entries: Sequence[Entry], model: str, provider: str = "") -> Iterator[Turn]:
    """Turns in order; each Answered has been answered by `model`, and its calls have results.

    Whatever a crash or a damaged file left: calls without results, results without calls.
    """
    open_calls: tuple[Call, ...] = ()
    is_own = True
    for entry in entries:
        fits = isinstance(entry, Results) and _ids(entry.results) == _ids(open_calls)
        if open_calls and not fits:
            yield _results(Results(stopped(open_calls)), is_own=is_own)
        if isinstance(entry, Answered):
            is_own = _is_by(entry, model, provider)
            yield entry if is_own else Foreign(_as_text(entry))
        elif isinstance(entry, Results):
            yield _results(entry, is_own=is_own and fits and bool(open_calls))
        else:
            yield entry
        open_calls = entry.calls if isinstance(entry, Answered) else ()
    if open_calls:
        yield _results(Results(stopped(open_calls)), is_own=is_own)


def _ids(of: Sequence[Call] | Sequence[Result]) -> list[str]:
    return [one.id for one in of]


def _is_by(answer: Answered, model: str, provider: str) -> bool:
    """Two companies may have a model of the same name."""
    is_same = not provider or not answer.provider or answer.provider == provider
    return answer.model == model and is_same


def stopped(calls: Sequence[Call]) -> tuple[Result, ...]:
    """No call may stay without a result: the next question would be refused."""
    return tuple(Result(id=call.id, name=call.name, text=STOPPED, is_error=True) for call in calls)


def said(entry: Said) -> str:
    return f"{entry.before}\n\n{entry.text}" if entry.before else entry.text


def _results(entry: Results, *, is_own: bool) -> Said | Results:
    if is_own:
        return entry
    parts = [f"[{one.name} gave]\n{one.text}" for one in entry.results]
    return Said(text="\n\n".join(parts) or "[nothing]")


def _as_text(entry: Answered) -> str:
    calls = [f"[used {call.name}: {json.dumps(dict(call.arguments))}]" for call in entry.calls]
    return "\n\n".join([*([entry.text] if entry.text else []), *calls]) or "[nothing]"
