"""`rumpel create`: make pods, or bring existing ones up to date, without entering them."""

from __future__ import annotations

import sys

from rumpel import names, text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.options import add_pod_making, making
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Make pods, or bring existing ones up to date, without entering them.\n"
    "Each works on a branch named after it, made from HEAD or from --from."
)
EXAMPLES = (
    ("rumpel create fix-login", "one pod"),
    ("rumpel create alice bob carol", "three pods, one image build"),
    ("rumpel create try --count 3", "try-1, try-2 and try-3"),
    ("rumpel create hotfix --from v1.2", "start from a tag"),
)
MAX_COUNT = 1000


def add_arguments(parser: Declared) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help=names.POD_NAME_RULE)
    parser.add_argument(
        "--from", dest="start", metavar="REF", help="commit, branch or tag to start from"
    )
    parser.add_argument("--count", type=int, metavar="N", help="make NAME-1 to NAME-N")
    add_pod_making(parser)
    parser.add_argument(
        "--no-prebuild",
        action="store_true",
        help="each pod runs onCreateCommand and updateContentCommand itself",
    )
    parser.add_argument(
        "--no-wait", action="store_true", help="return at once; the work goes on in the background"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.count is not None:
        if not 1 <= args.count <= MAX_COUNT:
            raise UsageError(f"--count is {args.count}, but must be 1 to {MAX_COUNT}")
        if len(args.names) != 1:
            raise UsageError("--count goes with one NAME", hint="rumpel create NAME --count 3")
    check_names(args.names)
    request = {
        "names": args.names,
        "count": args.count,
        "from": args.start,
        **making(args),
        "no_wait": args.no_wait,
        "no_prebuild": args.no_prebuild,
    }
    with Interrupts(look=f"rumpel graph {args.names[0]}") as interrupts:
        answer = session.ask(options, "create", request, interrupts=interrupts)
    return show(options, "create", answer, lambda rows: render(rows, options))


def check_names(words: list[str]) -> None:
    """Every name is valid and none comes twice, before anything is started."""
    for word in words:
        names.check_pod_name(word)
    twice = sorted({word for word in words if words.count(word) > 1})
    if twice:
        raise UsageError(f"named twice: {text.listing(twice)}")


def render(rows: list[dict[str, Any]], options: Options) -> None:
    if options.quiet:
        for row in rows:
            if not row.get("error"):
                ui.out(text.safe(str(row["name"])))
        return
    cells = [
        [
            str(row.get("name")),
            str(row.get("status") or "-"),
            str(row.get("branch") or "-"),
            str(row.get("commit") or "-")[:10],
            outcome(row),
        ]
        for row in rows
    ]
    headers = ("NAME", "STATUS", "BRANCH", "COMMIT", "RESULT")
    for line in text.table(headers, cells, columns=ui.columns(sys.stdout)):
        ui.out(line)
    made = [str(row["name"]) for row in rows if row.get("created")]
    if made and ui.is_terminal(sys.stderr) and not any(row.get("error") for row in rows):
        ui.flush_results()
        ui.err(f"next: rumpel enter {text.safe(made[0])}")


def outcome(row: dict[str, Any]) -> str:
    """What this command did to the pod; why it failed is told below the table."""
    if row.get("error"):
        return "failed"
    if row.get("status") == "creating":
        return "in the background"
    if row.get("created"):
        return "created"
    return "updated" if row.get("updated") else "up to date"
