"""What a terminal shows after something was written to it, as lines.

A process of its own: what is written comes from a pod, and can be made to cost hours. Whoever
starts it ends it.
"""

from __future__ import annotations

import re
import sys

import pyte


def lines(written: bytes, cols: int, rows: int) -> list[str]:
    screen = pyte.Screen(cols, rows)
    stream = pyte.ByteStream(screen)
    for piece in re.split(rb"(?=[\x1b\x9b])", written):
        try:
            stream.feed(piece)
        except (TypeError, ValueError, LookupError, UnboundLocalError):
            stream = pyte.ByteStream(screen)  # what no terminal knows breaks it
    return [line.replace("\xa0", " ").rstrip() for line in screen.display]


if __name__ == "__main__":
    shown = lines(sys.stdin.buffer.read(), int(sys.argv[1]), int(sys.argv[2]))
    sys.stdout.buffer.write("\n".join(shown).encode("utf-8", "replace"))
