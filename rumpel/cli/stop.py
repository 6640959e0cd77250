"""`rumpel stop`: stop pods, keep everything in them."""

from __future__ import annotations

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.create import check_names
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Stop pods: their processes are asked to end, then ended. Everything in them\n"
    "is kept; `rumpel enter NAME` starts one again."
)
EXAMPLES = (
    ("rumpel stop fix-login", "one pod"),
    ("rumpel stop --all", "all pods of this repository"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="pods to stop")
    parser.add_argument("-a", "--all", action="store_true", help="all pods of this repository")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.all == bool(args.names):
        problem = "--all goes without names" if args.all else "no pod named"
        raise UsageError(problem, hint="rumpel stop NAME... or rumpel stop --all")
    check_names(args.names)
    with Interrupts(look="rumpel list") as interrupts:
        answer = session.ask(
            options, "stop", {"names": args.names, "all": args.all}, interrupts=interrupts
        )
    return show(
        options, "stop", answer, lambda rows: render(rows, options, nothing="no pods to stop")
    )


def render(rows: list[dict[str, Any]], options: Options, *, nothing: str) -> None:
    """The names of what was done, one a line; remarks go to stderr."""
    for row in rows:
        if not row.get("error"):
            ui.out(text.safe(str(row["name"])))
    if not rows and not options.quiet:
        ui.err(nothing)
