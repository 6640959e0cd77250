"""Grok, by OpenAI's library (Responses API), as xAI documents it.

xAI's own library speaks gRPC only. Nothing is stored there: reasoning comes encrypted and goes
back with each question; its older chat API has no place for that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
import openai

from rumpel.agents.headless import Usage, count_of, text_of
from rumpel.builtin import prices, retry, turns
from rumpel.builtin.model import Answered, Call, ModelError, Question, Results, Said

NAME = "xai"
URL = "https://api.x.ai/v1"
CONNECT_S, SILENT_S = 15.0, 900.0
LAST = frozenset({"response.completed", "response.incomplete", "response.failed"})
BROKEN = {
    "max_output_tokens": "its answer was too long",
    "content_filter": "the model refused to go on",
}


class Grok:
    def __init__(self, secret: Mapping[str, str], base_url: str | None) -> None:
        with _without_openai():
            self._client = openai.OpenAI(
                api_key=secret["api_key"],
                base_url=base_url or URL,
                organization="",
                project="",
                max_retries=0,  # retry.py
                timeout=openai.Timeout(SILENT_S, connect=CONNECT_S),
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
            "instructions": question.system,
            "input": items(question),
            "tools": [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.about,
                    "parameters": dict(tool.schema),
                    "strict": False,
                }
                for tool in question.tools
            ],
            "include": ["reasoning.encrypted_content"],
            "store": False,
            "prompt_cache_key": question.conversation,
        }
        if question.is_streamed:
            with self._client.responses.create(**request, stream=True) as stream:
                response = collected((event.to_dict() for event in stream), on_text)
        else:
            response = self._client.responses.create(**request).to_dict()
        return answered(question.model, response)


@contextmanager
def _without_openai() -> Iterator[None]:
    """What is set for OpenAI (headers, which may sign us in, and more) is not for xAI; its library
    reads it where a client is made.
    """
    kept = {name: value for name, value in os.environ.items() if name.startswith("OPENAI_")}
    for name in kept:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(kept)


def items(question: Question) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for turn in turns.told(question.entries, question.model, NAME):
        if isinstance(turn, Answered):
            found += (dict(item) for item in turn.raw)
        elif isinstance(turn, Results):
            found += (
                {"type": "function_call_output", "call_id": one.id, "output": one.text}
                for one in turn.results
            )
        elif isinstance(turn, Said):
            found.append({"role": "user", "content": turns.said(turn)})
        else:
            found.append({"role": "assistant", "content": turn.text})
    return found


def collected(events: Iterable[dict[str, Any]], on_text: Callable[[str], None]) -> dict[str, Any]:
    """The response of a stream. Raises ModelError when the stream was cut off, or says so."""
    for event in events:
        kind = event.get("type")
        if kind in LAST:
            return dict(event["response"])
        if kind == "error":
            what = text_of(f"xAI broke off: {event.get('message')}", 1000)
            raise ModelError(what, may_again=True)
        on_text(event.get("delta", "") if kind == "response.output_text.delta" else "")
    raise ModelError("the answer was cut off", may_again=True)


def answered(model: str, response: Mapping[str, Any]) -> Answered:
    if response.get("status") == "failed":
        error = response.get("error") or {}
        what = text_of(f"xAI failed: {error.get('message')}", 1000)
        raise ModelError(
            what, may_again=error.get("code") in ("server_error", "rate_limit_exceeded")
        )
    output = list(response.get("output") or ())
    usage = response.get("usage") or {}
    spent = Usage(
        input=count_of(usage.get("input_tokens")),
        cached=count_of((usage.get("input_tokens_details") or {}).get("cached_tokens")),
        output=count_of(usage.get("output_tokens")),
    )
    reason = (response.get("incomplete_details") or {}).get("reason")
    return Answered(
        provider=NAME,
        model=model,
        raw=output,
        text="\n".join(_texts(output)),
        calls=tuple(_call(item) for item in output if item.get("type") == "function_call"),
        usage=spent,
        cost_usd=prices.cost_usd(model, spent),
        why=BROKEN.get(str(reason), f"it broke off ({reason})") if reason else "",
    )


def _texts(output: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for item in output:
        if item.get("type") == "message":
            parts = item.get("content") or ()
            yield "".join(part.get("text", "") or part.get("refusal", "") for part in parts)


def _call(item: Mapping[str, Any]) -> Call:
    """Arguments that are no object are none: the tool says what is missing."""
    try:
        given = json.loads(item.get("arguments") or "{}")
    except ValueError:
        given = {}
    arguments = given if isinstance(given, dict) else {}
    return Call(id=str(item.get("call_id")), name=str(item.get("name")), arguments=arguments)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except openai.APIStatusError as error:
        status, headers = error.status_code, error.response.headers
        raise ModelError(
            text_of(f"xAI answered {status}: {_message(error)}", 1000),
            may_again=retry.may_again(status, headers),
            wait_s=retry.wait_s(headers),
            needs_login=status in (401, 403),
            is_refused=status in retry.REFUSED,
        ) from error
    except openai.APITimeoutError as error:
        raise ModelError("xAI does not answer", may_again=True) from error
    except (openai.APIConnectionError, httpx2.HTTPError) as error:
        raise ModelError(retry.lost("xAI", error), may_again=True) from error
    except openai.APIError as error:
        raise ModelError(
            text_of(f"xAI broke off: {error.message}", 1000), may_again=True
        ) from error
    except (openai.OpenAIError, *retry.ODD) as error:
        what = text_of(f"xAI answered something odd: {error}", 1000)
        raise ModelError(what, may_again=False) from error


def _message(error: openai.APIStatusError) -> str:
    """xAI writes {"code": …, "error": "…"}, OpenAI {"error": {"message": …}} ."""
    body = error.body
    if isinstance(body, dict):
        return str(body.get("message") or body.get("error") or error.message)
    return str(body or error.message)
