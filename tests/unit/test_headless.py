"""What an agent without a terminal says, from bytes of a pod to events and their sum."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import protocol
from rumpel.adapters.stream import STDERR, STDOUT
from rumpel.agents.claude import CLAUDE
from rumpel.agents.claude_events import events
from rumpel.agents.codex_events import events as CODEX_EVENTS
from rumpel.agents.headless import (
    MAX_DETAIL_CHARS,
    MAX_LINE_BYTES,
    MAX_TEXT_CHARS,
    Again,
    Began,
    Ended,
    Event,
    Lines,
    Spent,
    Task,
    Text,
    Tool,
    ToolFailed,
    Usage,
    shown,
    told,
)
from rumpel.errors import CommandFailed
from rumpel.tasks import headless
from tests.unit.test_agents import seat

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["type", "message", "content", "text", "usage", "input", "name", "id", "result"]
            )
            | st.text(max_size=5),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def line(**said: Any) -> bytes:
    return json.dumps(said).encode()


def answer(*blocks: dict[str, Any], **more: Any) -> bytes:
    return line(type="assistant", message={"id": "m1", "content": blocks}, **more)


TEXT = {"type": "text", "text": " hello\nthere "}
END: dict[str, Any] = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "all done",
    "num_turns": 3,
    "session_id": "s1",
    "total_cost_usd": 7.5,
    "usage": {
        "input_tokens": 5,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 300,
        "output_tokens": 40,
    },
}


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (
            line(type="system", subtype="init", session_id="s1", model="m"),
            [Began(session="s1", model="m")],
        ),
        (answer(TEXT), [Text("hello\nthere")]),
        (answer(TEXT, parent_tool_use_id="t1"), []),
        (answer(TEXT, error="billing_error"), []),
        (
            answer({"type": "tool_use", "name": "Bash", "input": {"command": "ls", "x": 1}}),
            [Tool(name="Bash", detail="ls")],
        ),
        (
            answer({"type": "tool_use", "name": "Odd", "input": {"x": 1}}),
            [Tool(name="Odd", detail='{"x": 1}')],
        ),
        (
            line(
                type="user",
                message={
                    "content": [
                        {"type": "tool_result", "content": "fine"},
                        {"type": "tool_result", "content": "Exit code 3\nno", "is_error": True},
                    ]
                },
            ),
            [ToolFailed(text="Exit code 3\nno")],
        ),
        (
            line(
                type="system",
                subtype="api_retry",
                attempt=1,
                max_retries=10,
                error_status=529,
                error="overloaded",
            ),
            [Again(text="the model's service answers 529 overloaded: asked again (1 of 10)")],
        ),
        (
            line(type="assistant", message={"id": "m1", "usage": {"output_tokens": 2}}),
            [Spent(of="m1", usage=Usage(output=2))],
        ),
        (line(**END), [Ended(
            is_ok=True,
            text="all done",
            session="s1",
            turns=3,
            cost_usd=7.5,
            usage=Usage(input=325, cached=300, output=40),
        )]),
        (line(type="rate_limit_event"), []),
        (b"not JSON", []),
        (b"[" * 100_000, []),
        (b'{"type": "assistant", "message": {"content": [1, null, "x"]}}', []),
    ],
)  # fmt: skip
def test_a_line_of_claude(said: bytes, wanted: list[Event]) -> None:
    assert list(events(said)) == wanted


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"subtype": "error_max_turns", "is_error": True}, "it used up its turns"),
        ({"subtype": "error_max_budget_usd", "is_error": True}, "it used up its money"),
        ({"is_error": True, "result": "Credit balance is too low"}, "Credit balance is too low"),
        ({"subtype": "error_during_execution", "result": None, "errors": ["a", "b"]}, "a"),
        ({"subtype": [], "result": [], "errors": {}}, ""),
    ],
)
def test_an_end_that_is_none(more: dict[str, Any], why: str) -> None:
    (end,) = events(line(**(END | more)))
    assert isinstance(end, Ended)
    assert (end.is_ok, end.why, end.needs_login) == (False, why, False)


def test_what_a_login_would_help_and_what_this_run_cost() -> None:
    models = {"a": {"costUSD": 0.25}, "b": {"costUSD": 0.5}, "c": None, "d": {"costUSD": "1"}}
    more = {"is_error": True, "api_error_status": 401, "model_usage_since_last_result": models}
    (end,) = events(line(**(END | more)))
    assert isinstance(end, Ended)
    assert end.needs_login
    assert end.cost_usd == 0.75, "the total is that of the whole conversation"


@given(JSON, st.sampled_from(["system", "assistant", "user", "result"]))
def test_any_object_is_taken(junk: Any, kind: str) -> None:
    said = (junk if isinstance(junk, dict) else {"message": junk, "result": junk}) | {"type": kind}
    for event in events(json.dumps(said).encode()):
        protocol.encode(protocol.said(told(event), shown(event)))
        json.dumps(told(event), allow_nan=False).encode()
        shown(event).encode()


@given(st.binary(max_size=80))
def test_any_bytes_are_taken(junk: bytes) -> None:
    events(junk)
    events(b'{"type":"assistant","message":' + junk + b"}")


@given(st.lists(st.binary(max_size=30)), st.integers(1, 7))
def test_lines_are_the_same_however_they_arrive(parts: list[bytes], size: int) -> None:
    whole, cut = b"\n".join(parts), Lines()
    found = [one for at in range(0, len(whole), size) for one in cut.feed(whole[at : at + size])]
    last = cut.end()
    assert found + [last] * bool(last) == [one for one in whole.split(b"\n") if one]


def test_a_line_that_is_too_long_is_left_out() -> None:
    cut, piece = Lines(), b"x" * (1 << 15)
    for _ in range(2 * MAX_LINE_BYTES // len(piece)):
        assert cut.feed(piece) == []
    assert cut.feed(b"rest\nnext\n") == [b"next"]
    assert cut.feed(b"y" * (MAX_LINE_BYTES + 1) + b"\nz\n") == [b"z"]


def test_what_people_and_programs_see() -> None:
    tool = Tool(name="Bash", detail="one\ntwo")
    assert shown(tool) == "> Bash  one …"
    assert told(tool) == {"kind": "tool", "name": "Bash", "detail": "one\ntwo"}
    assert shown(ToolFailed(text="Exit code 3\nno")) == "! Exit code 3"
    assert shown(Spent(of="", usage=Usage())) == ""
    (long,) = events(answer({"type": "text", "text": "x" * (MAX_TEXT_CHARS + 1)}))
    assert isinstance(long, Text)
    assert len(long.text) == MAX_TEXT_CHARS
    (odd,) = events(
        b'{"type":"assistant","message":{"content":[{"type":"text","text":"a\\ud800"}]}}'
    )
    assert odd == Text("a?")


def test_how_claude_is_told_what_to_do() -> None:
    assert CLAUDE.headless is not None
    argv = CLAUDE.headless.argv
    plain = argv(seat(), "told", Task())
    assert plain[:4] == ["--print", "--output-format", "stream-json", "--verbose"]
    assert "--dangerously-skip-permissions" in plain
    limited = argv(seat(), "told", Task(goes_on=True, turns=3, dollars="0.50"))
    assert limited[len(plain) :] == ["--continue", "--max-turns", "3", "--max-budget-usd", "0.50"]


class Ctx:
    """As much of a running operation as listening needs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, text: str) -> None:
        self.lines.append(text)


