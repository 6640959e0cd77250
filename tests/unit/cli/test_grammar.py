"""The command line's grammar and its help."""

from __future__ import annotations

import argparse
import shlex

import pytest

from rumpel import verbs
from rumpel.agents import AGENTS
from rumpel.cli import grammar, parser
from rumpel.cli.commands import ALIASES, COMMANDS, MEANT
from rumpel.cli.plain import Arguments
from rumpel.errors import UsageError


@pytest.mark.parametrize(
    ("argv", "found"),
    [
        ([], ([], None, [])),
        (["list"], ([], "list", [])),
        (["-C", "list", "ls", "-a"], (["-C", "list"], "ls", ["-a"])),
        (["--json", "-q", "list"], (["--json", "-q"], "list", [])),
        (["--color=never", "list"], (["--color=never"], "list", [])),
        (["--host", "x"], (["--host", "x"], None, [])),
        (["--", "list"], (["--", "list"], None, [])),
    ],
)
def test_the_verb_is_found(argv: list[str], found: tuple[list[str], str | None, list[str]]) -> None:
    assert grammar.split(argv) == found


def test_aliases_and_suggestions() -> None:
    assert {word: grammar.resolve_verb(word) for word in ALIASES} == ALIASES
    with pytest.raises(UsageError, match="did you mean 'create'"):
        grammar.resolve_verb("craete")
    assert {meant.split()[0] for meant in MEANT.values()} <= set(COMMANDS)
    assert not set(MEANT) & {*COMMANDS, *ALIASES}
    with pytest.raises(UsageError, match="did you mean 'delete'") as caught:
        grammar.resolve_verb("remove")
    assert caught.value.hint == "rumpel delete"
    with pytest.raises(UsageError, match=r"no command '\\x1b'") as caught:
        grammar.resolve_verb("\x1b")
    assert caught.value.hint == "rumpel help"


def parse(line: str) -> tuple[Arguments, list[str]]:
    before, word, after = grammar.split(shlex.split(line))
    assert word is not None
    verb = grammar.resolve_verb(word)
    return grammar.parse(verb, grammar.module_of(verb), before + after)


def test_arguments_behind_the_dashes_are_passed_on_untouched() -> None:
    args, passed = parse("-q enter a --trust -- ls -- -q --json")
    assert passed == ["ls", "--", "-q", "--json"]
    assert (args.name, args.trust, args.quiet, args.json) == ("a", True, True, False)


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_has_examples_that_parse(verb: str) -> None:
    module = grammar.module_of(verb)
    assert len(module.EXAMPLES) >= 2
    for line, meaning in module.EXAMPLES:
        assert meaning
        for part in line.split("|"):
            words = shlex.split(part.partition(">")[0])
            if "rumpel" in words and "xargs" not in words:
                parse(shlex.join(words[words.index("rumpel") + 1 :]))


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_explains_every_option_and_fits_80_columns(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parser, "_columns", lambda: 80)
    full = parser.parser_of(verb, grammar.module_of(verb))
    text = full.format_help()
    assert [line for line in text.splitlines() if len(line) > 80] == []
    for action in full._actions:
        assert action.help
        if action.help != argparse.SUPPRESS and action.option_strings:
            assert action.option_strings[-1] in text


def test_what_is_sent_is_what_the_daemon_takes() -> None:
    """Each command's request is checked on arrival: the two tables must agree."""
    others = {"completions", "daemon", "help", "system-install", "system-uninstall", *AGENTS}
    assert set(verbs.VERBS) >= set(COMMANDS) - others | {"agent"}


def test_an_option_of_the_agents_is_told_its_place() -> None:
    with pytest.raises(UsageError, match="--model") as caught:
        parse("run a -p x --model foo")
    assert str(caught.value.hint).startswith("rumpel run NAME … -- --model foo   gives it to")
    with pytest.raises(UsageError, match="--model") as caught:
        parse("delete a --model foo")
    assert caught.value.hint == "rumpel delete --help"


def test_no_abbreviated_options() -> None:
    with pytest.raises(UsageError, match="--forc"):
        parse("delete a --forc")
