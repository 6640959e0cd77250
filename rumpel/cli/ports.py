"""`rumpel ports`: which ports of a pod appear on this machine, and where."""

from __future__ import annotations

import sys

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Show the ports of a pod that are forwarded to this machine: those of\n"
    "forwardPorts in devcontainer.json and those of `rumpel forward-port`. A pod\n"
    "keeps its local ports, also when it is stopped or the daemon restarts."
)
EXAMPLES = (
    ("rumpel ports fix-login", "a table"),
    ("rumpel ports fix-login -q", "only the local addresses, one a line"),
    ("rumpel forward-port fix-login:8080", "forward one more"),
)
HEADERS = ("CONTAINER", "LOCAL", "LABEL", "STATE")


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="the pod (default: all)")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    answer = session.ask(options, "ports", {"name": args.name})
    return show(options, "ports", answer, lambda rows: render(rows, options, args.name))


def render(rows: list[dict[str, Any]], options: Options, name: str | None) -> None:
    if options.quiet:
        for row in rows:
            if row["address"]:
                ui.out(text.safe(str(row["address"])))
        return
    if not rows and ui.is_terminal(sys.stdout):
        whose = "" if name is None else f" of {name}"
        ui.err(f"no port{whose} is forwarded: rumpel forward-port {name or 'POD'}:3000 does it")
        return
    with_pods = name is None
    cells = [[*([str(row["pod"])] if with_pods else []), *_cells(row)] for row in rows]
    headers = ("POD", *HEADERS) if with_pods else HEADERS
    for line in text.table(headers, cells, columns=ui.columns(sys.stdout)):
        ui.out(line)


def _cells(row: dict[str, Any]) -> list[str]:
    state = f"{row['state']}: {row['reason']}" if row["reason"] else row["state"]
    return [str(row["key"]), str(row["address"] or "-"), str(row["label"] or "-"), str(state)]
