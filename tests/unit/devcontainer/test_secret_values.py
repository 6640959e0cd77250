"""A text that ends within a value: no part of it stays."""

from __future__ import annotations

import pytest

from rumpel.devcontainer.secret_values import mask_cut, maskable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a canary-7c1e b", "a *** b"),
        ("a canary-7c1e", "a ***"),
        ("a canary-7", "a ***"),
        ("a c", "a ***"),
        ("a canary-7\n", "a canary-7\n"),
        ("a canary-7...", "a ***..."),
        ("a canary-7\ufffd...", "a ***\ufffd..."),
        ("canary-7c1ecanary-7c1ecan", "*********"),
        ("my-canary-7c1e-lo", "***"),
        ("of two lines\nof th", "***"),
        ("nothing", "nothing"),
        ("", ""),
    ],
)
def test_a_text_that_is_cut(text: str, shown: str) -> None:
    values = ["canary-7c1e", "my-canary-7c1e-longer", "of two lines\nof them", "short"]
    assert mask_cut(text, maskable(values)) == shown


def test_values_that_overlap() -> None:
    assert mask_cut("abcdefghi.", ("abcdef", "efghi")) == "***."
    assert mask_cut("abcdef", ("abcdef", "efghij")) == "***"
