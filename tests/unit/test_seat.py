"""The daemon's side of the built-in agent: what is kept of an output, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.daemon import builtin
from rumpel.daemon.builtin import Kept
from rumpel.errors import UsageError

GOOD = {"id": 1, "argv": ["true"], "input": "aGk=", "timeout_s": 3, "keep": 100}


@given(st.lists(st.binary(max_size=30), max_size=12), st.integers(1, 40))
def test_the_beginning_and_the_end_are_kept(pieces: list[bytes], most: int) -> None:
    kept, whole = Kept(most), b"".join(pieces)
    for piece in pieces:
        kept.add(piece)
    assert kept.left_out == max(len(whole) - most, 0)
    if not kept.left_out:
        assert kept.bytes() == whole
        return
    head, note, tail = kept.bytes().partition(
        f"\n[{kept.left_out} bytes are left out here]\n".encode()
    )
    assert note
    assert len(head) + len(tail) == most
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert abs(len(head) - len(tail)) <= 1


def test_a_good_request() -> None:
    assert builtin._checked(GOOD) == (["true"], b"hi", 3.0, 100)
    assert builtin._checked(GOOD | {"input": None})[1] is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"argv": []}, "argv"),
        ({"argv": "true"}, "argv"),
        ({"argv": ["a", 1]}, "argv"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": 1e9}, "timeout_s"),
        ({"timeout_s": None}, "timeout_s"),
        ({"keep": 1 << 30}, "keep"),
        ({"keep": 1.5}, "keep"),
        ({"input": 7}, "input"),
        ({"input": "no base64!"}, "input"),
    ],
)
def test_a_malformed_one_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        builtin._checked(GOOD | changes)
