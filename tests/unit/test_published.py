"""Which refs the user sees for the branches of all pods."""

from __future__ import annotations

import subprocess
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rumpel.adapters.published import MAX_COMPONENT_BYTES, PREFIX, view

OID = "1" * 40


def published(**pods: list[str]) -> dict[str, str]:
    """Ref below the prefix -> the commit; the pod `a_b` is called a-b."""
    found = view(
        {
            pod.replace("_", "-"): (f"id-{pod}", {name: f"{pod}:{name}" for name in branches})
            for pod, branches in pods.items()
        }
    )
    return {name.removeprefix(PREFIX): oid for name, oid in found.refs.items()}


def test_every_branch_is_at_its_pod_and_the_own_one_also_plain() -> None:
    assert published(alice=["alice", "fix"], bob=["main"]) == {
        "alice": "alice:alice",
        "alice@alice": "alice:alice",
        "fix@alice": "alice:fix",
        "main@bob": "bob:main",
    }


def test_branch_below_the_name_of_a_pod_is_encoded() -> None:
    found = view({"alice": ("1", {"fix/login": OID}), "fix": ("2", {})})
    assert found.refs == {f"{PREFIX}fix%2Flogin@alice": OID}
    assert found.notes == (
        "branch 'fix/login' of pod 'alice' is published as rumpelpod/fix%2Flogin@alice: "
        "its own name is too long or clashes with another",
    )


def test_branch_that_would_be_a_folder_of_another_is_encoded() -> None:
    assert published(a=["x"], b=["x@a/y"]) == {"x@a": "a:x", "x@a%2Fy@b": "b:x@a/y"}


def test_letter_case_alone_does_not_tell_names_apart() -> None:
    assert published(a=["Main", "main"]) == {"main@a": "a:main", "%4dain@a": "a:Main"}


def test_unicode_forms_do_not_tell_names_apart() -> None:
    composed = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    names = published(a=[composed, unicodedata.normalize("NFD", composed)])
    assert len({unicodedata.normalize("NFC", name) for name in names}) == 2


def test_name_that_no_file_can_have_is_shortened() -> None:
    (name,) = published(a=["x" * 300])
    assert len(name) <= MAX_COMPONENT_BYTES
    assert name.startswith("branch%")


def test_names_taken_on_purpose_block_nobody() -> None:
    long = "y" * 400
    names = ["main", long]
    for _ in range(5):
        found = published(evil=names)
        assert len(found) == len(names)
        names += [name.removesuffix("@evil") for name in found if name not in names][-1:]
    assert published(good=["good"], evil=names).keys() >= {"good", "good@good"}


def test_percent_in_a_branch_is_not_mistaken_for_an_encoded_slash() -> None:
    names = published(fix=[], a=["fix/x", "fix%2Fx", "fix%2fx", "fix%252fx"])
    assert sorted(names.values()) == ["a:fix%252fx", "a:fix%2Fx", "a:fix%2fx", "a:fix/x"]


pod_names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
parts = st.one_of(
    st.sampled_from(
        ["fix", "Fix", "x", "y@a", "a", "b", "ﬁx", "é", "e\u0301", "%2F", "%2f", "k" * 210]
    ),
    st.text(alphabet="aAbB@%-2F", min_size=1, max_size=4),
)
branch_names = st.lists(parts, min_size=1, max_size=3).map("/".join)
pod_sets = st.dictionaries(
    pod_names | st.sampled_from(["a", "b", "fix", "x"]),
    st.tuples(st.just("id"), st.dictionaries(branch_names, st.uuids().map(str), max_size=6)),
    max_size=5,
)


def folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", name).casefold())


@given(pod_sets)
@example({"a": ("1", {"x": "1", "X": "2"}), "b": ("2", {"x@a/y": "3", "%78@a/y": "4"})})
def test_nothing_clashes_and_nothing_is_dropped(
    pods: dict[str, tuple[str, dict[str, str]]],
) -> None:
    found = view(pods)
    names = [name.removeprefix(PREFIX) for name in found.refs]
    taken = {folded(name) for name in names}
    assert len(taken) == len(names), "two names differ in letter case or Unicode form only"
    for name in taken:
        above = name.split("/")
        for count in range(1, len(above)):
            assert "/".join(above[:count]) not in taken, f"{name} lies below a ref"
        assert max(len(part.encode()) for part in above) <= 255
    wanted = sorted(oid for _, branches in pods.values() for oid in branches.values())
    own = [branches[pod] for pod, (_, branches) in pods.items() if pod in branches]
    assert sorted(found.refs.values()) == sorted(wanted + own)
    for pod, (_, branches) in pods.items():
        if pod in branches:
            assert found.refs[PREFIX + pod] == branches[pod]


@given(pod_sets)
def test_order_of_the_pods_does_not_matter(
    pods: dict[str, tuple[str, dict[str, str]]],
) -> None:
    assert view(pods) == view(dict(reversed(pods.items())))


@pytest.mark.parametrize(
    "branch", ["x" * 300, "a/" * 60 + "b", "Fix/Login", "é/\N{SNOWMAN}", "y" * 180 + "/z"]
)
def test_git_accepts_every_name(branch: str) -> None:
    found = view({"fix": ("1", {"fix": OID}), "p": ("2", {branch: OID, branch.swapcase(): OID})})
    for name in found.refs:
        subprocess.run(["git", "check-ref-format", name], check=True)
