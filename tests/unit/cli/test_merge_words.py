"""Which words of `rumpel merge` are ours, and what git's ones ask for."""

from __future__ import annotations

import shlex

import pytest

from rumpel.cli import merge_words
from rumpel.cli.merge_words import Words
from rumpel.errors import UsageError


@pytest.mark.parametrize(
    ("line", "ours", "gits"),
    [
        ("fix", "fix", ""),
        ("fix --squash --keep", "fix --keep", "--squash"),
        ("--no-ff fix -m text", "fix", "--no-ff -m text"),
        ("-m --keep fix", "fix", "-m --keep"),
        ("-em fix p", "p", "-em fix"),
        ("-mfix p", "p", "-mfix"),
        ("fix -q -C dir --json", "fix -q -C dir --json", "-q"),
        ("fix --host=h -X ours -s ort", "fix --host=h", "-X ours -s ort"),
        ("fix -S -Skey --log=3", "fix", "-S -Skey --log=3"),
        ("fix -- --keep -q -m x", "fix", "--keep -q -m x"),
        ("fix other", "fix other", ""),
        ("fix -m", "fix", "-m"),
        ("--help", "--help", ""),
    ],
)
def test_words_go_to_whom_they_are_for(line: str, ours: str, gits: str) -> None:
    assert merge_words.split(shlex.split(line)) == (ours.split(), gits.split())


def test_what_gits_words_ask_for() -> None:
    found = Words(shlex.split("--squash -X theirs -e --no-ff --strategy=ort --ff --no-edit"))
    assert found.strategy == ["-X", "theirs", "--strategy=ort"]
    assert (found.is_squash, found.edit, found.ff) == (True, False, "--ff")
    assert not found.has_message
    assert Words(["--squash", "--no-squash"]).is_squash is False


@pytest.mark.parametrize("line", ["-m x", "-mx", "-nm x", "--message x", "--message=x", "-F f"])
def test_a_message_is_recognised(line: str) -> None:
    assert Words(shlex.split(line)).has_message


@pytest.mark.parametrize("line", ["--no-ff", "--stat", "-S", "-n", "--signoff", "--summary"])
def test_what_is_no_message_and_no_strategy(line: str) -> None:
    found = Words([line])
    assert not found.has_message
    assert not found.strategy


@pytest.mark.parametrize("line", ["--abort", "--continue", "--quit", "other", "-m x other", "--"])
def test_what_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        Words(shlex.split(line))
