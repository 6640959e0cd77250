"""`rumpel wait`: until agents are done, or want something of you."""

from __future__ import annotations

import sys

from rumpel import names, text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Wait until the agents in pods no longer work: their turn is over, they ask for\n"
    "something, or they ended. Prints a line a pod. Ends with 1 when an agent failed\n"
    "or its pod does not run any more, with 124 after --timeout."
)
EXAMPLES = (
    ("rumpel wait fix-login", "one agent"),
    ("rumpel wait --any a b c", "the first of several"),
    ("rumpel wait a && rumpel review a", "then look at what it did"),
)
MAX_S = 7 * 86400


def add_arguments(parser: Declared) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="pods")
    parser.add_argument("--any", action="store_true", help="one that no longer works will do")
    parser.add_argument("--all", action="store_true", help="all of them (as without --any)")
    parser.add_argument("--timeout", metavar="SECONDS", help="wait no longer than that")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    for name in args.names:
        names.check_pod_name(name)
    if args.any and args.all:
        raise UsageError("--any or --all, not both")
    request = {"names": args.names, "any": args.any, "timeout_s": _seconds(args.timeout)}
    with Interrupts(look="rumpel list") as interrupts:
        answer = session.ask(options, "wait", request, interrupts=interrupts)

    def render(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            state = row["state"] if row["status"] == "running" else row["status"]
            ui.out(row["name"] if options.quiet else f"{row['name']}  {text.safe(str(state))}")
        if not options.quiet and ui.is_terminal(sys.stdout) and ui.is_terminal(sys.stderr):
            ui.flush_results()
            ui.err(f"next: rumpel capture {rows[0]['name']}; rumpel review {rows[0]['name']}")

    return show(options, "wait", answer, render)


def _seconds(given: str | None) -> int | None:
    if given is None:
        return None
    if not given.isdecimal() or not 0 < int(given) <= MAX_S:
        raise UsageError(f"--timeout takes seconds from 1 to {MAX_S}, not {given!r}")
    return int(given)
