"""The two parsers of the command line agree."""

from __future__ import annotations

import argparse
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.cli import grammar, options, plain
from rumpel.cli.commands import COMMANDS
from rumpel.cli.parser import parser_of, read
from rumpel.errors import UsageError

WORDS = (
    "a", "b-2", "", "-", "--", "-h", "--help", "3", "-3", "x y", "-x y", "status", "tree", "json",
    "-q", "-v", "-vq", "-vv", "--verbose", "--quiet", "--json", "--json=1", "-C", "-C=x", "-Cx",
    "--color", "--color=never", "--color=", "--color=blue", "always", "--host", "--host=h", "-a",
    "--all", "--al", "-f", "--force", "--trust", "--no-wait", "--from", "--from=v1", "--count",
    "--count=2", "--count=two", "--config", "--config=c=d", "--why", "--plan", "create", "--format",
    "--format=dot", "--origin", "--check", "-n", "-n5", "--lines", "--follow", "--wat",
)  # fmt: skip


def plainly(verb: str, words: list[str]) -> dict[str, object] | None:
    parser = plain.Plain()
    grammar.module_of(verb).add_arguments(parser)
    options.add_global(parser)
    found = parser.parse(words)
    return None if found is None else vars(found)


def fully(verb: str, words: list[str]) -> dict[str, object]:
    return vars(read(parser_of(verb, grammar.module_of(verb)), words))


@given(st.sampled_from(list(COMMANDS)), st.lists(st.sampled_from(WORDS), max_size=6))
def test_what_is_read_plainly_is_what_argparse_reads(verb: str, words: list[str]) -> None:
    found = plainly(verb, words)
    if found is not None:
        assert found == fully(verb, words)


@pytest.mark.parametrize(
    "line",
    [
        "list",
        "list --all -q",
        "list --json --host h --color=never -C /x",
        "enter a",
        "enter --trust -v -v a --config .devcontainer.json",
        "create a b c --from main --trust",
        "create try --count 3 --no-wait",
        "stop --all",
        "stop a b",
        "delete -f a b",
        "graph",
        "graph a --why image --format=dot",
        "config --origin",
        "daemon logs -f -n 5",
        "help create",
        "create a --from HEAD b",
        "delete a -f b -q c",
        "stop a -q b",
        "restore a --json abc",
    ],
)
def test_common_lines_are_plain(line: str) -> None:
    verb, *words = shlex.split(line)
    assert plainly(verb, words) == fully(verb, words)


@pytest.mark.parametrize(
    "line",
    [
        "list --help", "list -qv", "list a", "list --al", "list --color=blue", "create",
        "create a --count x", "enter a -- ls", "delete a --force=1",
        "stop -- a", "list --host", "list --host -q", "list -C=x", "daemon wat",
    ],
)  # fmt: skip
def test_the_rest_is_left_to_argparse(line: str) -> None:
    verb, *words = shlex.split(line)
    assert plainly(verb, words) is None


@pytest.mark.parametrize("line", ["-fq a b", "a -fq b", "a -f b -q c", "-- a", "-f -- a b"])
def test_options_may_stand_anywhere(line: str) -> None:
    words = shlex.split(line)
    found, _ = grammar.parse("delete", grammar.module_of("delete"), words)
    names = [word for word in words if not word.startswith("-")]
    assert (found.names, found.force) == (names, "f" in line)


@pytest.mark.parametrize("line", ["a -- -f", "-- a -f"])
def test_what_follows_the_dashes_is_no_option(line: str) -> None:
    found, _ = grammar.parse("delete", grammar.module_of("delete"), shlex.split(line))
    assert (found.names, found.force) == (["a", "-f"], False)


def test_mistakes_and_rare_spellings_come_from_argparse() -> None:
    module = grammar.module_of("list")
    assert grammar.parse("list", module, ["-aq"])[0].quiet
    with pytest.raises(UsageError, match="--wat"):
        grammar.parse("list", module, ["--wat"])
    with pytest.raises(SystemExit):
        grammar.parse("list", module, ["--help"])


def test_the_word_that_hides_is_argparses() -> None:
    assert plain.SUPPRESS == argparse.SUPPRESS
