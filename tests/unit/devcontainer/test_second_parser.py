"""The parser beside another one, on generated documents: right ones, and ones with a slip in them.

Both read the same value or both refuse, and where both refuse they name the same place. What is
argued for: rumpel refuses what no program could be given (NUL, numbers without an end), and takes
a byte order mark. Seeds begin at RUMPEL_SEED; a failure names its own.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from typing import Any

import jsonyx
import jsonyx.allow
import pytest

from rumpel.devcontainer import jsonc
from rumpel.devcontainer.positions import Parsed
from rumpel.errors import ConfigError
from tests.support.documents import slipped, spelled
from tests.support.reference import same

ALLOWED = jsonyx.allow.COMMENTS | jsonyx.allow.TRAILING_COMMA
COUNT = int(os.environ.get("RUMPEL_DOCUMENTS", "3000"))
SEED = int(os.environ.get("RUMPEL_SEED", "0"))
STRICTER = re.compile("a NUL character|the number is too large")
BLANK = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
TOKEN = re.compile(
    r"""//[^\r\n]*|/\*.*?\*/|(?P<token>"(?:[^"\\\r\n]|\\.)*\\?"?|[\w.+-]+)""", re.DOTALL
)
"""Within one both may begin to count elsewhere."""


def test_documents(record_property: Callable[[str, object], None]) -> None:
    accepted = 0
    for seed in range(SEED, SEED + COUNT):
        rng = random.Random(seed)
        text, value = spelled(rng)
        is_right = rng.random() < 0.5
        if not is_right:
            text = slipped(rng, text)
        try:
            found = judge(text)
        except AssertionError as error:
            pytest.fail(f"seed {seed}: {text!r}: {error}")
        accepted += found is not None
        if is_right:
            assert found is not None, f"seed {seed}"
            assert same(found.value, value), f"seed {seed}"
    record_property("documents", COUNT)
    assert COUNT * 0.5 < accepted < COUNT * 0.9


def judge(text: str) -> Parsed | None:
    """Raises: AssertionError where the two differ and it is not argued for."""
    try:
        found = jsonc.parse(text, "f")
    except ConfigError as error:
        refused(text, error)
        return None
    other: Any = jsonyx.loads(text.removeprefix("\ufeff"), allow=ALLOWED)
    assert same(found.value, other), (found.value, other)
    for path, offset in found.values.items():
        check_place(found, path, offset)
    return found


def check_place(found: Parsed, path: tuple[str | int, ...], offset: int) -> None:
    """The value that is said to stand there does."""
    value = found.value
    for part in path:
        value = value[part]
    first = found.text[offset]
    if isinstance(value, dict | list | str):
        assert first == {dict: "{", list: "[", str: '"'}[type(value)]
    elif isinstance(value, bool) or value is None:
        assert found.text.startswith({True: "true", False: "false", None: "null"}[value], offset)
    else:
        assert first == "-" or first.isdigit()


def refused(text: str, error: ConfigError) -> None:
    text = text.removeprefix("\ufeff")
    place = (error.details["line"], error.details["column"])
    ours = offset_of(text, place)
    if STRICTER.search(error.message):
        assert text[ours] in '-"0123456789', error.message
        return
    other = mistake(text)
    assert other is not None, error.message
    theirs = offset_of(text, (other.lineno, other.colno))
    assert is_same_place(text, ours, theirs, other.msg), (error.message, ours, theirs, other.msg)


def mistake(text: str) -> jsonyx.JSONSyntaxError | None:
    """What the other parser has against it."""
    try:
        jsonyx.loads(text, allow=ALLOWED)
    except jsonyx.JSONSyntaxError as error:
        return error
    return None


def offset_of(text: str, place: tuple[Any, Any]) -> int:
    line, column = place
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    return int(starts[line - 1]) + int(column) - 1


def is_same_place(text: str, ours: int, theirs: int, message: str) -> bool:
    """A missing comma belongs before or after blanks, what is not closed to its begin or the end,
    a mistake inside of a word to the word.
    """
    low, high = sorted((ours, theirs))
    if message.startswith("Unterminated") and ours == len(text):
        return True
    if BLANK.fullmatch(text, low, high):
        return True
    tokens = (match.span("token") for match in TOKEN.finditer(text))
    return any(start <= low and high <= end for start, end in tokens)
