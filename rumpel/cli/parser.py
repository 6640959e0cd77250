"""The whole parser of a command, by argparse: help, errors, and every spelling of the options."""

from __future__ import annotations

import argparse
import os
import sys

from rumpel import text
from rumpel.cli import options as global_options
from rumpel.cli.commands import PASSES_ARGUMENTS
from rumpel.cli.plain import SUPPRESS, Arguments
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType
    from typing import Any, NoReturn

MAX_HELP_COLUMNS = 100
UNKNOWN = "unrecognized arguments: "
AGENTS_OWN = PASSES_ARGUMENTS - {"enter", "review"}


class HelpAsked(SystemExit):
    """Instead of being printed: it may be wanted as JSON."""

    def __init__(self, words: str) -> None:
        super().__init__(0)
        self.words = words


class Parser(argparse.ArgumentParser):
    """Errors as UsageError; help in our shape."""

    def add_argument(self, *flags: str, **how: Any) -> argparse.Action:
        """What is hidden is neither shown in the help nor asked for."""
        if how.get("help") == SUPPRESS:
            how |= {"help": argparse.SUPPRESS, "default": []}
        if how.get("nargs") == "*":
            how.setdefault("default", [])  # else it is named as missing with what really is
        return super().add_argument(*flags, **how)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Argparse lists what there is in a line without end."""
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            close = text.suggestion(str(value), known)
            guess = f", did you mean {close!r}?" if close else f": {', '.join(known)}"
            reason = f"there is no '{text.safe(str(value))}'{guess}"
            raise argparse.ArgumentError(action, reason)

    def print_help(self, file: object = None) -> NoReturn:
        raise HelpAsked(self.format_help())

    def error(self, message: str) -> NoReturn:
        verb, unknown = self.prog.rpartition(" ")[2], message.partition(UNKNOWN)[2]
        if unknown.startswith("-") and verb in AGENTS_OWN:
            hint = f"{self.prog} NAME … -- {unknown}   gives it to the agent"
            raise UsageError(message, hint=f"{hint}; {self.prog} --help")
        raise UsageError(message + self._guess(unknown), hint=f"{self.prog} --help")

    def _guess(self, unknown: str) -> str:
        word = unknown.partition(" ")[0].partition("=")[0]
        own = [flag for flag in self._option_string_actions if flag.startswith("--")]
        close = text.suggestion(word, own) if word.startswith("--") else None
        return f", did you mean {close}?" if close else ""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Fixed width: argparse would import shutil (6 ms) to ask, at every add_argument()."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(_columns(), MAX_HELP_COLUMNS) - 2)


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


def read(parser: Parser, words: list[str], *, may_mix: bool = False) -> Arguments:
    """Names may stand on both sides of options, as git takes them.

    Behind `--` stand no options; argparse's mixing forgets that, so there it is only for a
    command that wants it.
    """
    mixes = may_mix or "--" not in words
    parse = parser.parse_intermixed_args if mixes else parser.parse_args
    return parse(words, Arguments())


def example_lines(examples: Sequence[tuple[str, str]]) -> list[str]:
    """Commands, and what they do in a column beside."""
    wide = max(len(command) for command, _ in examples)
    return [f"  {command.ljust(wide)}   {meaning}" for command, meaning in examples]


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
