"""A model that answers on loopback in the shapes of the real APIs: text, and a tool loop.

What it does is said by the last thing a person wrote: `please-run: COMMAND` has the agent run the
command and then say DONE, `please-fail: STATUS` is answered with that error; anything else is
answered with PONG.
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support import fake_chat, fake_gemini, fake_responses

MARK, FAIL = "please-run: ", "please-fail: "
GEMINI, CHAT = "/v1beta/models/", "/v1/chat/completions"


class Model(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        """Headers (lower-case) and bodies of what was asked."""
        self.limited = 0
        """So many were told to come again later."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Model

    def do_HEAD(self) -> None:
        self._head(200, 0)

    def do_GET(self) -> None:
        self._json(200, {"data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        if not self.path.startswith(("/v1/messages", "/v1/responses", GEMINI, CHAT)):
            self._json(200, {})
            return
        self.server.asked.append(({k.lower(): v for k, v in self.headers.items()}, body))
        if self.path.startswith("/v1/responses"):
            self._responses(body)
            return
        if self.path.startswith(GEMINI):
            self._gemini(body)
            return
        if self.path.startswith(CHAT):
            self._chat(body)
            return
        if "count_tokens" in self.path:
            self._json(200, {"input_tokens": 10})
            return
        failures = [text.partition(FAIL)[2] for text in texts(news(body)) if FAIL in text]
        if failures:
            error = {"type": "invalid_request_error", "message": "no such luck"}
            self._json(int(failures[-1][:3]), {"type": "error", "error": error})
            return
        message = reply(body)
        if body.get("stream"):
            self._stream(events(message))
        else:
            self._json(200, message)

    def _responses(self, body: dict[str, Any]) -> None:
        if status := fake_responses.failure(body):
            error = {"type": "invalid_request_error", "message": "no such luck"}
            self._json(status, {"error": error})
        else:
            self._stream(fake_responses.events(body))

    def _gemini(self, body: dict[str, Any]) -> None:
        model, _, way = self.path.removeprefix(GEMINI).partition(":")
        if refused := fake_gemini.failure(body, self.server.limited):
            self.server.limited += refused[0] == 429
            self._json(*refused)
            return
        pieces = fake_gemini.answers(body, model)
        if way.startswith("streamGenerateContent"):
            said = (("", piece) for piece in pieces)
            self._stream(said, is_cut=fake_gemini.is_cut(body))
        else:
            self._json(200, next(pieces))

    def _chat(self, body: dict[str, Any]) -> None:
        if refused := fake_chat.failure(body, self.server.limited):
            self.server.limited += refused[0] == 429
            self._json(*refused)
        else:
            said = (("", piece) for piece in fake_chat.answers(body))
            self._stream(said, is_cut=fake_chat.is_cut(body))

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the test's output."""

    def _stream(
        self, said: Iterable[tuple[str, dict[str, Any] | str]], *, is_cut: bool = False
    ) -> None:
        """With `is_cut` the connection ends before the answer does."""
        named = ((f"event: {kind}\n" if kind else "", data) for kind, data in said)
        texts = ((name, one if isinstance(one, str) else json.dumps(one)) for name, one in named)
        text = "".join(f"{name}data: {data}\n\n" for name, data in texts)
        self._head(200, len(text.encode()) + 1000 * is_cut, "text/event-stream")
        self.wfile.write(text.encode())
        self.close_connection = self.close_connection or is_cut

    def _json(self, status: int, value: object) -> None:
        text = json.dumps(value).encode()
        self._head(status, len(text), "application/json")
        self.wfile.write(text)

    def _head(self, status: int, size: int, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(size))
        self.end_headers()


def news(body: dict[str, Any]) -> list[dict[str, Any]]:
    """What was said since the model spoke last."""
    blocks: list[dict[str, Any]] = []
    for message in body["messages"]:
        content = message["content"]
        new = content if isinstance(content, list) else [{"type": "text", "text": content}]
        blocks = [] if message["role"] == "assistant" else blocks + new
    return blocks


def texts(blocks: list[dict[str, Any]]) -> list[str]:
    return [block.get("text", "") for block in blocks if block.get("type") == "text"]


def offered(body: dict[str, Any]) -> list[str]:
    """Names of the tools."""
    return [str(tool.get("name")) for tool in body.get("tools", ())]


def reply(body: dict[str, Any]) -> dict[str, Any]:
    blocks = news(body)
    results = [block for block in blocks if block.get("type") == "tool_result"]
    asked = [text.partition(MARK)[2].splitlines()[0] for text in texts(blocks) if MARK in text]
    answer: list[dict[str, Any]] = [{"type": "text", "text": "PONG"}]
    stop = "end_turn"
    if results:
        answer = [{"type": "text", "text": "DONE"}]
    elif asked and (shells := [name for name in offered(body) if name.lower() == "bash"]):
        tool = {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": shells[0]}
        answer = [tool | {"input": {"command": asked[-1], "description": "as asked"}}]
        stop = "tool_use"
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", "model"),
        "content": answer,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 20},
    }


def events(message: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield (
        "message_start",
        {"type": "message_start", "message": message | {"content": [], "stop_reason": None}},
    )
    for index, block in enumerate(message["content"]):
        is_text = block["type"] == "text"
        empty = {"type": "text", "text": ""} if is_text else block | {"input": {}}
        delta = (
            {"type": "text_delta", "text": block["text"]}
            if is_text
            else {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        )
        yield (
            "content_block_start",
            {"type": "content_block_start", "index": index, "content_block": empty},
        )
        yield "content_block_delta", {"type": "content_block_delta", "index": index, "delta": delta}
        yield "content_block_stop", {"type": "content_block_stop", "index": index}
    end = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield "message_delta", {"type": "message_delta", "delta": end, "usage": message["usage"]}
    yield "message_stop", {"type": "message_stop"}


@contextmanager
def model() -> Iterator[Model]:
    server = Model()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


if __name__ == "__main__":
    server = Model()
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    server.serve_forever()
