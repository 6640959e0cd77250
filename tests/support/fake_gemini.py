"""What the model of `fake_api` answers in Gemini's API (generateContent): text, and a tool loop.

As there, `please-run: COMMAND` and `please-fail: STATUS` are obeyed; `please-limit: N` is answered
with 429 N times, then as anything else; with `please-cut: ` the connection ends in the middle of
an answer. The tool is Gemini CLI's own `run_shell_command`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

RUN, FAIL, LIMIT, CUT = "please-run: ", "please-fail: ", "please-limit: ", "please-cut: "
STATUSES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED"}


def failure(body: dict[str, Any], limited: int) -> tuple[int, dict[str, Any]] | None:
    """Status and body with which a request is refused; `limited` were before it."""
    asked, _ = last(body)
    if asked.startswith(LIMIT) and limited < int(asked.removeprefix(LIMIT)[:1]):
        return 429, _error(429, "slow down")
    if asked.startswith(FAIL):
        status = int(asked.removeprefix(FAIL)[:3])
        return status, _error(status, "no such luck")
    return None


def _error(status: int, message: str) -> dict[str, Any]:
    error: dict[str, Any] = {"code": status, "message": message}
    error["status"] = STATUSES.get(status, "UNKNOWN")
    if status == 429:
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        error["details"] = [{"@type": kind, "retryDelay": "0.2s"}]
    return {"error": error}


def answers(body: dict[str, Any], model: str) -> Iterator[dict[str, Any]]:
    """The pieces of an answer; the last one has the counts."""
    asked, has_result = last(body)
    if asked.startswith(CUT):
        yield _piece([{"text": "HALF"}], model)
        return
    parts: list[dict[str, Any]] = [{"text": "PONG"}]
    if has_result:
        parts = [{"text": "DONE"}]
    elif asked.startswith(RUN) and "run_shell_command" in _tools(body):
        given = {"command": asked.removeprefix(RUN).splitlines()[0], "description": "as asked"}
        call = {"id": uuid.uuid4().hex[:8], "name": "run_shell_command", "args": given}
        parts = [{"functionCall": call, "thoughtSignature": "c2lnbmVk"}]
    usage = {"promptTokenCount": 100, "candidatesTokenCount": 20, "totalTokenCount": 120}
    yield _piece(parts, model)
    yield _piece([{"text": ""}], model, finishReason="STOP") | {"usageMetadata": usage}


def _piece(parts: list[dict[str, Any]], model: str, **more: str) -> dict[str, Any]:
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}, **more}
    return {"responseId": "r", "modelVersion": model, "candidates": [candidate]}


def is_cut(body: dict[str, Any]) -> bool:
    return last(body)[0].startswith(CUT)


def last(body: dict[str, Any]) -> tuple[str, bool]:
    """The last thing a person wrote, and whether a tool has answered since."""
    asked, has_result = "", False
    for content in body["contents"]:
        for part in content.get("parts", ()) if content.get("role") != "model" else ():
            text = part.get("text", "")
            if text and not text.startswith(("<", "\n<")):
                asked, has_result = text, False
            has_result = has_result or "functionResponse" in part
    return asked, has_result


def _tools(body: dict[str, Any]) -> set[str]:
    listed = [one for tool in body.get("tools", ()) for one in tool.get("functionDeclarations", ())]
    return {tool.get("name", "") for tool in listed}
