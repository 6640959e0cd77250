"""What Claude Code says with `--output-format stream-json`: a JSON object a line (version 2.1)."""

from __future__ import annotations

from typing import Any

from rumpel.agents.headless import (
    MAX_RESULT_CHARS,
    Again,
    Began,
    Ended,
    Event,
    Spent,
    Text,
    Tool,
    ToolFailed,
    Usage,
    an_object,
    count_of,
    detail_of,
    number_of,
    text_of,
)

ARGUMENTS = ("command", "file_path", "notebook_path", "pattern", "url", "query", "description")
"""Of its tools, those that say most."""
ENDS = {
    "error_max_turns": "it used up its turns",
    "error_max_budget_usd": "it used up its money",
}
NEEDS_LOGIN = (401, 403)
MAX_NAME_CHARS = 100
MOST_BLOCKS = 50
"""Of one message."""


def events(line: bytes) -> tuple[Event, ...]:
    return of(an_object(line))


def of(said: dict[str, Any]) -> tuple[Event, ...]:
    """Of one object."""
    match said.get("type"):
        case "system" if said.get("subtype") == "init":
            session = text_of(said.get("session_id"), MAX_NAME_CHARS)
            return (Began(session=session, model=text_of(said.get("model"), MAX_NAME_CHARS)),)
        case "system" if said.get("subtype") == "api_retry":
            return (_again(said),)
        case "assistant":
            return tuple(_answer(said))
        case "user":
            return tuple(_failures(said))
        case "result":
            return (_end(said),)
    return ()


def _answer(said: dict[str, Any]) -> list[Event]:
    """What an agent of its own says is for it, not for the person; an error is told at the end."""
    message = said.get("message")
    is_inner = said.get("parent_tool_use_id") is not None or said.get("error") is not None
    found: list[Event] = []
    for block in blocks(message):
        if block.get("type") == "text" and not is_inner:
            text = text_of(block.get("text")).strip()
            found += [Text(text)] if text else []
        elif block.get("type") == "tool_use":
            name = text_of(block.get("name"), MAX_NAME_CHARS)
            found.append(Tool(name=name, detail=detail_of(block.get("input"), ARGUMENTS)))
    if isinstance(message, dict) and isinstance(message.get("usage"), dict):
        of = text_of(message.get("id"), MAX_NAME_CHARS)
        found.append(Spent(of=of, usage=_usage(message["usage"])))
    return found


def _again(said: dict[str, Any]) -> Again:
    status, error = said.get("error_status"), text_of(said.get("error"), MAX_NAME_CHARS)
    attempt, most = count_of(said.get("attempt")), count_of(said.get("max_retries"))
    answer = f"{count_of(status)} {error}" if number_of(status) else error or "nothing"
    return Again(text=f"the model's service answers {answer}: asked again ({attempt} of {most})")


def _failures(said: dict[str, Any]) -> list[Event]:
    return [
        ToolFailed(text=_content(block.get("content")))
        for block in blocks(said.get("message"))
        if block.get("type") == "tool_result" and block.get("is_error") is True
    ]


def _end(said: dict[str, Any]) -> Ended:
    subtype, turns = said.get("subtype"), number_of(said.get("num_turns"))
    is_ok = subtype == "success" and said.get("is_error") is not True
    text = text_of(said.get("result"), MAX_RESULT_CHARS).strip()
    usage = said.get("usage")
    return Ended(
        is_ok=is_ok,
        text=text if is_ok else "",
        why="" if is_ok else ENDS.get(str(subtype)) or text or _first(said.get("errors")),
        needs_login=not is_ok and said.get("api_error_status") in NEEDS_LOGIN,
        session=text_of(said.get("session_id"), MAX_NAME_CHARS),
        turns=None if turns is None else int(turns),
        cost_usd=_cost(said),
        usage=_usage(usage) if isinstance(usage, dict) else None,
    )


def _cost(said: dict[str, Any]) -> float | None:
    """The total is that of the conversation, also of what went before this run."""
    models = said.get("model_usage_since_last_result")
    if not isinstance(models, dict):
        return number_of(said.get("total_cost_usd"))
    own = [one.get("costUSD") for one in models.values() if isinstance(one, dict)]
    return sum(number_of(cost) or 0.0 for cost in own)


def _usage(said: dict[str, Any]) -> Usage:
    """Its `input_tokens` are those that no cache had to do with."""
    cached = count_of(said.get("cache_read_input_tokens"))
    new = count_of(said.get("input_tokens")) + count_of(said.get("cache_creation_input_tokens"))
    return Usage(input=new + cached, cached=cached, output=count_of(said.get("output_tokens")))


def blocks(message: object) -> list[dict[str, Any]]:
    content = message.get("content") if isinstance(message, dict) else None
    blocks = content if isinstance(content, list) else []
    return [block for block in blocks[:MOST_BLOCKS] if isinstance(block, dict)]


def _content(value: object) -> str:
    """Of the result of a tool: a text, or blocks with some."""
    if isinstance(value, list):
        value = next((block.get("text") for block in value if isinstance(block, dict)), "")
    return text_of(value, 1000)


def _first(value: object) -> str:
    return text_of(value[0], 1000) if isinstance(value, list) and value else ""
