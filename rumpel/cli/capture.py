"""`rumpel capture`: the screen of the agent that runs in a pod, as text."""

from __future__ import annotations

import sys

from rumpel import names, text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.attach_agent import add_agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Print what is on the screen of the agent that runs in a pod, as text. Nobody who\n"
    "looks at it notices."
)
EXAMPLES = (
    ("rumpel capture fix-login", "what you would see now"),
    ("rumpel capture fix-login --all | less", "with what scrolled away"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod")
    parser.add_argument("-a", "--all", action="store_true", help="with what scrolled away")
    add_agent(parser)


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    request: dict[str, object] = {"name": args.name, "agent": args.agent, "all": args.all}

    def render(data: dict[str, str]) -> None:
        for line in data["text"].rstrip("\n").split("\n"):
            ui.out(text.safe(line.rstrip()))
        if not options.quiet and ui.is_terminal(sys.stdout) and ui.is_terminal(sys.stderr):
            ui.flush_results()
            ui.err(f"next: rumpel send {args.name} TEXT; rumpel attach {args.name}")

    return show(options, "capture", session.ask(options, "capture", request), render)
