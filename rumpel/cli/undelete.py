"""`rumpel undelete`: bring a deleted pod back, or list those that can be."""

from __future__ import annotations

import sys
import time

from rumpel import names, text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.options import add_pod_making, making
from rumpel.cli.snapshot import ago
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Bring a deleted pod back: its branches, uncommitted files, index and stashes, in\n"
    "a new container. Without NAME: list the pods that can be brought back, which is\n"
    "possible for 7 days (keepDeleted in the configuration). Ignored files and\n"
    "volumes went with the pod."
)
EXAMPLES = (
    ("rumpel undelete", "what is in the trash"),
    ("rumpel undelete fix-login", "the one of that name deleted last"),
    ("rumpel undelete fix-login --as fix-again", "when the name is taken again"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the pod, or its id in the list")
    parser.add_argument("--as", dest="other", metavar="NEW", help="bring it back as pod NEW")
    add_pod_making(parser)


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.name is None and args.other is not None:
        raise UsageError("--as goes with the NAME of a deleted pod")
    for name in (args.name, args.other):
        if name is not None:
            names.check_pod_name(name)
    request: dict[str, object] = {
        "name": args.name,
        "as": args.other,
        **making(args),
    }
    with Interrupts(look="rumpel list") as interrupts:
        answer = session.ask(options, "undelete", request, interrupts=interrupts)
    if args.name is None:
        return show(options, "undelete", answer, lambda rows: listed(rows, options))
    return show(options, "undelete", answer, lambda row: render(row, options))


def render(row: dict[str, Any], options: Options) -> None:
    if row.get("error"):
        return
    ui.out(text.safe(str(row["name"])))
    if options.quiet:
        return
    ui.flush_results()
    for line in row.get("left") or ():
        ui.err(f"not brought back: {text.safe(str(line))}")
    if ui.is_terminal(sys.stderr):
        ui.err(f"next: rumpel enter {text.safe(str(row['name']))}")


def listed(rows: list[dict[str, Any]], options: Options) -> None:
    if options.quiet:
        for row in rows:
            ui.out(text.safe(str(row["name"])))
        return
    if not rows and ui.is_terminal(sys.stdout):
        ui.err("no deleted pod of this repository can be brought back")
        return
    now = time.time()
    cells = [
        [
            str(row["name"]),
            ago(row.get("deleted_at"), now),
            work(row),
            remaining(row.get("expires_at"), now),
            str(row["pod_id"]),
        ]
        for row in rows
    ]
    headers = ("NAME", "DELETED", "WORK", "KEPT FOR", "ID")
    for line in text.table(headers, cells, columns=ui.columns(sys.stdout)):
        ui.out(line)


def work(row: dict[str, Any]) -> str:
    parts = [text.count(len(row.get("branches") or ()), "branch", "branches")]
    if row.get("files"):
        parts.append(text.count(int(row["files"]), "changed file"))
    return ", ".join(parts)


def remaining(iso: object, now: float) -> str:
    at = text.unix_time(str(iso or ""))
    return "-" if at is None else text.duration(max(0.0, at - now))
