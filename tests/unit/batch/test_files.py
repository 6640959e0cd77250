"""Batch files of each format: the same tasks, and complaints with line and field."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.batch import files, items, order, reading, schema, unroll
from rumpel.batch.items import Batch, Limits
from rumpel.errors import ConfigError, UsageError

YAML = """\
defaults:
  verify: make test
  limits: {time: 30m, cost: 0.5}
concurrency: 3
tasks:
  - name: a
    prompt: Fix it
    env: {PORT: 80}
  - name: b
    command: make
    needs: [a]
    verify: make other
"""
JSONC = """{
  // as above
  "defaults": {"verify": "make test", "limits": {"time": "30m", "cost": 0.5},},
  "concurrency": 3,
  "tasks": [
    {"name": "a", "prompt": "Fix it", "env": {"PORT": "80"}},
    {"name": "b", "command": "make", "needs": ["a"], "verify": "make other"},
  ],
}
"""
JSONL = """\
{"defaults": {"verify": "make test", "limits": {"time": 1800, "cost": 0.5}}, "concurrency": 3}

{"name": "a", "prompt": "Fix it", "env": {"PORT": "80"}}
{"name": "b", "command": "make", "needs": ["a"], "verify": "make other"}
"""
TOML = """\
concurrency = 3
[defaults]
verify = "make test"
limits = {time = "30m", cost = 0.5}
[[tasks]]
name = "a"
prompt = "Fix it"
[tasks.env]
PORT = "80"
[[tasks]]
name = "b"
command = "make"
needs = ["a"]
verify = "make other"
"""


def load(text: str, filename: str = "x.yaml", folder: Path | None = None) -> Batch:
    def read(name: str) -> str:
        return ((folder or Path("/nowhere")) / name).read_text()

    return unroll.load(reading.read(text.encode(), filename), name="x", read=read)


@pytest.mark.parametrize(
    ("text", "filename"),
    [(YAML, "x.yaml"), (JSONC, "x.jsonc"), (JSONL, "x.jsonl"), (TOML, "x.toml"), (YAML, "-")],
)
def test_each_format_says_the_same(text: str, filename: str) -> None:
    found = load(text, filename)
    assert (found.concurrency.total, found.concurrency.per_host) == (3, 3)
    a, b = found.items.values()
    assert (a.name, a.prompt, a.agent, a.verify) == ("a", "Fix it", "claude", "make test")
    assert a.limits == Limits(time_s=1800, dollars=0.5)
    assert a.env == {"PORT": "80"}
    assert (b.command, b.agent, b.prompt, b.verify) == ("make", "", "", "make other")
    assert b.needs == ("a",)
    assert items.from_json(json.loads(json.dumps(a.to_json()))) == a


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task: []", "x.yaml:1:1: task: there is no such field, did you mean 'tasks'?"),
        ("", "x.yaml:1:1: tasks is missing"),
        ("tasks:\n- {name: a, promt: x}", "x.yaml:2:13: tasks[0].promt: there is no such field"),
        ("tasks:\n- {name: A, prompt: x}", "x.yaml:2:10: tasks[0].name: 'A' cannot be the name"),
        ("tasks:\n- {name: a}", "x.yaml:2:3: tasks[0]: needs one of prompt, prompt_file and comma"),
        ("tasks:\n- {name: a, prompt: x, command: y}", "and has prompt and command"),
        ("tasks:\n- {name: a, prompt: ' '}", "tasks[0].prompt: must not be empty"),
        ("tasks: [{prompt: x}]", "x.yaml:1:9: tasks[0]: name is missing"),
        ("tasks: [{name: a, prompt: x, agent: b}]", "there is no agent 'b': claude, codex"),
        ("tasks: [{name: a, prompt: x, limits: {time: 5y}}]", "tasks[0].limits.time: must be a t"),
        ("tasks: [{name: a, prompt: x, limits: {tim: 5}}]", "did you mean 'time'?"),
        ("tasks: [{name: a, prompt: x, env: {1x: y}}]", "'1x' cannot be the name of a variable"),
        ("tasks: [{name: a, prompt: x, needs: [b]}]", "tasks[0].needs[0]: there is no task 'b'"),
        ("tasks: [{name: a, prompt: x, needs: [a]}]", "needs itself: a -> a"),
        ("tasks: [{name: a, prompt: x}, {name: a, prompt: y}]", "there is a task a already"),
        ("tasks: [{name: a, prompt: '${matrix.x}'}]", "${matrix.x} is not known"),
        ("tasks: [{name: a, prompt_file: gone}]", "gone cannot be read: No such file"),
        ("tasks: [{name: a, prompt: x, retries: 11}]", "tasks[0].retries: "),
        ("tasks: [{name: a, prompt: x, keep: 1}]", "tasks[0].keep: must be true or false"),
        ("tasks: []", "x.yaml:1:8: tasks: "),
        ("concurrency: 0\ntasks: [{name: a, prompt: x}]", "x.yaml:1:14: concurrency: must be from"),
        ("a: [", "x.yaml:1:5: "),
        ("a: 1\na: 2", "x.yaml:2:1: a is there twice"),
        ("<<: {}", "merge keys"),
        ("a: !!python/object:os.system x", "has no meaning here"),
        ("x: &a [1]\ny: *a\ntasks: 3", "x: there is no such field"),
        ("just a text", "must be an object with a list of tasks"),
        ("tasks: [{name: a, command: true}]", "command: must be a text: put it in quotes"),
        ("tasks: [{name: a, command: x, limits: 30m}]", "must be an object such as {time: 30m"),
        ("tasks: [{name: a, prompt: x, limits: {cost: $2}}]", "limits.cost: must be a number"),
        ("tasks: [{name: a, prompt: x, limits: {cost: .inf}}]", "limits.cost: must be a number"),
        ("tasks: [{name: a, prompt: x, limits: {turns: 0}}]", "limits.turns: must be more than 0"),
        ("tasks: [{name: a, command: x, matrix: {v: []}}]", "matrix.v: must not be empty"),
        ("tasks: [{name: a, command: x, needs: b}]", "needs: must be a list, in [ ]"),
        ('tasks: [{name: a, command: "x\\0y"}]', "must not have a zero byte"),
        ('tasks: [{name: a, command: x, env: {A: "x\\0y"}}]', "must not have a zero byte"),
        ("tasks: [{name: a, command: x, model: m}]", "model: is of agents, and this task is a"),
        ("tasks: [{name: a, command: x, limits: {turns: 3}}]", "turns: is of agents"),
        ("tasks: [{name: a, command: x, matrix: {agent: [codex]}}]", "matrix.agent: is of agents"),
        ("defaults: {agent: b}\ntasks: [{name: a, command: x}]", "defaults.agent: there is no ag"),
        (
            "tasks: [{name: a, prompt: x, agent: codex, limits: {cost: 2}}]",
            "x.yaml:1:53: tasks[0].limits.cost: Codex cannot be limited in that",
        ),
        ("tasks: [{name: a, command: x, host: build}]", "say local or ssh://[user@]host[:port]"),
    ],
)
def test_complaints(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert said in caught.value.message
    assert {"file", "line", "column"} <= set(caught.value.details)


def test_aliases_cannot_grow_for_ever() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="there are more than 200000 values"):
        load("\n".join(lines))


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000])
def test_depth_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError):
        load(text)


def test_lines_of_toml_and_jsonl() -> None:
    bad = TOML.replace('command = "make"', 'command = "make"\nagent = "x"')
    with pytest.raises(ConfigError, match=r"x\.toml:13:\d+: tasks\[1\]\.agent: "):
        load(bad.replace('command = "make"\n', 'prompt = "make"\n'), "x.toml")
    with pytest.raises(ConfigError, match=r"x\.jsonl:2:\d+: tasks\[1\]\.retries: "):
        load('{"name": "a", "prompt": "x"}\n{"name": "b", "prompt": "x", "retries": -1}', "x.jsonl")
    with pytest.raises(ConfigError, match=r"x\.jsonl:2:\d+: "):
        load('{"name": "a", "prompt": "x"}\n{"name": ', "x.jsonl")
    with pytest.raises(UsageError, match=r"x\.ini: its format is not known"):
        load("", "x.ini")


def test_numbers_are_texts_as_they_were_written() -> None:
    found = load(
        "tasks:\n- {name: 007, command: x, env: {A: 010, B: 1e3, C: 1.10}, limits: {time: 030}}\n"
        "- {name: v, prompt: x, matrix: {model: [1.10, 1.2]}, needs: [007]}\n"
    )
    assert list(found.items) == ["007", "v-1-10", "v-1-2"]
    assert found.items["007"].env == {"A": "010", "B": "1e3", "C": "1.10"}
    assert found.items["007"].limits.time_s == 24
    assert found.items["v-1-10"].model == "1.10"


def test_limits_of_all_are_kept_by_those_who_can() -> None:
    found = load(
        "defaults: {limits: {time: 1m, cost: 2, turns: 3}}\n"
        "tasks: [{name: a, prompt: x}, {name: b, prompt: x, agent: codex}, {name: c, command: x}]"
    )
    limits = [item.limits for item in found.items.values()]
    assert limits[0] == Limits(time_s=60, dollars=2, turns=3)
    assert limits[1] == limits[2] == Limits(time_s=60)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """A pipe would be waited for, a device has no end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="no regular file"):
            files.read_bytes(path, 100)
    (tmp_path / "big").write_bytes(b"x" * 3000)
    with pytest.raises(ValueError, match="larger than 2 KiB"):
        files.read_bytes(tmp_path / "big", 2048)
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a[b] *").write_text("x")
    (tmp_path / "d/link").symlink_to("/etc/passwd")
    found = list(files.listed(tmp_path, "d", "d"))
    assert [one.target for one in found] == ["d/a[b] *"]
    assert files.ignored(found) == "/d/a\\[b]\\ \\*\n"


