"""What node ids say."""

from __future__ import annotations

import pytest

from rumpel.daemon.nodes import Place, place_of, read_subject, subject_of


@pytest.mark.parametrize(
    ("node_id", "place"),
    [
        ("image/local/4f0a", Place("image", "4f0a", None)),
        ("container/local/4f0a/a", Place("container", "4f0a", "a")),
        (
            "lifecycle/local/4f0a/a/postCreateCommand",
            Place("lifecycle", "4f0a", "a", "postCreateCommand"),
        ),
        ("port/local/4f0a/a/db:5432", Place("port", "4f0a", "a", "db:5432")),
        ("odd", Place("odd")),
    ],
)
def test_the_place_of_a_node(node_id: str, place: Place) -> None:
    assert place_of(node_id) == place


def test_the_names_of_steps() -> None:
    ids = ("image/local/4f", "container/local/4f/a", "lifecycle/local/4f/a/x", "port/local/4f/a/1")
    assert [place_of(one).name for one in ids] == ["image", "container", "x", "port/1"]


def test_a_subject_is_read_as_it_was_written() -> None:
    ids = ["image/local/4f0a", "container/local/4f0a/b", "sync/local/4f0a/a", "clone/local/4f0a/b"]
    assert read_subject(subject_of(ids)) == ("4f0a", ["a", "b"])
    assert read_subject(subject_of(ids[:1])) == ("4f0a", [])
    assert read_subject(subject_of([])) == ("", [])
