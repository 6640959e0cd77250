"""`rumpel enter`: a login shell in a pod, or one command; makes and starts the pod if needed."""

from __future__ import annotations

import os
import sys

from rumpel import names, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.create import add_shared_arguments
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from rumpel.cli.options import Options
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
    ("tar c src | rumpel enter a -- tar x", "stdin and stdout pass unchanged"),
)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod")
    parser.add_argument("stray", nargs="*", help=_suppressed())
    add_shared_arguments(parser)


def run(args: Namespace, passed: list[str], options: Options) -> int:
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
        "config": args.config,
        "trust": args.trust,
        "cwd": None,
        "rows": size.lines if size else None,
        "cols": size.columns if size else None,
        "term": os.environ.get("TERM") if tty else None,
    }
    with Interrupts(look=f"rumpel graph {args.name}") as interrupts:

        def attach(connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
            from rumpel.cli import attach as terminal

            interrupts.release()
            return terminal.attach(connection, message)

        answer = session.ask(
            options, "enter", request, tty=tty, interrupts=interrupts, on_attach=attach
        )
    code = show(options, "enter", answer)
    if answer.error or not isinstance(answer.data, dict):
        return code
    return int(answer.data.get("exit_code", code))


def _suppressed() -> str:
    from argparse import SUPPRESS

    return SUPPRESS