def test_a_matrix() -> None:
    found = load(
        "tasks:\n"
        "- {name: fix, prompt: 'Use ${matrix.v}', matrix: {agent: [claude, codex], v: [1, true]}}\n"
        "- {name: 'in-${matrix.m}', command: x, matrix: {m: [a, b]}, needs: [fix-codex-1]}\n"
        "- {name: end, command: x, needs: [fix]}\n"
    )
    assert list(found.items) == [
        *("fix-claude-1", "fix-claude-true", "fix-codex-1", "fix-codex-true"),
        *("in-a", "in-b", "end"),
    ]
    assert found.items["fix-codex-true"].prompt == "Use true"
    assert found.items["fix-codex-true"].agent == "codex"
    assert found.items["in-b"].needs == ("fix-codex-1",)
    assert len(found.items["end"].needs) == 4


@given(st.lists(st.lists(st.integers(0, 30), max_size=4), min_size=1, max_size=30))
def test_order(needs: list[list[int]]) -> None:
    """Of any graph: cycles are refused, else what is needed comes first and nothing is lost."""
    names = [f"t{at}" for at in range(len(needs))]
    tasks: list[dict[str, Any]] = [
        {"name": name, "command": "x", "needs": [names[n % len(names)] for n in wanted]}
        for name, wanted in zip(names, needs, strict=True)
    ]
    if _is_circular({task["name"]: task["needs"] for task in tasks}):
        with pytest.raises(ConfigError, match="needs itself"):
            load(json.dumps({"tasks": tasks}), "x.json")
        return
    found = load(json.dumps({"tasks": tasks}), "x.json").items
    found_order = order.ordered(found)
    assert sorted(found_order) == sorted(names)
    for name, item in found.items():
        assert all(found_order.index(need) < found_order.index(name) for need in item.needs)
        assert set(order.behind(found, name)) == {
            other for other in found if name in order.ordered(found, [other]) and other != name
        }


def _is_circular(needs: dict[str, Any]) -> bool:
    """Taking away what needs nothing leaves something."""
    while ready := {name for name, wanted in needs.items() if not set(wanted) & needs.keys()}:
        needs = {name: wanted for name, wanted in needs.items() if name not in ready}
    return bool(needs)


def test_a_long_chain() -> None:
    tasks = [
        {"name": f"t{n}", "command": "x", "needs": [f"t{n + 1}"] if n < 999 else []}
        for n in range(1000)
    ]
    found = load(json.dumps({"tasks": tasks}), "x.json")
    assert order.levels(found.items)["t0"] == 999


def test_the_schema_is_published() -> None:
    said = schema.json_schema()
    assert said["properties"]["tasks"]["minItems"] == 1
    assert said["additionalProperties"] is False
