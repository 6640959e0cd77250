"""`rumpel prune`: the pods that are stopped go, but for those with work of their own."""

from __future__ import annotations

import sys

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

    Rows = list[dict[str, Any]]

DESCRIPTION = (
    "Delete the pods of this repository that are stopped, on all hosts that answer.\n"
    "Asks first. A pod with commits that are on no other branch, changed files, or a\n"
    "state that is not known is kept, and named. What goes can be had back for 7 days\n"
    "(keepDeleted) by `rumpel undelete`; volumes and ignored files are gone for good."
)
EXAMPLES = (
    ("rumpel prune", "shows which, and asks"),
    ("rumpel prune -n", "only shows which"),
    ("rumpel prune -f --host ssh://build", "those of one host, without asking"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="only show which pods are stopped"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names: list[str] = []
    if args.dry_run or not args.force:
        answer = session.ask(options, "prune", {"names": [], "dry_run": True})
        if args.dry_run or answer.error is not None or not answer.data:
            return show(options, "prune", answer, lambda rows: render(rows, options))
        names = [str(row["name"]) for row in answer.data]
        if not _agreed(names, options):
            ui.err("nothing was deleted")
            return 0
    with Interrupts(look="rumpel list") as interrupts:
        answer = session.ask(
            options, "prune", {"names": names, "dry_run": False}, interrupts=interrupts
        )
    return show(options, "prune", answer, lambda rows: render(rows, options))


def _agreed(names: list[str], options: Options) -> bool:
    """Raises UsageError where nobody can be asked."""
    if options.json or not ui.can_ask():
        raise UsageError(
            f"prune asks before it deletes {text.count(len(names), 'pod')}, and nobody can answer",
            hint="rumpel prune --force",
        )
    ui.err(f"{text.count(len(names), 'stopped pod')}: {text.safe(text.listing(names))}")
    sys.stderr.write("Delete what holds no work of its own? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        ui.err()
    return answer.strip().lower() in ("y", "yes")


def render(rows: Rows, options: Options) -> None:
    """Names of what went, or would be looked at, one a line; the rest goes to stderr."""
    for row in rows:
        if row["status"] in ("deleted", "stopped"):
            ui.out(text.safe(str(row["name"])))
    ui.flush_results()
    kept = [row for row in rows if row["status"] == "kept"]
    for row in kept:
        first, *rest = str(row["error"]["message"]).splitlines()
        ui.err("\n".join((f"kept: {text.safe(first)}", *map(text.safe, rest))))
    if options.quiet:
        return
    gone = [str(row["name"]) for row in rows if row["status"] == "deleted"]
    if not rows:
        ui.err("no stopped pods")
    elif gone and ui.is_terminal(sys.stderr):
        ui.err(f"to get it back: rumpel undelete {text.safe(gone[0])}")
