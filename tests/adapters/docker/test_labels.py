"""Rows of a list are judged by us: an engine may have filtered for any label instead of all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters.docker_types import carries

LABELS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["", "1", "x=y"]))


def test_all_of_them() -> None:
    row = {"Labels": {"home": "1", "kind": "git"}}
    assert carries(row, [])
    assert carries(row, ["home"])
    assert carries(row, ["home=1", "kind=git"])
    assert not carries(row, ["home=2", "kind=git"])
    assert not carries(row, ["home=1", "pod"])
    assert not carries({"Labels": None}, ["home"])
    assert carries({"Labels": None}, [])


@given(LABELS, LABELS)
def test_every_pair_counts(found: dict[str, str], wanted: dict[str, str]) -> None:
    said = [f"{key}={value}" for key, value in wanted.items()]
    assert carries({"Labels": found}, said) == (wanted.items() <= found.items())
    assert carries({"Labels": found}, list(wanted)) == (wanted.keys() <= found.keys())
