"""What node ids say."""

from __future__ import annotations

import pytest

from rumpel.daemon.nodes import Place, pick, place_of, read_subject, subject_of
from rumpel.errors import NotFound, UsageError


@pytest.mark.parametrize(
    ("node_id", "place"),
    [
        ("image/local/4f0a", Place("image", "4f0a", None, "", "local")),
        ("container/ssh:me@far:22/4f0a/a", Place("container", "4f0a", "a", "", "ssh:me@far:22")),
        (
            "lifecycle/local/4f0a/a/postCreateCommand",
            Place("lifecycle", "4f0a", "a", "postCreateCommand", "local"),
        ),
        ("port/local/4f0a/a/db:5432", Place("port", "4f0a", "a", "db:5432", "local")),
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


STEPS = ("image/local/4f", "container/local/4f/a", "lifecycle/local/4f/a/onCreateCommand",
         "port/local/4f/a/80", "port/local/4f/a/3000")  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("image", 0), ("image/local/4f", 0), ("onCreateCommand", 2), ("port/80", 3), ("3000", 4)],
)
def test_a_step_is_found_by_what_people_call_it(wanted: str, found: int) -> None:
    assert pick(STEPS, wanted, "in a pod") == STEPS[found]


def test_a_step_that_is_none_has_a_suggestion() -> None:
    with pytest.raises(NotFound, match="no step 'imagee' in a pod, did you mean 'image'") as caught:
        pick(STEPS, "imagee", "in a pod")
    listed = "one of: container, image, onCreateCommand, port/3000, port/80"
    assert caught.value.hint == listed
    with pytest.raises(UsageError, match="several steps: port/3000 or port/80"):
        pick(STEPS, "port", "in a pod")
