"""Gemini, by Google's own library (generateContent)."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2
from google import genai
from google.genai import errors, types

from rumpel.agents.headless import Usage, count_of, text_of
from rumpel.builtin import prices, retry, turns
from rumpel.builtin.model import Answered, Call, ModelError, Question, Result, Results, Said

NAME = "gemini"
SILENT_MS = 900_000
BROKEN = {
    "MAX_TOKENS": "its answer was too long",
    **dict.fromkeys(
        ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE"),
        "the model refused to go on",
    ),
}
GARBLED = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER", "MALFORMED_RESPONSE")
"""The model said something that is no call; asked again it mostly does not."""
DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")


class Gemini:
    def __init__(self, secret: Mapping[str, str], base_url: str | None) -> None:
        self._client = genai.Client(
            vertexai=False,
            api_key=secret["api_key"],
            http_options=types.HttpOptions(
                base_url=base_url,
                timeout=SILENT_MS,
                retry_options=types.HttpRetryOptions(attempts=1),  # retry.py
            ),
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
        config = types.GenerateContentConfig(
            system_instruction=question.system,
            tools=[types.Tool(function_declarations=[_declared(t) for t in question.tools])],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        request = {"model": question.model, "contents": contents(question), "config": config}
        if question.is_streamed:
            stream = self._client.models.generate_content_stream(**request)
            chunks = list(_heard(stream, on_text))
        else:
            chunks = [_plain(self._client.models.generate_content(**request))]
        return answered(question.model, chunks)


def _declared(tool: Any) -> types.FunctionDeclaration:
    return types.FunctionDeclaration(
        name=tool.name, description=tool.about, parameters_json_schema=dict(tool.schema)
    )


def _plain(chunk: types.GenerateContentResponse) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are newer than the library
        found = chunk.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dict(found)


def _heard(
    stream: Iterable[types.GenerateContentResponse], on_text: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    for chunk in stream:
        plain = _plain(chunk)
        parts = _parts(plain)
        on_text("".join(part.get("text", "") for part in parts if not part.get("thought")))
        yield plain


def _parts(chunk: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list((_candidate(chunk).get("content") or {}).get("parts") or ())


def _candidate(chunk: Mapping[str, Any]) -> Mapping[str, Any]:
    """The only one that is asked for; a chunk of usage has none."""
    found: list[dict[str, Any]] = chunk.get("candidates") or [{}]
    return found[0]


def contents(question: Question) -> list[types.Content]:
    found: list[tuple[str, list[Any]]] = []
    for turn in turns.told(question.entries, question.model, NAME):
        if isinstance(turn, Answered):
            if turn.raw:
                found.append(("model", [dict(part) for part in turn.raw]))
        elif isinstance(turn, Results):
            found.append(("user", [_response(one) for one in turn.results]))
        elif isinstance(turn, Said):
            found.append(("user", [{"text": turns.said(turn)}]))
        else:
            found.append(("model", [{"text": turn.text}]))
    # By way of JSON, where signatures are base64; else they would be taken for bytes as they are.
    return [
        types.Content.model_validate_json(json.dumps({"role": role, "parts": parts}))
        for role, parts in found
    ]


def _response(one: Result) -> dict[str, Any]:
    content = {"error" if one.is_error else "output": one.text}
    response: dict[str, Any] = {"name": one.name, "response": content}
    if not one.id.startswith(NO_ID):
        response["id"] = one.id
    return {"functionResponse": response}


NO_ID = "call-"
"""Of calls that came without one."""


def answered(model: str, chunks: list[dict[str, Any]]) -> Answered:
    """Raises ModelError when the answer was cut off, or was none."""
    parts, reason, usage = list[dict[str, Any]](), None, dict[str, Any]()
    for chunk in chunks:
        parts = _joined(parts, _parts(chunk))
        reason = _candidate(chunk).get("finishReason") or reason
        usage = usage | (chunk.get("usageMetadata") or {})
        blocked = (chunk.get("promptFeedback") or {}).get("blockReason")
        if blocked:
            raise ModelError(f"Gemini refused the question ({blocked})", may_again=False)
    if reason is None:
        raise ModelError("the answer was cut off", may_again=True)
    calls = tuple(_calls(parts))
    if reason in GARBLED and not calls:
        raise ModelError(f"Gemini answered something odd ({reason})", may_again=True)
    spent = Usage(
        input=count_of(usage.get("promptTokenCount")),
        cached=count_of(usage.get("cachedContentTokenCount")),
        output=count_of(usage.get("candidatesTokenCount"))
        + count_of(usage.get("thoughtsTokenCount")),
    )
    return Answered(
        provider=NAME,
        model=model,
        raw=parts,
        text="".join(part.get("text", "") for part in parts if not part.get("thought")),
        calls=calls,
        usage=spent,
        cost_usd=prices.cost_usd(model, spent),
        why="" if reason == "STOP" else BROKEN.get(reason, f"it broke off ({reason})"),
    )


def _calls(parts: Iterable[Mapping[str, Any]]) -> Iterator[Call]:
    for number, part in enumerate(parts):
        call = part.get("functionCall")
        if call:
            given = call.get("id") or f"{NO_ID}{number}"
            yield Call(id=given, name=call.get("name") or "", arguments=call.get("args") or {})


def _joined(parts: list[dict[str, Any]], more: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pieces of one text are one part; a part with a signature stays as it came."""
    for part in more:
        last = parts[-1] if parts else {}
        is_same = last.keys() == part.keys() and last.get("thought") == part.get("thought")
        if is_same and part.keys() <= {"text", "thought"}:
            parts[-1] = last | {"text": last["text"] + part["text"]}
        else:
            parts.append(part)
    return parts


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except errors.APIError as error:
        headers = getattr(error.response, "headers", None) or {}
        wait_s = retry.wait_s(headers)
        raise ModelError(
            text_of(f"Gemini answered {error.code}: {error.message}", 1000),
            may_again=retry.may_again(int(error.code or 500), headers),
            wait_s=_delay(error.details) if wait_s is None else wait_s,
            # A bad key is a bad request here.
            needs_login=error.code in (401, 403) or "API_KEY_INVALID" in str(error.details),
            is_refused=error.code in retry.REFUSED,
        ) from error
    except httpx2.TimeoutException as error:
        raise ModelError("Gemini does not answer", may_again=True) from error
    except httpx2.HTTPError as error:
        raise ModelError(retry.lost("Gemini", error), may_again=True) from error
    except retry.ODD as error:
        what = text_of(f"Gemini answered something odd: {error}", 1000)
        raise ModelError(what, may_again=False) from error


def _delay(details: Any) -> float | None:
    """Of the RetryInfo in an error: `{"error": {"details": [{"retryDelay": "17s"}]}}`."""
    error = details.get("error", details) if isinstance(details, dict) else {}
    listed = error.get("details") if isinstance(error, dict) else None
    for one in listed if isinstance(listed, list) else ():
        found = DELAY.fullmatch(str(one.get("retryDelay"))) if isinstance(one, dict) else None
        if found is not None:
            return float(found[1])
    return None
