"""Asks before a repository's files may touch this machine, and which of several is meant."""

from __future__ import annotations

import sys

from rumpel import text, ui

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def answer(message: dict[str, Any], *, is_possible: bool) -> dict[str, Any]:
    """What the daemon is told."""
    if message.get("event") == "choose":
        return {"item": choose(message, is_possible=is_possible)}
    return {"granted": ask(message, is_possible=is_possible)}


def choose(message: dict[str, Any], *, is_possible: bool) -> str | None:
    """By its number; anything else is none of them."""
    if not is_possible:
        return None
    items = [str(item) for item in message.get("items") or ()]
    ui.err(f"There are {len(items)} {text.safe(str(message.get('what')))}:")
    for number, item in enumerate(items, 1):
        ui.err(f"  {number}  {text.safe(item)}")
    said = _said(f"Which one? [1-{len(items)}] ")
    return dict(zip(map(str, range(1, len(items) + 1)), items, strict=True)).get(said)


def ask(message: dict[str, Any], *, is_possible: bool) -> bool:
    """Show the list and ask once; anything but yes is no. Without a person the answer is no."""
    if not is_possible:
        return False
    for line in lines(message):
        ui.err(line)
    return _said("Allow this for this repository? [y/N] ").lower() in ("y", "yes")


def _said(question: str) -> str:
    sys.stderr.write(question)
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
        ui.err()
    return line.strip()


def lines(message: dict[str, Any]) -> list[str]:
    items = message.get("items") or []
    repo = text.safe(str(message.get("repo") or "this repository"))
    what = "this" if len(items) == 1 else f"these {len(items)} things"
    return [
        f"The configuration of {repo} asks for {what} on your machine:",
        *[f"  - {text.safe(str(item.get('text') or item.get('kind')))}" for item in items],
        "Your answer is kept until the list changes.",
    ]
