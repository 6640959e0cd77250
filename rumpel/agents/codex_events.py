"""What Codex says with `exec --json`: a JSON object a line (version 0.171)."""

from __future__ import annotations

import shlex
from typing import Any

from rumpel.agents.headless import (
    MAX_DETAIL_CHARS,
    Again,
    Began,
    Ended,
    Event,
    Text,
    Tool,
    ToolFailed,
    Usage,
    an_object,
    count_of,
    detail_of,
    text_of,
)

NAMES = {
    "command_execution": "Bash",
    "file_change": "Edit",
    "mcp_tool_call": "MCP",
    "web_search": "Search",
}
DETAILS = ("query", "path", "tool")
"""Of what it does, what says most."""
QUIET = frozenset({"agent_message", "reasoning", "error", "todo_list"})
"""No tools. As an `error` come warnings of its own; what is fatal ends the turn."""
MAX_NAME_CHARS = 100
MAX_SPLIT_CHARS = 4000
NO_LOGIN = ("401", "403", "api key", "unauthorized")


def events(line: bytes) -> tuple[Event, ...]:
    said = an_object(line)
    match said.get("type"):
        case "thread.started":
            return (Began(session=text_of(said.get("thread_id"), MAX_NAME_CHARS), model=""),)
        case "item.started":
            return tuple(_begun(_inner(said, "item")))
        case "item.completed":
            return tuple(_done(_inner(said, "item")))
        case "error":
            return (Again(text=_message(said)),)
        case "turn.completed":
            return (Ended(is_ok=True, turns=None, usage=_usage(_inner(said, "usage"))),)
        case "turn.failed":
            why = _message(_inner(said, "error"))
            is_login = any(word in why.lower() for word in NO_LOGIN)
            return (Ended(is_ok=False, text="", why=why, needs_login=is_login),)
    return ()


def _begun(item: dict[str, Any]) -> list[Event]:
    kind = text_of(item.get("type"), MAX_NAME_CHARS)
    if not kind or kind in QUIET:
        return []
    return [Tool(name=NAMES.get(kind, kind), detail=_detail(item))]


def _done(item: dict[str, Any]) -> list[Event]:
    if item.get("type") == "agent_message":
        text = text_of(item.get("text")).strip()
        return [Text(text)] if text else []
    found: list[Event] = []
    if item.get("type") == "file_change":  # told of at its end only
        found += _begun(item)
    if item.get("status") == "failed":
        code, output = item.get("exit_code"), text_of(item.get("aggregated_output"), 1000)
        found.append(ToolFailed(text=f"Exit code {count_of(code)}\n{output}" if code else output))
    return found


def _detail(item: dict[str, Any]) -> str:
    changes = item.get("changes")
    if isinstance(changes, list):
        paths = [text_of(one.get("path"), 200) for one in changes if isinstance(one, dict)]
        return text_of(", ".join(paths[:20]), MAX_DETAIL_CHARS)
    command = item.get("command")
    if isinstance(command, str):
        return text_of(_bare(command), MAX_DETAIL_CHARS)
    return detail_of({key: item.get(key) for key in DETAILS if item.get(key)}, DETAILS)


def _bare(command: str) -> str:
    """Without the shell around it. A long one stays: to split it takes the square of its length."""
    if len(command) > MAX_SPLIT_CHARS:
        return command
    try:
        shell, flags, inner = shlex.split(command)
    except ValueError:
        return command
    return inner if shell.endswith("sh") and flags == "-lc" else command


def _message(said: dict[str, Any]) -> str:
    """The service's own words, which come as they came."""
    text = text_of(said.get("message"), 2000)
    inner = _inner(an_object(text.encode()), "error").get("message")
    return text_of(inner, 1000) or text


def _usage(said: dict[str, Any]) -> Usage:
    """Of the whole conversation; its input is all that was read."""
    return Usage(
        input=count_of(said.get("input_tokens")),
        cached=count_of(said.get("cached_input_tokens")),
        output=count_of(said.get("output_tokens")),
    )


def _inner(said: dict[str, Any], key: str) -> dict[str, Any]:
    value = said.get(key)
    return value if isinstance(value, dict) else {}
