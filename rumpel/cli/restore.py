"""`rumpel restore`: put a snapshot back into a pod."""

from __future__ import annotations

from rumpel import names, text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Make the workspace of a pod what a snapshot of it was: files, index, stashes,\n"
    "branch and a merge or rebase in progress. What the pod has now becomes a\n"
    "snapshot first. Ignored files stay as they are."
)
EXAMPLES = (
    ("rumpel restore fix-login", "the newest snapshot"),
    ("rumpel restore fix-login 3f2a9c", "this one; rumpel snapshot --list names them"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod")
    parser.add_argument("snapshot", nargs="?", metavar="SNAPSHOT", help="default: the newest")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    request: dict[str, object] = {"name": args.name, "snapshot": args.snapshot}
    with Interrupts(look=f"rumpel snapshot --list {args.name}") as interrupts:
        answer = session.ask(options, "restore", request, interrupts=interrupts)
    return show(options, "restore", answer, lambda row: render(row, options))


def render(row: dict[str, Any], options: Options) -> None:
    ui.out(text.safe(str(row["id"])))
    if row.get("saved_id") and not options.quiet:
        ui.flush_results()
        ui.err(f"what was there before is snapshot {text.safe(str(row['saved_id']))}")
