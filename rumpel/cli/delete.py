"""`rumpel delete`: remove pods; refused while work in them is nowhere else."""

from __future__ import annotations

import sys

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.create import check_names
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.stop import render

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Delete pods with their containers, volumes and branches on the host.\n"
    "Refused, with a list, when a pod has commits that are on no other branch,\n"
    "changed files, or a state that is not known. `rumpel undelete` gets a pod back\n"
    "for 7 days (keepDeleted); its volumes and ignored files are gone for good."
)
EXAMPLES = (
    ("rumpel delete fix-login", "refuses when work would be lost"),
    ("rumpel delete alice bob --force", "deletes whatever is in them"),
    ("rumpel undelete alice", "gets it back, uncommitted work included"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="pods to delete")
    parser.add_argument(
        "-f", "--force", action="store_true", help="delete even when work would be lost"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    check_names(args.names)
    with Interrupts(look="rumpel list") as interrupts:
        answer = session.ask(
            options, "delete", {"names": args.names, "force": args.force}, interrupts=interrupts
        )
    return show(options, "delete", answer, lambda rows: deleted(rows, options))


def deleted(rows: list[dict[str, Any]], options: Options) -> None:
    render(rows, options, nothing="")
    gone = [str(row["name"]) for row in rows if not row.get("error")]
    if gone and ui.is_terminal(sys.stderr) and not options.quiet:
        ui.flush_results()
        ui.err(f"to get it back: rumpel undelete {text.safe(gone[0])}")
