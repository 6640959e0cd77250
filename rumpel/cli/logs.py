"""`rumpel logs`: what the steps of a pod wrote."""

from __future__ import annotations

from rumpel import text, ui
from rumpel.cli import follow
from rumpel.cli.answer import show
from rumpel.cli.progress import sentence
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Show what the steps behind a pod wrote when they last ran: builds, the commands\n"
    "of devcontainer.json, and others. With -f also what they write while they run,\n"
    "until nothing runs for the pod. With NODE: the lines of that step alone, or what\n"
    "a service beside the pod prints."
)
EXAMPLES = (
    ("rumpel logs fix-login", "all that is kept"),
    ("rumpel logs fix-login postCreateCommand", "of one step"),
    ("rumpel logs -f fix-login", "watch a pod come to be"),
    ("rumpel logs fix-login image --json", "with states and times"),
    ("rumpel logs -f -n 20 fix-login db", "of a service beside the pod"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="a pod (a unique beginning will do)")
    parser.add_argument(
        "node", nargs="?", metavar="NODE", help="a step (rumpel graph), or a service"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on until nothing runs for the pod"
    )
    parser.add_argument(
        "-n", "--lines", type=int, metavar="N", help="of what is there already, the last N lines"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.lines is not None and args.lines < 0:
        raise UsageError("-n takes a number that is not negative")
    kept: list[dict[str, Any]] = []
    ends = Ends(is_one=args.node is not None, is_quiet=options.quiet)
    has_text = False

    def take(message: dict[str, Any]) -> None:
        nonlocal has_text
        piece = message["output"]
        has_text = has_text or bool(piece["text"])
        if not options.json:
            ends.render(piece)
        elif args.follow:
            follower.envelope("logs", [piece])
        else:
            kept.append(piece)

    follower = follow.Follower(options, take, "output")
    request = {"name": args.name, "node": args.node, "follow": args.follow, "lines": args.lines}
    again = ["rumpel logs -f", args.name, *([args.node] if args.node else [])]
    answer = follow.ask(options, "logs", request, follower, again=lambda: " ".join(again))
    if answer.error is None:
        answer.data = kept
        if args.follow and options.json:
            return answer.exit_code
        if not has_text and not options.quiet and not options.json:
            ui.notice("nothing was written")
    return show(options, "logs", answer)


class Ends:
    """Lines of steps, with the name of the step before each unless only one is asked for."""

    def __init__(self, *, is_one: bool, is_quiet: bool) -> None:
        self.is_one, self.is_quiet = is_one, is_quiet

    def render(self, piece: dict[str, Any]) -> None:
        name = text.safe(str(piece["name"]))
        for line in text.safe_lines(str(piece["text"])):
            ui.out(line if self.is_one else f"{name} | {line}")
        is_told = piece["state"] == "failed" or not piece.get("ended_at")
        if piece["state"] != "running" and is_told and not self.is_quiet:
            ui.flush_results()
            ui.err(f"{name} · {sentence(piece)}")
