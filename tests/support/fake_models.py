"""Models that answer on loopback as the three real services do, by a script.

Each question takes the next step of the script: an `Answer`, told in the wire format of whoever
is asked (streamed when asked so), or a `Fault`. What was asked is kept, so that a test can look
whether everything went back as it came.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SIGNATURE = "c2lnbmF0dXJlIG9mIGEgdGhvdWdodA=="
"""Base64, as Gemini wants it; an opaque text for the others."""
THOUGHT = "let me think"
USAGE_IN, USAGE_CACHED, USAGE_OUT = 100, 40, 20


@dataclass(frozen=True, kw_only=True)
class Answer:
    text: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    thinks: bool = False
    is_too_long: bool = False


@dataclass(frozen=True, kw_only=True)
class Fault:
    status: int = 0
    """0: an answer begins, and is cut off in the middle, or goes on with the event `body`."""
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "no such luck"
    delay_s: float = 0.0
    """Nothing is said for so long, before anything else."""
    body: Any = None
    page: str = ""
    """Sent in place of an answer, as HTML."""


Step = Answer | Fault
PARTS = (
    ("anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", ""),
    ("gemini", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", ""),
    ("xai", "XAI_API_KEY", "XAI_BASE_URL", "/v1"),
)


class Models(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Step] = []
        self.asked: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        """Path, headers (lower-case) and body of each question."""
        self.at: list[float] = []
        """When it was asked, on the monotonic clock."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def env(self, key: str, *names: str) -> dict[str, str]:
        """Variables that send the providers `names` (all) here."""
        found: dict[str, str] = {}
        for name, secret, address, path in PARTS:
            if name in (names or ("anthropic", "gemini", "xai")):
                found |= {secret: key, address: self.url + path}
        return found

    def play(self, *steps: Step) -> None:
        self.script = list(steps)
        self.asked.clear()
        self.at.clear()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, _, body in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Models

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, body))
        self.server.at.append(time.monotonic())
        step = self.server.script.pop(0) if self.server.script else Answer(text="PONG")
        if isinstance(step, Answer):
            self._answer(step, body, is_cut=False)
        elif step.page:
            self._send(step.status or 200, "text/html", step.page.encode(), step.headers)
        elif step.delay_s and not step.status:
            time.sleep(step.delay_s)
            self._answer(Answer(text="late"), body, is_cut=False)
        elif step.status:
            error = {"type": "an_error", "message": step.message, "status": "AN_ERROR"}
            text = json.dumps(step.body or {"type": "error", "error": error}).encode()
            self._send(step.status, "application/json", text, step.headers)
        else:
            self._answer(Answer(text="half of an answer"), body, is_cut=True, last=step.body)

    def _answer(
        self, step: Answer, body: dict[str, Any], *, is_cut: bool, last: Any = None
    ) -> None:
        is_streamed = "streamGenerateContent" in self.path or bool(body.get("stream"))
        shape = next(shape for part, shape in SHAPES.items() if part in self.path)
        if not is_streamed:
            if is_cut:
                self.close_connection = True
                return
            self._send(200, "application/json", json.dumps(shape(step)[0]).encode(), {})
            return
        events = list(shape(step)[1])
        if is_cut:
            events = [*events[: len(events) // 2], *([last] if last else [])]
        lines = [
            (f"event: {one['type']}\n" if "type" in one else "") + f"data: {json.dumps(one)}\n\n"
            for one in events
        ]
        text = "".join(lines).encode()
        # Half of the bytes that were announced: the client sees a lost connection.
        self._send(200, "text/event-stream", text, {}, announced=len(text) * (1 + is_cut))
        self.close_connection = is_cut

    def _send(
        self,
        status: int,
        kind: str,
        text: bytes,
        headers: dict[str, str],
        announced: int | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text) if announced is None else announced))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's output."""


