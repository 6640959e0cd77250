"""`rumpel image`: the image that pods start from, built or fetched beforehand."""

from __future__ import annotations

from rumpel import text, ui
from rumpel.cli import render_graph, session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Build the image of this configuration from its Dockerfile, or fetch the one it\n"
    "names, as `rumpel create` would begin: what is there already and has not changed\n"
    "is not made again. Says which it was, and why."
)
EXAMPLES = (
    ("rumpel image build", "build it, unless nothing changed"),
    ("rumpel image build --pull --no-cache", "from nothing, on the newest base"),
    ("rumpel image fetch --pull", "ask the registry for a newer one"),
    ("rumpel image build --host ssh://build", "on another host"),
)
ACTIONS = ("build", "fetch")
HOW = {
    "cached": "there already, nothing changed",
    "found": "found on the engine",
    "pulled": "pulled",
    "built": "built",
    "moved": "brought from this machine",
}


def add_arguments(parser: Declared) -> None:
    parser.add_argument(
        "action", choices=ACTIONS, metavar="ACTION", help=text.listing(ACTIONS, "or")
    )
    parser.add_argument(
        "--no-cache", action="store_true", help="build: no layer of an earlier build counts"
    )
    parser.add_argument(
        "--pull", action="store_true", help="ask the registry for a newer image, or base image"
    )
    parser.add_argument("-f", "--force", action="store_true", help="also when nothing changed")
    parser.add_argument(
        "--config", metavar="FILE", help="the devcontainer.json to use, when there are several"
    )
    parser.add_argument(
        "--trust", action="store_true", help="allow what the configuration does to this machine"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.no_cache and args.action == "fetch":
        raise UsageError("--no-cache goes with build", hint="rumpel image fetch --pull")
    names = ("action", "no_cache", "pull", "force", "config", "trust")
    request: dict[str, object] = {name: getattr(args, name) for name in names}
    with Interrupts(look="rumpel image " + args.action) as interrupts:
        answer = session.ask(options, "image", request, interrupts=interrupts)
    return show(options, "image", answer, lambda row: render(row, options))


def render(row: dict[str, Any], options: Options) -> None:
    if options.quiet:
        ui.out(text.safe(str(row["image_id"])))
        return
    took = "" if row["hit"] else f" in {text.duration(float(row['duration_s']))}"
    place = "" if row["host"] == "local" else f" on {row['host']}"
    how = HOW.get(str(row["how"]), str(row["how"]))
    ui.out(text.safe(f"{row['tag']}{place}: {how}{took}"))
    for one in row["reasons"]:
        ui.out(f"  because   {render_graph.reason(one)}")
    for one in row["services"]:
        how = HOW.get(str(one["how"]), str(one["how"]))
        ui.out(text.safe(f"  service   {one['service']}: {how}"))
