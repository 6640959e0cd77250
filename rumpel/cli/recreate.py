"""`rumpel recreate`: bring a pod up to its configuration, and keep all work in it."""

from __future__ import annotations

from rumpel import names, text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.options import add_pod_making, making
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Make a pod what its configuration says now. What changed decides what is done:\n"
    "nothing, lifecycle commands again, a new container, or a new image. Commits,\n"
    "branches, stashes, index, changed and untracked files and what is in progress\n"
    "stay, byte for byte; ignored files go, but for keepIgnored (.env, .env.*,\n"
    ".envrc), copyIn and --keep. The old container goes when the new one was found\n"
    "good; if anything fails before, it is started again."
)
EXAMPLES = (
    ("rumpel recreate fix-login", "after devcontainer.json changed"),
    ("rumpel recreate fix-login --plan", "what would be done, and why"),
    ("rumpel recreate fix-login --keep target", "ignored files that stay"),
    ("rumpel recreate fix-login --force", "a new container in any case"),
    ("rumpel recreate fix-login --refresh image", "do one step again"),
)
DONE = {
    "nothing": "up to date",
    "later": "up to date; what changed counts from now on",
    "lifecycle": "lifecycle commands ran",
    "ports": "ports are forwarded",
    "start": "started",
    "services": "services are as configured",
    "new container": "new container",
    "new image": "new image",
}
WOULD = {
    "nothing": "nothing to do: it is up to date",
    "later": "nothing to do: what changed would count from then on",
    "lifecycle": "would run lifecycle commands",
    "ports": "would forward ports",
    "start": "would start it",
    "services": "would start services, or make new containers for them",
    "new container": "would make a new container",
    "new image": "would make a new image, and a new container when it is another one",
}
SHOWN = 10
"""So many ignored files and folders are named."""


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod")
    parser.add_argument("--plan", action="store_true", help="only tell what would be done, and why")
    parser.add_argument(
        "--force", action="store_true", help="make a new container also when nothing changed"
    )
    parser.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="PATH",
        help="ignored file or folder (or pattern) that stays; may be repeated",
    )
    parser.add_argument(
        "--clean", action="store_true", help="a new container without any ignored file"
    )
    parser.add_argument(
        "--refresh",
        action="append",
        default=[],
        metavar="STEP",
        help="do this step again (rumpel graph NAME shows them); may be repeated",
    )
    parser.add_argument(
        "--no-prebuild",
        action="store_true",
        help="run onCreateCommand and updateContentCommand in the new container",
    )
    add_pod_making(parser)


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    if args.clean and args.keep:
        raise UsageError(
            "--clean keeps no ignored file, so there is nothing for --keep",
            hint="leave one of them out; nothing was done",
        )
    request: dict[str, object] = {
        "name": args.name,
        "plan": args.plan,
        "force": args.force,
        "keep": args.keep,
        "clean": args.clean,
        "refresh": args.refresh,
        **making(args),
        "no_prebuild": args.no_prebuild,
    }
    with Interrupts(look=f"rumpel graph {args.name}") as interrupts:
        answer = session.ask(options, "recreate", request, interrupts=interrupts)
    return show(options, "recreate", answer, lambda row: render(row, args, options))


def render(row: dict[str, Any], args: Arguments, options: Options) -> None:
    name = text.safe(str(row["name"]))
    if options.quiet:
        ui.out(name)
        return
    words = WOULD if args.plan else DONE
    ui.out(f"{name}: {words[row['action']]}")
    if args.plan:
        for reason in row["reasons"]:
            for line in reasons(reason):
                ui.out(f"  {line}")
    for line in _going(row, "would go" if args.plan else "went"):
        ui.out(f"  {line}")


def _going(row: dict[str, Any], word: str) -> list[str]:
    """Ignored files that stay behind."""
    gone = row.get("gone", [])
    if gone is None:
        return [f"ignored files {word}, but for those that are kept (start it to see which)"]
    lines = [f"{word} (ignored): {_counted(one)}" for one in gone[:SHOWN]]
    more = len(gone) - len(lines) + row.get("more_gone", 0)
    return [*lines, f"and {more} more"] if more > 0 else lines


def _counted(one: dict[str, Any]) -> str:
    path, files = text.safe(str(one["path"])), one["files"]
    return path if files is None else f"{path} ({text.count(files, 'file')})"


def reasons(reason: dict[str, Any]) -> list[str]:
    """A line for each value that differs."""
    from rumpel.cli import render_graph

    step = text.safe(render_graph.short_id(str(reason["node"])))
    if reason["kind"] != "input":
        return [f"{step}: {render_graph.reason(reason)}"]
    found = [*_differences(str(reason["subject"]), reason["before"], reason["after"])]
    lines = [
        f"{step}: {text.safe(name)} {render_graph.value(before)} -> {render_graph.value(after)}"
        for name, before, after in found[:SHOWN]
    ]
    more = len(found) - len(lines)
    return [*lines, f"{step}: and {more} more"] if more else lines


def _differences(name: str, before: object, after: object) -> Iterator[tuple[str, object, object]]:
    """Of two objects the keys that differ, and of those that are objects theirs."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        yield name, before, after
        return
    for key in sorted({*before, *after}, key=str):
        if before.get(key) != after.get(key):
            yield from _differences(f"{name}.{key}", before.get(key), after.get(key))
