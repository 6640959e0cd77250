"""The command line's grammar: split argv, find the one module that is needed, parse."""

from __future__ import annotations

import sys

from rumpel.cli import options as global_options
from rumpel.cli.commands import ALIASES, COMMANDS, MEANT, PASSES_ARGUMENTS
from rumpel.cli.plain import Arguments, Plain
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

WITH_VALUE = frozenset({"-C", "--color", "--host"})


def split(argv: list[str]) -> tuple[list[str], str | None, list[str]]:
    """Options before the verb, the verb (None: there is none), what follows it."""
    at = 0
    while at < len(argv) and argv[at].startswith("-") and argv[at] != "--":
        at += 2 if argv[at] in WITH_VALUE else 1
    if at >= len(argv) or argv[at] == "--":
        return argv, None, []
    return argv[:at], argv[at], argv[at + 1 :]


def resolve_verb(word: str) -> str:
    """The command for `word`. Raises UsageError with a suggestion."""
    verb = ALIASES.get(word, word)
    if verb in COMMANDS:
        return verb
    from rumpel import text

    close = MEANT.get(word) or text.suggestion(word, [*COMMANDS, *ALIASES])
    raise UsageError(
        f"there is no command '{text.safe(word)}'"
        + (f", did you mean {close!r}?" if close else ""),
        hint=f"rumpel {close}" if close else "rumpel help",
    )


def module_of(verb: str) -> ModuleType:
    name = "rumpel.cli." + COMMANDS[verb][0]
    __import__(name)  # importlib itself would have to be imported
    return sys.modules[name]


def parse(verb: str, module: ModuleType, words: list[str]) -> tuple[Arguments, list[str]]:
    """The command's arguments, and what stands behind `--` when the command passes it on."""
    passed: list[str] = []
    if hasattr(module, "split_words"):
        words, passed = module.split_words(words)
    elif verb in PASSES_ARGUMENTS and "--" in words:
        at = words.index("--")
        words, passed = words[:at], words[at + 1 :]
        if not passed and not getattr(module, "MAY_MIX", False):
            raise UsageError("there is no command after --", hint=f"rumpel {verb} --help")
    plain = Plain()
    module.add_arguments(plain)
    global_options.add_global(plain)
    found = plain.parse(words)
    if found is None:
        from rumpel.cli import parser

        may_mix = getattr(module, "MAY_MIX", False)
        found = parser.read(parser.parser_of(verb, module), words, may_mix=may_mix)
    return found, passed
