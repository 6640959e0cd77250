"""What `doctor` says of one thing it looked at, and what would put it right."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Fix = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Finding:
    """`state`: ok, warning or problem; `hint` is what to type; `code` is for programs, and stable.

    `fix` is what --fix does. It destroys nothing that somebody may still want; without one only
    the user can put it right.
    """

    check: str
    state: str
    text: str
    hint: str | None = None
    code: str | None = None
    fix: Fix | None = None

    def row(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "code": self.code,
            "state": self.state,
            "text": self.text,
            "hint": self.hint,
            "fixable": self.fix is not None,
        }
