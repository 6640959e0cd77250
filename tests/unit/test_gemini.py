"""What Gemini CLI is given, and what it says without a terminal."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import protocol
from rumpel.agents.gemini import BROKEN, EXTENSION, GEMINI, SETTINGS
from rumpel.agents.gemini_events import events
from rumpel.agents.headless import (
    MAX_TEXT_CHARS,
    Again,
    Began,
    Ended,
    Event,
    Piece,
    Pieces,
    Task,
    Text,
    Tool,
    ToolFailed,
    Usage,
    shown,
    told,
)
from rumpel.agents.model import Platform
from rumpel.errors import ConfigError
from rumpel.graphs.agent import install
from rumpel.resources import resource_text
from rumpel.tasks.agent_home import programs
from tests.unit.test_agents import seat
from tests.unit.test_headless import JSON, line

GLIBC = Platform(arch="x64")
STATS = {"input_tokens": 325, "cached": 300, "output_tokens": 40}
REFUSED = '[API Error: {"error":{"code":400,"message":"no such luck","status":"INVALID"}}]'
CLEAN = {"security", "general", "privacy"}


def settings(found: dict[str, bytes]) -> dict[str, Any]:
    made = json.loads(GEMINI.files(seat(), found)[SETTINGS])
    assert made["security"]["auth"]["selectedType"] == "gemini-api-key"
    return dict(made)


def test_its_extension_is_ours_and_its_settings_are_its_own() -> None:
    files = GEMINI.files(seat(), {}) | GEMINI.told_files("You are in a pod")
    manifest = json.loads(files[f"{EXTENSION}/gemini-extension.json"])
    assert files[f"{EXTENSION}/{manifest['contextFileName']}"] == b"You are in a pod"
    hooks = json.loads(files[f"{EXTENSION}/hooks/hooks.json"])["hooks"]
    assert {"BeforeAgent", "AfterAgent", "Notification", "SessionEnd"} <= set(hooks)
    assert b"${" not in b"".join(files.values()), "it would put variables there"
    mine = {"security": {"auth": {"x": 1}}, "privacy": {"usageStatisticsEnabled": True}, "y": 2}
    kept = settings({SETTINGS: json.dumps(mine).encode()})
    assert kept["security"]["auth"]["x"] == 1
    assert kept["privacy"]["usageStatisticsEnabled"] is True
    assert kept["y"] == 2
    again = GEMINI.files(seat(), {SETTINGS: json.dumps(kept).encode()})
    assert (json.loads(again[SETTINGS]), BROKEN in again) == (kept, False)


@pytest.mark.parametrize("found", [b"\xff", b'{"a": 1 /* one */}', b"[1]", b"[" * 100_000])
def test_what_cannot_be_read_is_put_aside(found: bytes) -> None:
    assert GEMINI.files(seat(), {SETTINGS: found})[BROKEN] == found
    assert set(settings({SETTINGS: found})) == CLEAN


@given(st.binary(max_size=60) | st.sampled_from([b"null", b'{"security": 1}', b'{"general":[]}']))
def test_what_lies_in_the_pod_may_be_anything(junk: bytes) -> None:
    assert set(settings({SETTINGS: junk})) >= CLEAN


def test_too_deep_to_be_written_is_put_aside() -> None:
    for depth in range(900, 1000):
        deep = b'{"a":' + b"[" * depth + b"]" * depth + b"}"
        assert set(settings({SETTINGS: deep})) >= CLEAN


def test_how_gemini_is_started() -> None:
    assert GEMINI.argv(seat(), "told") == ["--approval-mode", "yolo"]
    assert GEMINI.argv(seat(asks=True), "told") == []
    assert GEMINI.headless is not None
    plain = GEMINI.headless.argv(seat(), "told", Task())
    assert plain == ["--output-format", "stream-json", "--approval-mode", "yolo"]
    assert GEMINI.headless.argv(seat(), "", Task(goes_on=True))[-2:] == ["--resume", "latest"]
    argv = GEMINI.command("1.2.3", GLIBC)
    assert argv == [
        "/rumpel/agents/node/24.21.0-x64/bin/node",
        "/rumpel/agents/gemini/1.2.3-x64/bundle/gemini.js",
    ]
    assert programs([*argv, "/rumpel/agents/x"]) == argv


def test_its_node_is_installed_beside_it() -> None:
    graph = install(GEMINI, "local", "1.2.3", Platform(arch="arm64"), "sha256:1")
    found = {name: node.title for name, node in graph.nodes.items()}
    assert found == {
        "agent/local/gemini-arm64": "Installing Gemini CLI 1.2.3",
        "agent/local/node-arm64": "Installing node 24.21.0, for Gemini CLI",
    }
    with pytest.raises(ConfigError, match="musl"):
        install(GEMINI, "local", "1.2.3", Platform(arch="x64", is_musl=True), "sha256:1")


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (line(type="init", session_id="s1", model="m"), [Began(session="s1", model="m")]),
        (line(type="message", role="user", content="do it"), []),
        (line(type="message", role="assistant", content="PO", delta=True), [Piece("PO")]),
        (
            line(type="tool_use", tool_name="run_shell_command", parameters={"command": "ls"}),
            [Tool(name="run_shell_command", detail="ls")],
        ),
        (line(type="tool_result", status="success", output="x"), []),
        (
            line(type="tool_result", status="error", output="x", error={"message": "no"}),
            [ToolFailed(text="no")],
        ),
        (line(type="error", severity="warning", message="slow"), [Again(text="slow")]),
        (
            line(type="result", status="success", stats=STATS),
            [Ended(is_ok=True, usage=Usage(input=325, cached=300, output=40))],
        ),
        (
            line(type="result", status="error", error={"message": REFUSED}),
            [Ended(is_ok=False, text="", why="no such luck", usage=Usage())],
        ),
        (
            line(
                type="result", status="error", error={"message": "[API Error: API key not valid]"}
            ),
            [
                Ended(
                    is_ok=False,
                    text="",
                    why="API key not valid",
                    needs_login=True,
                    usage=Usage(),
                )
            ],
        ),
        (
            line(type="result", status="error", stats=None),
            [
                Ended(
                    is_ok=False,
                    text="",
                    why="the answer of the model was not whole",
                    usage=Usage(),
                )
            ],
        ),
        (b"[" * 100_000, []),
        (line(type="result", status="error", error={"message": "[API Error: " + "[" * 9000}), None),
    ],
)
def test_a_line_of_gemini(said: bytes, wanted: list[Event] | None) -> None:
    assert wanted is None or list(events(said)) == wanted
    assert len(str(events(said))) < 2000


@given(JSON, st.sampled_from(["init", "message", "tool_use", "tool_result", "error", "result"]))
def test_any_object_is_taken(junk: Any, kind: str) -> None:
    own = dict.fromkeys(("error", "stats", "parameters", "content", "role"), junk)
    said = own | (junk if isinstance(junk, dict) else {}) | {"type": kind}
    for event in events(json.dumps(said).encode()):
        protocol.encode(protocol.said(told(event), shown(event)))
        shown(event).encode()


def test_pieces_become_a_text() -> None:
    pieces, tool = Pieces(), Tool(name="x", detail="")
    assert [pieces.take(Piece(text)) for text in (" one\n", "", "two ")] == [(), (), ()]
    assert pieces.take(tool) == (Text("one\ntwo"), tool)
    assert pieces.take(Piece(" \n")) == ()
    assert pieces.end() == ()
    for _ in range(20):
        pieces.take(Piece("x" * MAX_TEXT_CHARS))
    (long,) = pieces.end()
    assert len(long.text) == MAX_TEXT_CHARS
    assert pieces.end() == ()


@pytest.mark.parametrize(
    ("script", "given", "said", "wanted"),
    [
        ("gemini", (), {"prompt_response": "[no response text]"}, "gemini failed"),
        ("gemini", (), {"prompt_response": "PONG"}, "gemini waiting"),
        ("gemini", (), {"prompt": '"prompt_response":"[no response text]"'}, "gemini waiting"),
        ("grok", ("failed",), {"reason": "end_turn", "last": '"reason":"shutdown"'}, "grok failed"),
        ("grok", ("waiting",), {"reason": "shutdown"}, ""),
        ("grok", ("waiting",), {"reason": "end_turn", "subagentType": "explore"}, ""),
    ],
)
def test_how_a_turn_ended(
    tmp_path: Path, script: str, given: tuple[str, ...], said: dict[str, str], wanted: str
) -> None:
    status = tmp_path / "status"
    status.write_text('echo "$@"')
    text = resource_text(f"pod_{script}_turn.sh").replace("/rumpel/home/.status.sh", str(status))
    done = subprocess.run(
        ["/bin/sh", "-c", text, "sh", *given],
        input=json.dumps(said, separators=(",", ":")),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == wanted
