"""The command line's grammar: split argv, build the one parser that is needed, parse."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module

from rumpel.cli import options as global_options
from rumpel.cli.commands import ALIASES, COMMANDS, PASSES_ARGUMENTS
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import NoReturn

WITH_VALUE = frozenset({"-C", "--color", "--host"})
MAX_HELP_COLUMNS = 100


class Parser(argparse.ArgumentParser):
    """Errors as UsageError; help in our shape."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.prog} --help")


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Fixed width: argparse would import shutil (6 ms) to ask, at every add_argument()."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(_columns(), MAX_HELP_COLUMNS) - 2)


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

    close = text.suggestion(word, [*COMMANDS, *ALIASES])
    raise UsageError(
        f"there is no command '{text.safe(word)}'"
        + (f", did you mean {close!r}?" if close else ""),
        hint=f"rumpel {close}" if close else "rumpel help",
    )


def module_of(verb: str) -> ModuleType:
    return import_module("rumpel.cli." + COMMANDS[verb][0])


def parser_of(verb: str, module: ModuleType) -> Parser:
    parser = Parser(
        prog=f"rumpel {verb}",
        description=module.DESCRIPTION,
        epilog="examples:\n" + "\n".join(example_lines(module.EXAMPLES)),
        formatter_class=Formatter,
        add_help=False,
        allow_abbrev=False,
    )
    if hasattr(module, "USAGE"):
        parser.usage = module.USAGE
    module.add_arguments(parser)
    global_options.add_global(parser)
    return parser


def example_lines(examples: Sequence[tuple[str, str]]) -> list[str]:
    """Commands, and what they do in a column beside."""
    wide = max(len(command) for command, _ in examples)
    return [f"  {command.ljust(wide)}   {meaning}" for command, meaning in examples]


def parse(verb: str, module: ModuleType, words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The command's arguments, and what stands behind `--` when the command passes it on."""
    passed: list[str] = []
    if verb in PASSES_ARGUMENTS and "--" in words:
        at = words.index("--")
        words, passed = words[:at], words[at + 1 :]
        if not passed:
            raise UsageError("there is no command after --", hint=f"rumpel {verb} --help")
    return parser_of(verb, module).parse_args(words), passed


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
