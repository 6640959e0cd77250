"""`rumpel snapshot`: hold the uncommitted work of pods on the host, or list what is held."""

from __future__ import annotations

import sys
import time

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.create import check_names
from rumpel.cli.interrupt import Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Hold the uncommitted work of pods in this repository: files that are changed or\n"
    "new, the index, stashes and a merge or rebase in progress. Nothing in the pod\n"
    "changes. `rumpel stop` and `rumpel delete` take one by themselves."
)
EXAMPLES = (
    ("rumpel snapshot fix-login", "prints the id of the snapshot"),
    ("rumpel snapshot --list fix-login", "those there are, newest first"),
    ("rumpel restore fix-login", "puts the newest one back"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="pods to take a snapshot of")
    parser.add_argument(
        "-l", "--list", action="store_true", help="list the snapshots instead of taking one"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    check_names(args.names)
    request: dict[str, object] = {"names": args.names, "list": args.list}
    with Interrupts(look="rumpel snapshot --list NAME") as interrupts:
        answer = session.ask(options, "snapshot", request, interrupts=interrupts)
    return show(
        options,
        "snapshot",
        answer,
        lambda rows: listed(rows, options) if args.list else taken(rows, options),
    )


def taken(rows: list[dict[str, Any]], options: Options) -> None:
    """The ids, one a line: for scripts."""
    for row in rows:
        if row.get("id"):
            ui.out(text.safe(str(row["id"])))
        elif not row.get("error") and not options.quiet:
            ui.err(f"{text.safe(str(row['name']))}: nothing uncommitted, no snapshot needed")


def listed(rows: list[dict[str, Any]], options: Options) -> None:
    if options.quiet:
        for row in rows:
            ui.out(text.safe(str(row["id"])))
        return
    if not rows and ui.is_terminal(sys.stdout):
        ui.err("no snapshot is held: rumpel snapshot NAME takes one")
        return
    now = time.time()
    cells = [
        [str(row["id"]), str(row["name"]), ago(row.get("created_at"), now), str(row["kind"])]
        for row in rows
    ]
    headers = ("SNAPSHOT", "POD", "TAKEN", "FOR")
    for line in text.table(headers, cells, columns=ui.columns(sys.stdout)):
        ui.out(line)


def ago(iso: object, now: float) -> str:
    at = text.unix_time(str(iso or ""))
    return "-" if at is None else text.ago(now - at)
