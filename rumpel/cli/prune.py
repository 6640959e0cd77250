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
    "Delete the pods of this repository (-a: of all) that are stopped, on all hosts\n"
    "that answer. Asks first. A pod with commits that are on no other branch,\n"
    "changed files, or a state that is not known is kept, and named. What goes can\n"
    "be had back for 7 days (keepDeleted) by `rumpel undelete`; volumes and ignored\n"
    "files are gone for good."
)
EXAMPLES = (
    ("rumpel prune", "shows which, and asks"),
    ("rumpel prune -n", "only shows which"),
    ("rumpel prune -a", "those of all repositories"),
    ("rumpel prune -f --host ssh://build", "those of one host, without asking"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="pods of all repositories")
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="only show which pods are stopped"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    request: dict[str, object] = {"ids": [], "all": args.all}
    if args.dry_run or not args.force:
        answer = session.ask(options, "prune", {**request, "dry_run": True})
        if args.dry_run or answer.error is not None or not answer.data:
            return show(options, "prune", answer, lambda rows: render(rows, args, options))
        if not _agreed(answer.data, args, options):
            ui.err("nothing was deleted")
            return 0
        request["ids"] = [str(row["id"]) for row in answer.data]
    with Interrupts(look="rumpel list --all" if args.all else "rumpel list") as interrupts:
        answer = session.ask(options, "prune", {**request, "dry_run": False}, interrupts=interrupts)
    return show(options, "prune", answer, lambda rows: render(rows, args, options))


def _agreed(rows: Rows, args: Arguments, options: Options) -> bool:
    """Raises UsageError where nobody can be asked."""
    if options.json or not ui.can_ask():
        raise UsageError(
            f"prune asks before it deletes {text.count(len(rows), 'pod')}, and nobody can answer",
            hint=f"rumpel prune {'--all ' if args.all else ''}--force",
        )
    counted = text.count(len(rows), "stopped pod")
    if args.all:
        ui.err("\n".join((f"{counted}:", *(f"  {_called(row, args)}" for row in rows))))
    else:
        for line in ui.prose(f"{counted}: {text.listing([_called(row, args) for row in rows])}"):
            ui.err(line)
    sys.stderr.write("Delete what holds no work of its own? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        ui.err()
    return answer.strip().lower() in ("y", "yes")


def _called(row: dict[str, Any], args: Arguments) -> str:
    name = text.safe(str(row["name"]))
    return f"{name} of {text.safe(str(row['repo']))}" if args.all else name


def render(rows: Rows, args: Arguments, options: Options) -> None:
    """Names of what went, or would be looked at, one a line; the rest goes to stderr."""
    for row in rows:
        if row["status"] in ("deleted", "stopped"):
            ui.out(text.safe(str(row["name"])) if options.quiet else _called(row, args))
    ui.flush_results()
    kept = [row for row in rows if row["status"] == "kept"]
    for row in kept:
        first, *rest = str(row["error"]["message"]).splitlines()
        first += f" (in {row['repo']})" if args.all else ""
        ui.err("\n".join((f"kept: {text.safe(first)}", *map(text.safe, rest))))
    if options.quiet:
        return
    gone = [row for row in rows if row["status"] == "deleted"]
    if not rows:
        ui.err("no stopped pods")
    elif ui.is_terminal(sys.stderr):
        if kept:
            ui.err(f"to delete it all the same: {_typed(kept[0], args, 'delete --force')}")
        if gone:
            ui.err(f"to get it back: {_typed(gone[0], args, 'undelete')}")


def _typed(row: dict[str, Any], args: Arguments, verb: str) -> str:
    """The command about this pod, from wherever one is."""
    name = text.safe(str(row["name"]))
    if not args.all:
        return f"rumpel {verb} {name}"
    from shlex import quote

    return f"rumpel -C {quote(text.safe(str(row['repo'])))} {verb} {name}"
