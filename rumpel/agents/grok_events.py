"""What Grok says with `--output-format streaming-messages-json` (version 1.0): what Claude Code
says, but for results of tools and for errors.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from rumpel.agents import claude_events
from rumpel.agents.headless import (
    Began,
    Ended,
    Event,
    ToolFailed,
    an_object,
    count_of,
    text_of,
)

UNKNOWN = "unknown"
ERROR = "Internal error: "
"""Begins what its service says: an object or a text, in JSON."""
NO_LOGIN = ("unauthorized", "(401)", "(403)", "status 401", "status 403", "api key")


def events(line: bytes) -> tuple[Event, ...]:
    said = an_object(line)
    return tuple(_own(event) for event in claude_events.of(said)) + tuple(_failures(said))


def _own(event: Event) -> Event:
    if isinstance(event, Began) and event.model == UNKNOWN:
        return replace(event, model="")
    if isinstance(event, Ended):
        why = _bare(event.why)
        is_login = any(word in why.lower() for word in NO_LOGIN)
        # No cost that is known is none.
        return replace(event, why=why, needs_login=is_login, cost_usd=event.cost_usd or None)
    return event


def _failures(said: dict[str, Any]) -> list[Event]:
    """A command that failed is no error for it."""
    found: list[Event] = []
    for block in claude_events.blocks(said.get("message")) if said.get("type") == "user" else ():
        content = block.get("content")
        result = an_object(content.encode("utf-8", "replace")) if isinstance(content, str) else {}
        if block.get("is_error") is not True and count_of(result.get("exit_code")):
            output = text_of(result.get("output_for_prompt"), 1000).partition("\n")[2]
            found.append(ToolFailed(text=f"Exit code {count_of(result['exit_code'])}\n{output}"))
    return found


def _bare(message: str) -> str:
    """The service's own words."""
    rest = message.removeprefix(ERROR)
    if rest == message:
        return message
    try:
        value = json.loads(rest)
    except (ValueError, RecursionError):
        return rest
    found = value.get("message") if isinstance(value, dict) else value
    return text_of(found, 1000).strip() or rest
