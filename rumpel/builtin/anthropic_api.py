"""Claude, by Anthropic's own library (Messages API)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2

from rumpel.agents.headless import Usage, count_of, text_of
from rumpel.builtin import prices, retry, turns
from rumpel.builtin.model import Answered, Call, ModelError, Question, Result, Results, Said

NAME = "anthropic"
MOST_TOKENS = 32_000
"""Of one answer. Every model in use may write as many."""
CONNECT_S, SILENT_S = 15.0, 900.0
THINKING = ("thinking", "redacted_thinking")
LATER = frozenset({"overloaded_error", "rate_limit_error", "api_error", "timeout_error"})
"""Errors in the middle of an answer, that has begun with 200."""
BROKEN = {
    "max_tokens": "its answer was too long",
    "model_context_window_exceeded": "the conversation is too long for the model",
    "refusal": "the model refused to go on",
}


class Claude:
    def __init__(self, secret: Mapping[str, str], base_url: str | None) -> None:
        """`secret`: one of `api_key` and `auth_token`."""
        self._client = anthropic.Anthropic(
            **secret,
            base_url=base_url,
            max_retries=0,  # retry.py
            timeout=anthropic.Timeout(SILENT_S, connect=CONNECT_S),
        )

    def close(self) -> None:
        """Let go of its connections."""
        self._client.close()

    def ask(self, question: Question, on_text: Callable[[str], None]) -> Answered:
        with _errors():
            answer = self._asked(question, on_text)
        if not question.is_streamed:
            on_text(answer.text)
        return answer

    def _asked(self, question: Question, on_text: Callable[[str], None]) -> Answered:
        request = {
            "model": question.model,
            "max_tokens": MOST_TOKENS,
            "system": question.system,
            "messages": messages(question),
            "tools": [
                {"name": tool.name, "description": tool.about, "input_schema": dict(tool.schema)}
                for tool in question.tools
            ],
            "cache_control": {"type": "ephemeral"},
        }
        if question.is_streamed:
            with self._client.messages.create(**request, stream=True) as stream:
                message = collected((event.to_dict() for event in stream), on_text)
        else:
            message = self._client.messages.create(**request).to_dict()
        return answered(question.model, message)


def messages(question: Question) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for turn in turns.told(question.entries, question.model, NAME):
        if isinstance(turn, Answered):
            blocks = _blocks(turn)
            if blocks:  # an answer of nothing is no message
                found.append({"role": "assistant", "content": blocks})
        elif isinstance(turn, Results):
            found.append({"role": "user", "content": [_result(one) for one in turn.results]})
        elif isinstance(turn, Said):
            found.append({"role": "user", "content": [_text(turns.said(turn))]})
        else:
            found.append({"role": "assistant", "content": [_text(turn.text)]})
    return found


def _blocks(answer: Answered) -> list[Mapping[str, Any]]:
    """A message that ends with thinking is refused: what came of it is missing."""
    blocks = [block for block in answer.raw if _is_whole(block)]
    while blocks and blocks[-1].get("type") in THINKING:
        blocks.pop()
    return blocks


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _result(one: Result) -> dict[str, Any]:
    # Empty content is refused in some places.
    content = one.text or "(nothing)"
    found = {"type": "tool_result", "tool_use_id": one.id, "content": content}
    return found | {"is_error": one.is_error}


def collected(events: Iterator[dict[str, Any]], on_text: Callable[[str], None]) -> dict[str, Any]:
    """The message of a stream. Raises ModelError when the stream was cut off.

    Blocks are put together as they come, whatever their kind, so that they can be sent back.
    """
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for event in events:
        kind, at = event.get("type"), event.get("index", 0)
        if kind == "message_start":
            message = dict(event["message"])
        elif kind == "content_block_start":
            blocks[at] = dict(event["content_block"])
        elif kind == "content_block_delta":
            _add(blocks[at], inputs, at, event["delta"])
            on_text(event["delta"].get("text", ""))
        elif kind == "message_delta":
            message |= event.get("delta", {})
            message["usage"] = message.get("usage", {}) | event.get("usage", {})
        elif kind == "message_stop":
            for number, given in inputs.items():
                blocks[number]["input"] = _input(given)
            return message | {"content": [blocks[number] for number in sorted(blocks)]}
    raise ModelError("the answer was cut off", may_again=True)


def _add(block: dict[str, Any], inputs: dict[int, str], at: int, delta: dict[str, Any]) -> None:
    match delta.get("type"):
        case "text_delta":
            block["text"] = block.get("text", "") + delta["text"]
        case "thinking_delta":
            block["thinking"] = block.get("thinking", "") + delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            inputs[at] = inputs.get(at, "") + delta["partial_json"]


def _input(given: str) -> dict[str, Any]:
    """One that broke off in the middle is none: the tool says what is missing."""
    try:
        found = json.loads(given or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def answered(model: str, message: Mapping[str, Any]) -> Answered:
    blocks = [block for block in message.get("content") or () if _is_whole(block)]
    usage, found = message.get("usage") or {}, []
    for block in blocks:
        if block.get("type") == "tool_use":
            given = block.get("input")
            arguments = given if isinstance(given, dict) else {}
            found.append(Call(id=block["id"], name=block["name"], arguments=arguments))
    read, written = (
        count_of(usage.get(f"cache_{how}_input_tokens")) for how in ("read", "creation")
    )
    spent = Usage(
        input=count_of(usage.get("input_tokens")) + read + written,
        cached=read,
        output=count_of(usage.get("output_tokens")),
    )
    return Answered(
        provider=NAME,
        model=model,
        raw=blocks,
        text="\n".join(block["text"] for block in blocks if block.get("type") == "text"),
        calls=tuple(found),
        usage=spent,
        cost_usd=prices.cost_usd(model, spent, written),
        why=BROKEN.get(str(message.get("stop_reason")), ""),
    )


def _is_whole(block: Mapping[str, Any]) -> bool:
    """Text of nothing, or of blanks, is answered, and refused when it is sent back."""
    return block.get("type") != "text" or bool(str(block.get("text") or "").strip())


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except anthropic.APIStatusError as error:
        status, headers = error.status_code, error.response.headers
        later = status == 200 and error.type in LATER
        raise ModelError(
            text_of(f"Anthropic answered {status}: {error.api_message or error.message}", 1000)
            if status != 200
            else text_of(f"Anthropic broke off: {error.api_message or error.type}", 1000),
            may_again=later or (status != 200 and retry.may_again(status, headers)),
            wait_s=retry.wait_s(headers),
            needs_login=status in (401, 403),
            is_refused=status in retry.REFUSED,
        ) from error
    except anthropic.APITimeoutError as error:
        raise ModelError("Anthropic does not answer", may_again=True) from error
    except (anthropic.APIConnectionError, httpx2.HTTPError) as error:
        raise ModelError(retry.lost("Anthropic", error), may_again=True) from error
    except (anthropic.AnthropicError, *retry.ODD) as error:
        what = text_of(f"Anthropic answered something odd: {error}", 1000)
        raise ModelError(what, may_again=False) from error
