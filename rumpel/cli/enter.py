"""`rumpel enter`: a login shell in a pod, or one command; makes and starts the pod if needed."""

from __future__ import annotations

import os
import sys

from rumpel import names, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.options import add_pod_making, making
from rumpel.cli.plain import SUPPRESS
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared
    from rumpel.client import Connection

USAGE = "rumpel enter [options] NAME [-- CMD...]"
DESCRIPTION = (
    "Open a login shell in a pod, or run CMD there. A missing pod is made, a stopped\n"
    "one is started. You land in the folder that corresponds to the current one.\n"
    "The exit code is that of CMD."
)
EXAMPLES = (
    ("rumpel enter fix-login", "a shell in the pod"),
    ("rumpel enter fix-login -- make test", "one command"),
    ("rumpel enter fix-login --ignore-failed", "look at what a failed setup left"),
    ("tar c src | rumpel enter a -- tar x", "stdin and stdout pass unchanged"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod")
    parser.add_argument("stray", nargs="*", help=SUPPRESS)
    parser.add_argument(
        "--ignore-failed",
        action="store_true",
        help="go in although a lifecycle command failed, without running it again",
    )
    add_pod_making(parser)


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    if args.stray:
        command = " ".join([*args.stray, *passed])
        raise UsageError(
            f"{args.stray[0]!r} is not an option of enter: commands go behind --",
            hint=f"rumpel enter {args.name} -- {command}",
        )
    if options.json:
        raise UsageError("enter has no --json: its output is the output of the command")
    tty = ui.is_terminal(sys.stdin) and ui.is_terminal(sys.stdout)
    size = os.get_terminal_size(sys.stdout.fileno()) if tty else None
    request = {
        "name": args.name,
        "argv": passed,
        **making(args),
        "ignore_failed": args.ignore_failed,
        "cwd": None,
        "rows": size.lines if size else None,
        "cols": size.columns if size else None,
        "term": os.environ.get("TERM") if tty else None,
    }
    with Interrupts(look=f"rumpel graph {args.name}") as interrupts:
        answer = session.ask(
            options,
            "enter",
            request,
            tty=tty,
            interrupts=interrupts,
            attaching=lambda: attaching(interrupts),
        )
    code = show(options, "enter", answer)
    if answer.error or not isinstance(answer.data, dict):
        return code
    return int(answer.data.get("exit_code", code))


def attaching(interrupts: Interrupts) -> session.OnAttach:
    """Imports what the answer needs, while the daemon works on it."""
    from rumpel.cli import attach, progress  # noqa: F401 - loaded while the daemon works

    def attached(connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
        interrupts.release()
        return attach.attach(connection, message)

    return attached