def _pieces(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


Shape = tuple[dict[str, Any], Iterable[dict[str, Any]]]
"""The whole answer, and the events of the same one."""


def _anthropic(step: Answer) -> Shape:
    blocks: list[dict[str, Any]] = []
    if step.thinks:
        blocks.append({"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE})
    if step.text:
        blocks.append({"type": "text", "text": step.text})
    for number, (name, given) in enumerate(step.calls):
        blocks.append({"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": given})
    stop = "max_tokens" if step.is_too_long else "tool_use" if step.calls else "end_turn"
    usage = {
        "input_tokens": USAGE_IN - USAGE_CACHED,
        "cache_read_input_tokens": USAGE_CACHED,
        "cache_creation_input_tokens": 0,
        "output_tokens": USAGE_OUT,
    }
    made = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "usage": usage}
    whole = made | {"content": blocks, "stop_reason": stop, "stop_sequence": None}
    return whole, _anthropic_events(whole)


def _anthropic_events(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"type": "message_start", "message": whole | {"content": [], "stop_reason": None}}
    yield {"type": "ping"}
    for index, block in enumerate(whole["content"]):
        deltas: list[dict[str, Any]] = []
        if block["type"] == "text":
            empty = block | {"text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in _pieces(block["text"])]
        elif block["type"] == "thinking":
            empty = block | {"thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": p} for p in _pieces(THOUGHT)]
            deltas.append({"type": "signature_delta", "signature": SIGNATURE})
        else:
            empty, given = block | {"input": {}}, json.dumps(block["input"])
            # An input of nothing comes as nothing.
            pieces = _pieces(given) if block["input"] else ()
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        yield {"type": "content_block_start", "index": index, "content_block": empty}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    end = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": end, "usage": {"output_tokens": USAGE_OUT}}
    yield {"type": "message_stop"}


def _gemini(step: Answer) -> Shape:
    parts: list[dict[str, Any]] = []
    if step.thinks:
        parts.append({"text": THOUGHT, "thought": True})
    parts += [{"text": piece} for piece in _pieces(step.text)] if step.text else []
    for number, (name, given) in enumerate(step.calls):
        signed = {"thoughtSignature": SIGNATURE} if step.thinks and not number else {}
        parts.append({"functionCall": {"name": name, "args": given}} | signed)
    usage = {
        "promptTokenCount": USAGE_IN,
        "cachedContentTokenCount": USAGE_CACHED,
        "candidatesTokenCount": USAGE_OUT - 5,
        "thoughtsTokenCount": 5,
    }
    reason = "MAX_TOKENS" if step.is_too_long else "STOP"

    def chunk(found: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
        content = {"role": "model", "parts": found}
        return {"candidates": [{"content": content, "index": 0, **more}]}

    whole = chunk(parts, finishReason=reason) | {"usageMetadata": usage}
    end = chunk([], finishReason=reason) | {"usageMetadata": usage}
    return whole, [*(chunk([part]) for part in parts), end]


def _responses(step: Answer) -> Shape:
    output: list[dict[str, Any]] = []
    if step.thinks:
        output.append(
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SIGNATURE}
        )
    if step.text:
        content = [{"type": "output_text", "text": step.text, "annotations": []}]
        said = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant"}
        output.append(said | {"content": content})
    for number, (name, given) in enumerate(step.calls):
        call = {"type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}"}
        output.append(call | {"name": name, "arguments": json.dumps(given)})
    usage = {
        "input_tokens": USAGE_IN,
        "input_tokens_details": {"cached_tokens": USAGE_CACHED, "cache_write_tokens": 0},
        "output_tokens": USAGE_OUT,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": USAGE_IN + USAGE_OUT,
    }
    made: dict[str, Any] = {"id": "resp_1", "object": "response", "model": "m", "created_at": 1}
    whole = made | {"status": "completed", "output": output, "usage": usage}
    if step.is_too_long:
        reason = {"reason": "max_output_tokens"}
        whole |= {"status": "incomplete", "incomplete_details": reason}
    kind = "response.incomplete" if step.is_too_long else "response.completed"
    steps: list[dict[str, Any]] = [
        {"type": "response.created", "response": made | {"status": "in_progress", "output": []}}
    ]
    for index, item in enumerate(output):
        steps.append({"type": "response.output_item.added", "output_index": index, "item": item})
        if item["type"] == "message":
            where = {"item_id": "msg_1", "output_index": index, "content_index": 0}
            steps += (
                {"type": "response.output_text.delta", "delta": piece, **where}
                for piece in _pieces(step.text)
            )
        steps.append({"type": "response.output_item.done", "output_index": index, "item": item})
    steps.append({"type": kind, "response": whole})
    return whole, [one | {"sequence_number": number} for number, one in enumerate(steps)]


SHAPES = {
    "/v1/messages": _anthropic,
    "/v1/responses": _responses,
    "enerateContent": _gemini,
}


@contextmanager
def models() -> Iterator[Models]:
    server = Models()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
