"""A mistake planted anywhere, in any spelling, is blamed on the line and column it is at."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer.config import parse
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.positions import Path as Place
from rumpel.errors import ConfigError
from tests.support.documents import BLANKS
from tests.unit.devcontainer.conftest import POD_ID

RIGHT: dict[str, Any] = {
    "name": "a",
    "build": {"dockerfile": "D", "context": ".", "args": {"A": "b"}, "options": ["--rm", "--pull"]},
    "workspaceFolder": "/w",
    "features": {"./x": {"version": "1"}},
    "containerEnv": {"A": "1", "B": 2},
    "remoteEnv": {"C": None},
    "remoteUser": "u",
    "mounts": ["target=/a", {"type": "volume", "target": "/b"}],
    "runArgs": ["-e", "X=y", "--memory", "1g", "--init"],
    "capAdd": ["SYS_PTRACE"],
    "securityOpt": ["no-new-privileges"],
    "forwardPorts": [3000, "db:5432"],
    "portsAttributes": {"3000": {"label": "web"}},
    "otherPortsAttributes": {"label": "x"},
    "customizations": {"vscode": {"extensions": ["c"], "settings": {"a": [1, {"b": 2}]}}},
    "extensions": ["a", "b"],
    "settings": {"d": "e"},
    "postCreateCommand": {"one": "a", "two": ["b", "c"]},
    "postStartCommand": ["a"],
    "init": True,
}
MISTAKES: dict[Place, Any] = {
    ("name",): 1,
    ("build",): "x",
    ("build", "dockerfile"): "missing",
    ("build", "context"): {},
    ("build", "args", "A"): [],
    ("build", "options", 1): "--ssh=default",
    ("workspaceFolder",): "relative",
    ("containerEnv",): [],
    ("containerEnv", "B"): None,
    ("remoteEnv", "C"): {},
    ("remoteUser",): False,
    ("mounts", 0): "type=bind,target=/a",
    ("mounts", 1): 7,
    ("mounts", 1, "type"): 7,
    ("runArgs", 1): ["x"],
    ("runArgs", 2): "--nonsense",
    ("runArgs", 4): "--name=x",
    ("capAdd", 0): "not a capability",
    ("securityOpt", 0): 0.5,
    ("forwardPorts", 1): "db:port",
    ("portsAttributes", "3000", "label"): [1],
    ("otherPortsAttributes", "label"): 2,
    ("customizations", "vscode", "extensions", 0): "${localEnv}",
    ("customizations", "vscode", "settings", "a", 1, "b"): "x ${env}",
    ("extensions", 1): "${localEnv}",
    ("settings", "d"): ["${localEnv}"],
    ("features", "./x", "version"): "${localEnv}",
    ("postCreateCommand", "two"): 3,
    ("postStartCommand",): 4,
    ("init",): "yes",
}
KEYS: dict[Place, str] = {
    ("containerEnv", "A"): "A=B",
    ("remoteEnv", "C"): "",
    ("features", "./x"): "no feature",
}
INNER = {("settings", "d")}
"""The mistake is the first entry."""


def changed(value: Any, path: Place, new: Any) -> Any:
    if not path:
        return new
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(copy[path[0]], path[1:], new)
    return copy


class Speller:
    """Writes a value with blanks and comments, and notes where each value and key begins."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.text = rng.choice(("", "\ufeff"))
        self.values: dict[Place, int] = {}
        self.keys: dict[Place, int] = {}

    def put(self, value: Any, path: Place = ()) -> None:
        self.blank()
        self.values[path] = len(self.text)
        if isinstance(value, dict):
            self.text += "{"
            for index, (key, inner) in enumerate(value.items()):
                self.text += "," if index else ""
                self.blank()
                self.keys[*path, key] = len(self.text)
                self.text += json.dumps(key, ensure_ascii=self.rng.random() < 0.5)
                self.blank()
                self.text += ":"
                self.put(inner, (*path, key))
            self.text += "}"
        elif isinstance(value, list):
            self.text += "["
            for number, inner in enumerate(value):
                self.text += "," if number else ""
                self.put(inner, (*path, number))
            self.text += "]"
        else:
            self.text += json.dumps(value)
        self.blank()

    def blank(self) -> None:
        self.text += self.rng.choice(BLANKS)


def place(text: str, offset: int) -> tuple[int, int]:
    """Counted anew, as an editor does: the byte order mark is no character of the file."""
    before = text[:offset].removeprefix("\ufeff")
    lines = re.split(r"\r\n|\r|\n", before)
    return len(lines), len(lines[-1]) + 1


def blamed(text: str, root: Path) -> ConfigError:
    (root / "D").write_text("FROM a")
    caller = Caller(root=str(root), local_env={}, pod="a", pod_id=POD_ID, repo_basename="demo")
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "d.json", caller)
    return caught.value


@pytest.mark.parametrize("path", MISTAKES, ids=str)
def test_a_value(path: Place, root: Path) -> None:
    value = changed(RIGHT, path, MISTAKES[path])
    for seed in range(20):
        speller = Speller(random.Random(seed))
        speller.put(value)
        error = blamed(speller.text, root)
        target = (*path, 0) if path in INNER else path
        expected = place(speller.text, speller.values[target])
        found = (error.details["line"], error.details["column"])
        assert found == expected, (seed, error.message, speller.text)
        assert error.message.startswith(f"d.json:{found[0]}:{found[1]}: ")


@pytest.mark.parametrize("path", KEYS, ids=str)
def test_a_key(path: Place, root: Path) -> None:
    value = changed(RIGHT, path[:-1], {"./ok": "x", KEYS[path]: "y"})
    for seed in range(20):
        speller = Speller(random.Random(seed))
        speller.put(value)
        error = blamed(speller.text, root)
        expected = place(speller.text, speller.keys[*path[:-1], KEYS[path]])
        assert (error.details["line"], error.details["column"]) == expected, error.message


def test_nothing_is_wrong_with_the_rest(root: Path) -> None:
    """So it is the planted mistake that is blamed."""
    (root / "D").write_text("FROM a")
    caller = Caller(root=str(root), local_env={}, pod="a", pod_id=POD_ID, repo_basename="demo")
    assert parse(json.dumps(RIGHT), "d.json", caller).build is not None
