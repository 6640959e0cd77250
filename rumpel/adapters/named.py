"""Files of a work tree that patterns name: `keepIgnored`, `--keep` and `copyIn` mean the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase


def cleaned(patterns: Iterable[str]) -> tuple[str, ...]:
    """As people write them: `conf/` is `conf`, and `./.env` is the one at the top, `/.env`."""
    return tuple(re.sub(r"^(?:\./+)+", "/", one).rstrip("/") or one for one in patterns)


def is_named(path: bytes, patterns: Iterable[str]) -> bool:
    """Does a pattern name it, or a folder it is in?

    A name is one at any depth; with a slash it is a path from the top, so `/x` is there alone.
    They are `cleaned`.
    """
    parts = path.decode("utf-8", "surrogateescape").split("/")
    return any(
        fnmatchcase("/".join(parts[:count]) if "/" in pattern else parts[count - 1], wanted)
        for pattern in patterns
        for wanted in [pattern.removeprefix("/")]
        for count in range(1, len(parts) + 1)
    )
