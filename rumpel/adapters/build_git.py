"""What of a repository in a build context is sent, and what of it a build can tell apart.

Pods publish refs into the user's repository and `git gc` moves refs and objects about at any time:
neither makes an image stale. Blocking: call it in a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

INSIDE = re.compile(r"(?:^|/)\.git/(?:modules/.+/)?(?:worktrees/[^/]+/)?")
"""What begins the path of a file of git's own, also of a submodule or another worktree."""
UNSENT = re.compile(
    INSIDE.pattern + r"(?:(?:logs/)?refs/(?:remotes/rumpelpod|rumpel)(?:/|$)"
    r"|objects/(?:.+/)?tmp_[^/]+$|gc\.pid$|(?:.+/)?[^/]+\.lock$)"
)
"""What pods publish and we hold is no part of the project; what is just written comes and goes."""
UNTOLD = re.compile(
    INSIDE.pattern + r"(?:objects/(?!info/alternates$)|logs/|rr-cache/|info/refs$|gc\.log$)"
)
"""Objects are known by the refs; the rest is what `git gc` writes or thins out."""
REF = re.compile(f"(?P<folder>{INSIDE.pattern})(?:packed-refs$|(?P<ref>refs/.+))")
PACKED = re.compile(rb"^(\w+) (refs/.+)$", re.MULTILINE)
OURS = re.compile(rb"refs/(?:remotes/rumpelpod|rumpel)/")


def refs(root: Path, paths: Iterable[str]) -> list[tuple[str, bytes]]:
    """(full path, what it points to) of the refs among these files, wherever git keeps them now.

    Loose ones first, as git reads them: one that goes meanwhile is packed by then. Ours are left
    out. Raises OSError.
    """
    found: dict[str, bytes] = {}
    packed: list[tuple[str, str]] = []
    for path in paths:
        match = REF.search(path)
        if match is None:
            continue
        if match["ref"] is None:
            packed.append((path[: match.end("folder")], path))
            continue
        try:
            found[path] = (root / path).read_bytes().strip()
        except FileNotFoundError:
            continue
    for folder, path in packed:
        for oid, ref in PACKED.findall((root / path).read_bytes()):
            if not OURS.match(ref):
                found.setdefault(folder + ref.decode("utf-8", "surrogateescape"), oid)
    return sorted(found.items())
