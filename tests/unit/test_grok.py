"""What Grok is given, and what it says without a terminal."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import protocol
from rumpel.adapters import npm
from rumpel.agents.grok import GROK, HOOK_FILE
from rumpel.agents.grok_events import events
from rumpel.agents.headless import (
    Began,
    Ended,
    Event,
    Spent,
    Task,
    Text,
    Tool,
    ToolFailed,
    Usage,
    shown,
    told,
)
from rumpel.agents.model import Platform
from rumpel.errors import RumpelError
from tests.unit.test_agents import packed, seat
from tests.unit.test_headless import JSON, line

USAGE = {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 5}
SPENT = Usage(input=105, cached=5, output=20)
PROGRAM = os.urandom(3 << 20) + b"x" * (9 << 20)


def result(**more: Any) -> bytes:
    made = {"type": "result", "subtype": "success", "is_error": False, "num_turns": 2}
    return line(**made | {"session_id": "s", "total_cost_usd": 0.0, "usage": USAGE} | more)


def failed(*errors: str, **more: Any) -> bytes:
    return result(
        **{"subtype": "error_during_execution", "is_error": True, "errors": errors} | more
    )


def ran(content: object, *, is_error: bool = False) -> bytes:
    block = {"type": "tool_result", "content": content, "is_error": is_error}
    return line(type="user", message={"role": "user", "content": [block]})


def test_how_grok_is_started() -> None:
    hooks = json.loads(GROK.files(seat(), {})[HOOK_FILE])["hooks"]
    assert {"UserPromptSubmit", "Stop", "StopFailure", "StopCancelled", "SessionEnd"} <= set(hooks)
    assert "matcher" not in hooks["Stop"][0], "it warns of one"
    assert GROK.argv(seat(), "told") == ["--always-approve", "--rules", "told"]
    assert GROK.argv(seat(asks=True), "") == []
    assert GROK.headless is not None
    plain = GROK.headless.argv(seat(), "told", Task())
    assert plain[:2] == ["--prompt-file", "/dev/stdin"]
    more = GROK.headless.argv(seat(), "told", Task(goes_on=True, turns=3))
    assert more == [*plain, "--continue", "--max-turns", "3"]
    musl = Platform(arch="arm64", is_musl=True)
    assert GROK.package(musl) == "@xai-official/grok-linux-arm64"
    assert GROK.command("1.2.3", musl) == ["/rumpel/agents/grok/1.2.3-arm64-musl/bin/grok"]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            line(type="system", subtype="init", session_id="s", model="unknown"),
            [Began(session="s", model="")],
        ),
        (
            line(
                type="assistant",
                message={
                    "id": "m",
                    "usage": USAGE,
                    "content": [
                        {"type": "text", "text": "PONG"},
                        {"type": "tool_use", "name": "run", "input": {"command": "ls"}},
                    ],
                },
            ),
            [Text("PONG"), Tool(name="run", detail="ls"), Spent(of="m", usage=SPENT)],
        ),
        (
            ran(json.dumps({"exit_code": 3, "output_for_prompt": "exit: 3\nno\n"})),
            [ToolFailed(text="Exit code 3\nno\n")],
        ),
        (ran(json.dumps({"exit_code": 0, "output_for_prompt": "exit: 0\n"})), []),
        (ran(json.dumps({"exit_code": 3}), is_error=True), [ToolFailed(text='{"exit_code": 3}')]),
        (ran("[" * 100_000), []),
        (ran(7), []),
        (
            result(result="DONE"),
            [Ended(is_ok=True, text="DONE", session="s", turns=2, usage=SPENT)],
        ),
        (
            result(result="DONE", total_cost_usd=0.25),
            [Ended(is_ok=True, text="DONE", session="s", turns=2, usage=SPENT, cost_usd=0.25)],
        ),
        (
            failed('Internal error: {"message": "API error (status 400): no luck"}'),
            [
                Ended(
                    is_ok=False,
                    text="",
                    why="API error (status 400): no luck",
                    session="s",
                    turns=2,
                    usage=SPENT,
                )
            ],
        ),
        (
            failed('Internal error: "Unauthorized (401) from x"'),
            [
                Ended(
                    is_ok=False,
                    text="",
                    why="Unauthorized (401) from x",
                    needs_login=True,
                    session="s",
                    turns=2,
                    usage=SPENT,
                )
            ],
        ),
        (
            failed("Internal error: {", subtype="error_max_turns"),
            [
                Ended(
                    is_ok=False,
                    text="",
                    why="it used up its turns",
                    session="s",
                    turns=2,
                    usage=SPENT,
                )
            ],
        ),
        (failed("Internal error: " + "[" * 900), None),
        (b"[" * 100_000, []),
    ],
)
def test_a_line_of_grok(said: bytes, wanted: list[Event] | None) -> None:
    assert wanted is None or list(events(said)) == wanted


@given(JSON, st.sampled_from(["system", "assistant", "user", "result"]))
def test_any_object_is_taken(junk: Any, kind: str) -> None:
    own = dict.fromkeys(("message", "usage", "errors", "result"), junk)
    said = own | (junk if isinstance(junk, dict) else {}) | {"type": kind}
    for event in events(json.dumps(said).encode()):
        protocol.encode(protocol.said(told(event), shown(event)))
        shown(event).encode()


def unpacked(tmp_path: Path, data: bytes) -> dict[str, tuple[int, bytes]]:
    source = packed(
        tmp_path / "a.tgz",
        [("package/bin/grok.br", data, 0o644), ("package/x.br", b"as it is", 0o644)],
    )
    npm.unpack(source, tmp_path / "a.tar", folder="f", program="bin/grok", mark="m")
    with tarfile.open(tmp_path / "a.tar") as tar:
        return {
            item.name: (item.mode, (tar.extractfile(item) or io.BytesIO()).read())
            for item in tar.getmembers()
        }


def test_a_program_that_is_compressed_is_unpacked(tmp_path: Path) -> None:
    found = unpacked(tmp_path, brotli.compress(PROGRAM, quality=1))
    assert found == {
        "f/bin/grok": (0o555, PROGRAM),
        "f/x.br": (0o444, b"as it is"),
        "f/m": (420, b""),
    }


@pytest.mark.parametrize(("size", "words"), [(0, "the beginning"), (-9, "the beginning")])
def test_a_part_of_a_program_is_refused(tmp_path: Path, size: int, words: str) -> None:
    with pytest.raises(RumpelError, match=words):
        unpacked(tmp_path, brotli.compress(PROGRAM, quality=1)[:size])


def test_what_is_no_program_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RumpelError, match="cannot be unpacked"):
        unpacked(tmp_path, b"\xff" * 1000)
    monkeypatch.setattr(npm, "MAX_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(RumpelError, match="larger than a program"):
        unpacked(tmp_path, brotli.compress(bytes(100 << 20), quality=5))
