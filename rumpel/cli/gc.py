"""`rumpel gc`: where the room went, and what nothing needs any more goes."""

from __future__ import annotations

import sys

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

    Row = dict[str, Any]

DESCRIPTION = (
    "Remove what rumpel made and nothing needs any more, here and on all hosts that\n"
    "answer: images no step and no container stands on, volumes and helpers of pods\n"
    "that were deleted, trash whose time is over, reports older than a week. Then\n"
    "show what the rest takes. Never touches a pod, nor what is not known for sure."
)
EXAMPLES = (
    ("rumpel gc -n", "only show what takes room, and what would go"),
    ("rumpel gc", "remove it"),
    ("rumpel gc --all", "also images that only new pods would start from"),
    ("rumpel gc --host ssh://build", "on one host only"),
)
LIMIT_S = 400.0


def add_arguments(parser: Declared) -> None:
    parser.add_argument("-n", "--dry-run", action="store_true", help="only show what would go")
    parser.add_argument(
        "-a",
        "--all",
        action="store_true",
        help="also images of repositories that have no pods now",
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    with Interrupts(look="rumpel gc -n") as interrupts:
        answer = session.ask(
            options,
            "gc",
            {"dry_run": args.dry_run, "all": args.all},
            interrupts=interrupts,
            within_s=LIMIT_S,
        )
    return show(options, "gc", answer, lambda rows: render(rows, options, is_dry=args.dry_run))


def render(rows: list[Row], options: Options, *, is_dry: bool) -> None:
    items = [(row, item) for row in rows for item in row["items"]]
    for row, item in items:
        if item["error"]:
            continue
        name = text.safe(str(item["name"]))
        if options.quiet:
            ui.out(name)
            continue
        size = f" ({text.size(item['size_bytes'])})" if item["size_bytes"] else ""
        place = "" if row["host"] in (None, "local") else f" on {row['host']}"
        done = "would remove" if is_dry else "removed"
        ui.out(f"{done} {item['kind']} {name}{size}{place}: {item['why']}")
    if options.quiet:
        return
    _ledger(rows)
    gained = sum(item["size_bytes"] for _, item in items if item["removed"] or is_dry)
    ui.out(f"{text.size(gained)} {'would be' if is_dry else 'were'} freed")
    if any(row["busy"] for row in rows):
        ui.flush_results()
        ui.err("something is being made: images were left alone")


def _ledger(rows: list[Row]) -> None:
    """Pods, largest first, and what all of them share."""
    far = any(row["host"] not in (None, "local") for row in rows)
    headers = ("POD", "FILES", "VOLUMES", "IMAGE", "REPOSITORY", *(["HOST"] if far else []))
    cells = [
        [
            text.safe(str(pod["name"])),
            *(text.size(pod[f"{key}_bytes"]) for key in ("container", "volume", "image")),
            text.safe(str(pod["repo"])),
            *([str(row["host"])] if far else []),
        ]
        for row in rows
        for pod in sorted(row["pods"], key=lambda pod: -pod["container_bytes"])
    ]
    if cells:
        for line in text.table(headers, cells, columns=ui.columns(sys.stdout)):
            ui.out(line)
    for row in rows:
        if row["why"]:
            continue
        if row["host"] is None:
            ui.out(f"this machine: {text.size(row['total_bytes'])} of state")
            continue
        parts = [f"{text.count(row['images'], 'image')} {text.size(row['image_bytes'])}"]
        names = (("repository", "repositories"), ("agent", "agents"), ("other", "other"))
        parts += [
            f"{name} {text.size(row[f'{key}_bytes'])}" for key, name in names if row[f"{key}_bytes"]
        ]
        total = text.size(row["total_bytes"])
        words = f"{row['host']}: {total} in all; shared by pods: {', '.join(parts)}"
        for line in ui.prose(words, stream=sys.stdout):
            ui.out(line)
