"""What the model of `fake_api` answers in the API of chat completions, streamed: text, and a tool
loop. That is what xAI's Grok speaks.

As in `fake_gemini`, `please-run:`, `please-fail:`, `please-limit:` and `please-cut:` are obeyed.
The tool is Grok's own `run_terminal_command`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

RUN, FAIL, LIMIT, CUT = "please-run: ", "please-fail: ", "please-limit: ", "please-cut: "
QUERY = "<user_query>"


def failure(body: dict[str, Any], limited: int) -> tuple[int, dict[str, Any]] | None:
    """Status and body with which a request is refused; `limited` were before it."""
    asked, _ = last(body)
    if asked.startswith(LIMIT) and limited < int(asked.removeprefix(LIMIT)[:1]):
        return 429, {"code": "resource-exhausted", "error": "slow down"}
    if asked.startswith(FAIL):
        return int(asked.removeprefix(FAIL)[:3]), {"code": "invalid", "error": "no such luck"}
    return None


def answers(body: dict[str, Any]) -> Iterator[dict[str, Any] | str]:
    """The pieces of an answer."""
    asked, has_result = last(body)
    made = {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": 1}
    made |= {"model": body["model"]}
    delta: dict[str, Any] = {"role": "assistant", "content": "PONG"}
    reason = "stop"
    if asked.startswith(CUT):
        yield made | {"choices": [{"index": 0, "delta": delta | {"content": "HALF"}}]}
        return
    if has_result:
        delta["content"] = "DONE"
    elif asked.startswith(RUN) and (tool := _tool(body)):
        given = {"command": asked.removeprefix(RUN).splitlines()[0], "description": "as asked"}
        function = {"name": tool, "arguments": json.dumps(given)}
        call = {"index": 0, "id": f"call_{uuid.uuid4().hex[:8]}", "type": "function"}
        delta = {"role": "assistant", "tool_calls": [call | {"function": function}]}
        reason = "tool_calls"
    yield made | {"choices": [{"index": 0, "delta": delta}]}
    yield made | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    yield made | {"choices": [], "usage": usage}
    yield "[DONE]"


def is_cut(body: dict[str, Any]) -> bool:
    return last(body)[0].startswith(CUT)


def last(body: dict[str, Any]) -> tuple[str, bool]:
    """The last thing a person wrote, and whether a tool has answered since."""
    asked, has_result = "", False
    for message in body["messages"]:
        content = message.get("content")
        if message["role"] == "user":
            said = content if isinstance(content, str) else content[-1].get("text", "")
            _, found, query = said.partition(QUERY)
            asked, has_result = (query if found else said).strip(), False
        has_result = has_result or message["role"] == "tool"
    return asked, has_result


def _tool(body: dict[str, Any]) -> str:
    names = {tool["function"]["name"] for tool in body.get("tools", ()) if "function" in tool}
    return next((name for name in sorted(names) if "terminal" in name or "bash" in name), "")
