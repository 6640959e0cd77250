"""docs/specs.md names tests that exist, and leaves out no number it has to have."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.adapters.git.test_risk import TRIPWIRES
from tests.e2e.test_shapes import VERBS
from tests.support import tars
from tests.support.shapes import SHAPES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/specs.md").read_text()
NODE = re.compile(r"`([\w/]+\.py)::(\w+)`")
SPECS = {*range(1, 76), 78, 79, 80}
TRAPS = {*range(1, 6), *range(7, 16), *range(17, 22)}
ATTACKS = range(1, 14)
COPIES = {"C1", "C2"}


@functools.cache
def collected_in(module: str) -> frozenset[str]:
    """What pytest would collect there."""
    tree = ast.parse((ROOT / "tests" / module).read_text())
    found = (
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return frozenset(name for name in found if name.startswith("test_"))


def rows() -> dict[str, list[tuple[str, str]]]:
    """First cell of each row -> its tests."""
    found = {}
    for line in DOCUMENT.splitlines():
        if line.startswith("| ") and "::" in line and "collect-only" not in line:
            found[line.split(" | ")[0].removeprefix("| ")] = NODE.findall(line)
    return found


def test_every_test_named_exists() -> None:
    named = {node for nodes in rows().values() for node in nodes}
    assert len(named) > 60
    assert not [f"{path}::{name}" for path, name in named if name not in collected_in(path)]


def test_every_row_has_a_test_and_no_number_is_missing() -> None:
    wanted = {str(n) for n in SPECS} | {f"T{n}" for n in TRAPS} | {f"G{n}" for n in ATTACKS}
    wanted |= COPIES
    found = rows()
    assert not [key for key, nodes in found.items() if not nodes]
    assert wanted <= found.keys()


@pytest.mark.parametrize(
    ("what", "count"),
    [
        ("hostile tars that are fixed, each by both ways of opening folders", len(tars.FIXED)),
        ("hostile tars that are generated, the same", tars.GENERATED),
        ("tripwires that a review marks", len(TRIPWIRES)),
        ("shapes of repositories", len(SHAPES)),
        ("verbs that each shape goes through", len(VERBS)),
    ],
)
def test_counts_are_true(what: str, count: int) -> None:
    assert f"| {what} | {count} |" in DOCUMENT
