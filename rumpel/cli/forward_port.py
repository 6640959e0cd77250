"""`rumpel forward-port`: one more port of a pod at a local port, or no more."""

from __future__ import annotations

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.create import check_names
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Forward a port of a pod to 127.0.0.1 of this machine, and print the address. It\n"
    "stays forwarded, at the same local port, until --remove, or until the pod is\n"
    "deleted. Without LOCAL the same number is taken when it is free, else the next\n"
    "free one; with LOCAL that one, or an error. A service that listens on the pod's\n"
    "own 127.0.0.1 is reached."
)
EXAMPLES = (
    ("rumpel forward-port fix-login:3000", "3000 here, or the next free port"),
    ("rumpel forward-port fix-login:3000 8080", "8080 here"),
    ("rumpel forward-port fix-login:3000 0", "any free port"),
    ("rumpel forward-port fix-login:db:5432", "of the service db beside it"),
    ("rumpel forward-port --remove fix-login:3000", "close it again"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument(
        "port",
        metavar="POD:PORT",
        help="a port in a pod (POD:SERVICE:PORT: of a service beside it)",
    )
    parser.add_argument(
        "local", nargs="?", type=int, metavar="LOCAL", help="the local port (0: any free one)"
    )
    parser.add_argument("--label", metavar="TEXT", help="what `rumpel ports` shows for it")
    parser.add_argument(
        "--remove", "--stop", action="store_true", help="do not forward this port any more"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    pod, colon, port = args.port.partition(":")
    if not colon or not port:
        raise UsageError(
            f"{text.safe(args.port)!r} is not POD:PORT", hint="rumpel forward-port my-task:3000"
        )
    check_names([pod])
    request: dict[str, object] = {"name": pod, "port": port, "local": args.local}
    request |= {"label": args.label, "remove": bool(args.remove)}
    with Interrupts(look=f"rumpel ports {pod}") as interrupts:
        answer = session.ask(options, "forward-port", request, interrupts=interrupts)
    return show(options, "forward-port", answer, render)


def render(row: dict[str, Any]) -> None:
    """The address, for scripts."""
    ui.out(text.safe(str(row["address"])))