def heard(*pieces: tuple[int, bytes]) -> tuple[headless.Heard, headless.Inputs, list[Event]]:
    said: list[Event] = []
    assert CLAUDE.headless is not None
    inputs = headless.Inputs(
        host="local",
        container_id="c",
        user="dev",
        cwd="/w",
        pod="a",
        agent="claude",
        title="Claude Code",
        argv=("claude",),
        env={"KEY": "secret"},
        files={},
        prompt=b"secret",
        token="t",
        timeout_s=1.0,
        way=CLAUDE.headless,
        tell=said.append,
    )
    assert "secret" not in repr(inputs)
    found = headless.Heard(Ctx(), inputs)  # type: ignore[arg-type] # as much as it needs
    for stream, data in pieces:
        found.take(stream, data)
    found.close()
    return found, inputs, said


def spent(of: str, output: int) -> bytes:
    return line(type="assistant", message={"id": of, "usage": {"output_tokens": output}}) + b"\n"


def test_an_end_without_a_line_feed_is_heard() -> None:
    found, inputs, said = heard((STDOUT, answer(TEXT) + b"\n" + line(**END)))
    output = headless._judged(inputs, found, 0)
    assert (output.text, output.turns, output.cost_usd, output.tokens_in) == (
        "all done",
        3,
        7.5,
        325,
    )
    assert said == [Text("hello\nthere")], "the end is told by who knows what arrived"


@pytest.mark.parametrize(
    ("pieces", "code", "why", "tail"),
    [
        ([], 0, "it ended without a result", ""),
        ([(STDERR, b"error: unknown option\n")], 1, "it exited with 1", "error: unknown option"),
        ([(STDOUT, line(**END))], 137, "it exited with 137", ""),
        (
            [(STDERR, b"x"), (STDOUT, line(**(END | {"is_error": True, "result": "no money"})))],
            1,
            "no money",
            "",
        ),
    ],
)
def test_what_did_not_end_well(
    pieces: list[tuple[int, bytes]], code: int, why: str, tail: str
) -> None:
    found, inputs, _ = heard(*pieces)
    with pytest.raises(CommandFailed) as failed:
        headless._judged(inputs, found, code)
    assert failed.value.message == f"Claude Code failed in pod a: {why}"
    assert failed.value.details["tail"] == tail
    assert set(failed.value.details["run"]) == {  # type: ignore[call-overload] # a mapping
        field.name for field in dataclasses.fields(headless.Output)
    }


def test_tokens_of_a_run_that_was_cut_off_are_counted_once() -> None:
    found, _, _ = heard((STDOUT, spent("m1", 1) + spent("m1", 5) + spent("m2", 7)))
    assert found.so_far()["tokens_out"] == 12


def test_what_would_take_the_square_of_its_length_is_not_taken_apart() -> None:
    command = "bash -lc '" + "a" * 1_000_000 + "'"
    item = {"type": "command_execution", "command": command}
    (tool,) = CODEX_EVENTS(json.dumps({"type": "item.started", "item": item}).encode())
    assert isinstance(tool, Tool)
    assert len(tool.detail) == MAX_DETAIL_CHARS


def test_one_message_is_no_flood() -> None:
    assert len(events(answer(*[{"type": "tool_use", "name": "x"}] * 5000))) <= 52


def test_too_deep_to_be_written_is_passed_over() -> None:
    """At some depth what can be read cannot be written any more."""
    for depth in range(900, 1000):
        deep = b"[" * depth + b"]" * depth
        said = b'{"type":"item.started","item":{"type":"web_search","query":' + deep + b"}}"
        CODEX_EVENTS(said)
        found = CLAUDE.files(seat(), {".claude.json": b'{"a":' + deep + b"}"})
        assert json.loads(found[".claude.json"])["hasCompletedOnboarding"] is True
