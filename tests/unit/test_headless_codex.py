"""What Codex says without a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import protocol
from rumpel.agents.codex import CODEX
from rumpel.agents.codex_events import events
from rumpel.agents.headless import (
    Again,
    Began,
    Ended,
    Event,
    Task,
    Text,
    Tool,
    ToolFailed,
    Usage,
    shown,
    told,
)
from tests.unit.test_agents import seat
from tests.unit.test_headless import JSON, line

REFUSED = '{"error": {"type": "invalid_request_error", "message": "no such luck"}}'
RUNS = {"id": "item_2", "type": "command_execution", "command": "/bin/bash -lc 'ls'"}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (line(type="thread.started", thread_id="t1"), [Began(session="t1", model="")]),
        (line(type="turn.started"), []),
        (
            line(type="item.started", item=RUNS),
            [Tool(name="Bash", detail="ls")],
        ),
        (
            line(
                type="item.completed",
                item=RUNS | {"status": "failed", "exit_code": 3, "aggregated_output": "no\n"},
            ),
            [ToolFailed(text="Exit code 3\nno\n")],
        ),
        (line(type="item.completed", item=RUNS | {"status": "completed", "exit_code": 0}), []),
        (
            line(
                type="item.completed",
                item={"type": "file_change", "changes": [{"path": "a"}, {"path": "b"}, 1]},
            ),
            [Tool(name="Edit", detail="a, b")],
        ),
        (
            line(type="item.started", item={"type": "command_execution", "command": "it's"}),
            [Tool(name="Bash", detail="it's")],
        ),
        (
            line(type="item.started", item={"type": "odd", "query": "q", "x": 1}),
            [Tool(name="odd", detail="q")],
        ),
        (
            line(type="item.completed", item={"type": "agent_message", "text": " DONE "}),
            [Text("DONE")],
        ),
        (line(type="item.completed", item={"type": "error", "message": "a warning"}), []),
        (line(type="error", message=REFUSED), [Again(text="no such luck")]),
        (
            line(type="turn.failed", error={"message": REFUSED}),
            [Ended(is_ok=False, text="", why="no such luck")],
        ),
        (
            line(type="turn.failed", error={"message": "unexpected status 401 Unauthorized"}),
            [
                Ended(
                    is_ok=False,
                    text="",
                    why="unexpected status 401 Unauthorized",
                    needs_login=True,
                )
            ],
        ),
        (
            line(
                type="turn.completed",
                usage={"input_tokens": 325, "cached_input_tokens": 300, "output_tokens": 40},
            ),
            [Ended(is_ok=True, usage=Usage(input=325, cached=300, output=40))],
        ),
        (b"[" * 100_000, []),
    ],
)
def test_a_line_of_codex(said: bytes, wanted: list[Event]) -> None:
    assert list(events(said)) == wanted


@given(
    JSON,
    st.sampled_from(["thread.started", "item.started", "item.completed", "error", "turn.failed"]),
)
def test_any_object_is_taken(junk: Any, kind: str) -> None:
    own = dict.fromkeys(("item", "error", "usage", "message", "changes"), junk)
    said = own | (junk if isinstance(junk, dict) else {}) | {"type": kind}
    for event in events(json.dumps(said).encode()):
        protocol.encode(protocol.said(told(event), shown(event)))
        shown(event).encode()


def test_how_codex_is_told_what_to_do() -> None:
    assert CODEX.headless is not None
    argv = CODEX.headless.argv(seat(), "told", Task())
    assert argv[:3] == ["exec", "--json", "--skip-git-repo-check"]
    assert argv[-1] == "-", "the prompt comes on stdin"
    assert not [word for word in argv if word.startswith("hooks=")]
    again = CODEX.headless.argv(seat(), "told", Task(goes_on=True))
    assert again == ["exec", "resume", "--last", *argv[1:]]
