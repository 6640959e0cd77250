"""Asks before a repository's files may touch this machine."""

from __future__ import annotations

import sys

from rumpel import text, ui

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def ask(message: dict[str, Any], *, is_possible: bool) -> bool:
    """Show the list and ask once; anything but yes is no. Without a person the answer is no."""
    if not is_possible:
        return False
    for line in lines(message):
        ui.err(line)
    sys.stderr.write("Allow this for this repository? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
        ui.err()
    return answer.strip().lower() in ("y", "yes")


def lines(message: dict[str, Any]) -> list[str]:
    items = message.get("items") or []
    repo = text.safe(str(message.get("repo") or "this repository"))
    what = "this" if len(items) == 1 else f"these {len(items)} things"
    return [
        f"The configuration of {repo} asks for {what} on your machine:",
        *[f"  - {text.safe(str(item.get('text') or item.get('kind')))}" for item in items],
        "Your answer is kept until the list changes.",
    ]
