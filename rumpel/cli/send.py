"""`rumpel send`: type something into the terminal of the agent that runs in a pod."""

from __future__ import annotations

import sys

from rumpel import names, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.attach_agent import add_agent
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Put TEXT into the terminal of the agent that runs in a pod, and press Enter.\n"
    "With - as TEXT it is read from stdin. `rumpel wait` then waits for the answer."
)
EXAMPLES = (
    ("rumpel send fix-login 'Now write a test'", "as if you had typed it"),
    ("cat task.md | rumpel send fix-login -", "a longer one"),
    ("rumpel send --keys fix-login 1", "one key, without Enter"),
)
MAX_CHARS = 100_000


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod")
    parser.add_argument("text", metavar="TEXT", help="what to type; - reads stdin")
    parser.add_argument(
        "--keys", action="store_true", help="as single keys, without Enter at the end"
    )
    add_agent(parser)


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    typed = sys.stdin.read(MAX_CHARS + 1) if args.text == "-" else args.text
    typed = typed.rstrip("\n")
    if not typed:
        raise UsageError("there is nothing to send")
    if len(typed) > MAX_CHARS:
        raise UsageError(f"more than {MAX_CHARS} characters: put them into a file in the pod")
    request: dict[str, object] = {
        "name": args.name,
        "agent": args.agent,
        "text": typed,
        "enter": not args.keys,
    }
    answer = session.ask(options, "send", request)
    if answer.error is None and not (options.quiet or options.json) and ui.is_terminal(sys.stderr):
        ui.err(f"next: rumpel wait {args.name}; rumpel capture {args.name}")
    return show(options, "send", answer)
