"""`rumpel adopt`: the pods of a repository that lies somewhere else now."""

from __future__ import annotations

import os

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Take over the pods that this repository had when it was in another folder.\n"
    "One that was moved is recognised without this. It is needed for a copy whose\n"
    "original is gone, and with OLD-PATH for another clone of a deleted repository."
)
EXAMPLES = (
    ("rumpel adopt", "the pods whose commits are already here"),
    ("rumpel adopt ~/old/app", "those of the repository that was there"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("old", nargs="?", metavar="OLD-PATH", help="where the repository was")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    old = os.path.abspath(args.old) if args.old is not None else None
    answer = session.ask(options, "adopt", {"old": old})
    return show(options, "adopt", answer, lambda rows: adopted(rows))


def adopted(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        ui.out(text.safe(str(row["name"])))
