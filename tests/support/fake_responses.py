"""What the model of `fake_api` answers in OpenAI's Responses API, streamed: text, and a tool loop.

As there, `please-run: COMMAND` and `please-fail: STATUS` are obeyed; with `please-ask: COMMAND` it
asks for leave first. The tool is Codex's own: a function `exec_command`, or `exec`, which takes a
program in JavaScript.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

RUN, ASK, FAIL = "please-run: ", "please-ask: ", "please-fail: "


def failure(body: dict[str, Any]) -> int | None:
    """The status with which a request is refused."""
    asked, _ = _last(body["input"])
    return int(asked.removeprefix(FAIL)[:3]) if asked.startswith(FAIL) else None


def events(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    asked, has_result = _last(body["input"])
    item = _said("PONG")
    if has_result:
        item = _said("DONE")
    elif asked.startswith((RUN, ASK)):
        given = {"cmd": asked.partition(": ")[2].splitlines()[0]}
        leave = {"sandbox_permissions": "require_escalated", "justification": "May I?"}
        item = _call(_tools(body), given | (leave if asked.startswith(ASK) else {}))
    made: dict[str, Any] = {"id": f"resp_{uuid.uuid4().hex}", "model": body["model"]}
    usage = {"input_tokens": 100, "output_tokens": 20, "total_tokens": 120}
    done = made | {"status": "completed", "output": [item], "usage": usage}
    steps: tuple[tuple[str, dict[str, Any]], ...] = (
        ("response.created", {"response": made | {"status": "in_progress", "output": []}}),
        ("response.output_item.added", {"output_index": 0, "item": item}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": done}),
    )
    for number, (kind, data) in enumerate(steps):
        yield kind, {"type": kind, "sequence_number": number, **data}


def _last(items: list[dict[str, Any]]) -> tuple[str, bool]:
    """The last thing a person wrote, and whether a tool has answered since."""
    asked, has_result = "", False
    for item in items:
        if item.get("role") == "user":
            content = item["content"]
            asked = content if isinstance(content, str) else content[-1].get("text", "")
            has_result = False
        has_result = has_result or str(item.get("type")).endswith("_call_output")
    return asked, has_result


def _tools(body: dict[str, Any]) -> set[str]:
    """Those of the request, and those that its input adds, in name spaces."""
    listed = list(body.get("tools", ()))
    for item in body["input"]:
        listed += item.get("tools", ()) if item.get("type") == "additional_tools" else ()
    inner = [tool for one in listed for tool in one.get("tools", ())]
    return {tool.get("name", "") for tool in [*listed, *inner]}


def _call(tools: set[str], arguments: dict[str, str]) -> dict[str, Any]:
    call: dict[str, Any] = {"id": f"call_{uuid.uuid4().hex}", "call_id": f"call_{uuid.uuid4().hex}"}
    given = json.dumps(arguments)
    if "exec_command" in tools:
        return call | {"type": "function_call", "name": "exec_command", "arguments": given}
    script = f"const done = await tools.exec_command({given}); text(JSON.stringify(done));"
    return call | {"type": "custom_tool_call", "name": "exec", "input": script}


def _said(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    made = {"type": "message", "id": f"msg_{uuid.uuid4().hex}", "status": "completed"}
    return made | {"role": "assistant", "content": content}
