"""What `rumpel claude` and its like, and `rumpel attach`, have in common: look at a session."""

from __future__ import annotations

import os
import sys

from rumpel import names, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.enter import attaching
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.options import add_pod_making, making
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DETACHES = "Ctrl-a d"


def add_arguments(parser: Declared, title: str, its_own: str) -> None:
    """`its_own`: what the agent calls it that it does not ask."""
    parser.add_argument("name", metavar="NAME", help="the pod; made when it is missing")
    parser.add_argument(
        "-d", "--detach", action="store_true", help="start it and do not look at it"
    )
    parser.add_argument(
        "--ask",
        f"--no-{its_own}",
        action="store_true",
        help=f"{title} asks before it does things",
    )
    add_pod_making(parser)


def run(agent: str, args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    request: dict[str, object] = {
        "name": args.name,
        "agent": agent,
        "argv": passed,
        "asks": args.ask,
        "detach": args.detach,
        **making(args),
    }
    if args.detach:
        with Interrupts(look=f"rumpel graph {args.name}") as interrupts:
            answer = session.ask(options, "agent", request, interrupts=interrupts)
        return show(options, agent, answer, lambda data: ui.err(told(data)))
    return look(options, agent, "agent", request)


def look(options: Options, command: str, verb: str, request: dict[str, object]) -> int:
    """Ask for a session and take its terminal until it ends or is left."""
    if options.json:
        raise UsageError(f"{command} has no --json: what it shows is a terminal")
    if not (ui.is_terminal(sys.stdin) and ui.is_terminal(sys.stdout)):
        name = request["name"]
        raise UsageError(
            f"{command} needs a terminal",
            hint=f"rumpel {command} -d {name}   starts it only"
            if verb == "agent"
            else f"rumpel capture {name}   shows what is on its screen",
        )
    size = os.get_terminal_size(sys.stdout.fileno())
    request |= {"rows": size.lines, "cols": size.columns, "term": os.environ.get("TERM")}
    with Interrupts(look=f"rumpel graph {request['name']}") as interrupts:
        answer = session.ask(
            options,
            verb,
            request,
            tty=True,
            interrupts=interrupts,
            attaching=lambda: attaching(interrupts),
        )
    return show(options, command, answer, lambda data: ui.err(told(data)))


def told(data: dict[str, Any]) -> str:
    if data.get("state") != "running":
        return f"{data.get('agent', 'the agent')} has ended"
    again = f"rumpel {data['agent']} {data['name']}"
    return f"{data['agent']} goes on in pod {data['name']}: {again}   looks at it"
