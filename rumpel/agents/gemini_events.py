"""What Gemini CLI says with `--output-format stream-json`: a JSON object a line (version 0.61)."""

from __future__ import annotations

import json
from typing import Any

from rumpel.agents.headless import (
    Again,
    Began,
    Ended,
    Event,
    Piece,
    Tool,
    ToolFailed,
    Usage,
    an_object,
    count_of,
    detail_of,
    text_of,
)

ARGUMENTS = ("command", "file_path", "dir_path", "pattern", "query", "url", "prompt", "description")
"""Of its tools, those that say most."""
MAX_NAME_CHARS = 100
ERROR = "[API Error: "
"""Begins what its service says: in brackets, an object or a text."""
NO_LOGIN = ("401", "403", "api key", "unauthenticated", "permission_denied")


def events(line: bytes) -> tuple[Event, ...]:
    said = an_object(line)
    match said.get("type"):
        case "init":
            session = text_of(said.get("session_id"), MAX_NAME_CHARS)
            return (Began(session=session, model=text_of(said.get("model"), MAX_NAME_CHARS)),)
        case "message" if said.get("role") == "assistant":
            return (Piece(text_of(said.get("content"))),)
        case "tool_use":
            detail = detail_of(said.get("parameters"), ARGUMENTS)
            return (Tool(name=text_of(said.get("tool_name"), MAX_NAME_CHARS), detail=detail),)
        case "tool_result" if said.get("status") == "error":
            why = text_of(_inner(said, "error").get("message"), 1000)
            return (ToolFailed(text=why or text_of(said.get("output"), 1000)),)
        case "error":
            return (Again(text=text_of(said.get("message"), 1000)),)
        case "result":
            return (_end(said),)
    return ()


def _end(said: dict[str, Any]) -> Ended:
    stats = _inner(said, "stats")
    usage = Usage(
        input=count_of(stats.get("input_tokens")),
        cached=count_of(stats.get("cached")),
        output=count_of(stats.get("output_tokens")),
    )
    if said.get("status") == "success":
        return Ended(is_ok=True, usage=usage)
    message = text_of(_inner(said, "error").get("message"), 2000)
    is_login = any(word in message.lower() for word in NO_LOGIN)
    why = _bare(message) or "the answer of the model was not whole"
    return Ended(is_ok=False, text="", why=why, needs_login=is_login, usage=usage)


def _bare(message: str) -> str:
    """The service's own words."""
    rest = message.removeprefix(ERROR)
    if rest == message:
        return text_of(message, 1000)
    try:
        value, _ = json.JSONDecoder().raw_decode(rest)
    except (ValueError, RecursionError):
        return text_of(rest.removesuffix("]"), 1000)
    found = _inner(value, "error").get("message") if isinstance(value, dict) else None
    return text_of(found, 1000) or text_of(rest.removesuffix("]"), 1000)


def _inner(said: dict[str, Any], key: str) -> dict[str, Any]:
    value = said.get(key)
    return value if isinstance(value, dict) else {}
