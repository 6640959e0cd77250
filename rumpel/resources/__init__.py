"""Shell programs that run inside pods and images; data files beside this one.

Read when imported, so that no event loop ever waits for them.
"""

from __future__ import annotations

from pathlib import Path

_TEXTS = {
    path.name: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.sh")
}


def resource_text(name: str) -> str:
    """The text of a file of this folder."""
    return _TEXTS[name]
