"""Trees that are small on the disk and endless when walked: counted before the user has them.

Eleven objects can be ten million paths (notes/reliability.md F3), and git walks every one in a
diff or a merge. Each new tree is read once and its parts are counted once, whatever it repeats.
Trees that the user has already are taken as they are, unless new ones repeat them by the
thousand. Blocking.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rumpel.adapters.git_limits import Limits, Refused, passed

ENTRY_20 = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)
ENTRY_32 = re.compile(rb"([0-7]+) ([^\0]+)\0(.{32})", re.DOTALL)
FOLDER = b"40000"
MAX_LENT = 1000
"""Of the user's trees in a new one, each time it is met, that are not looked into."""

Read = Callable[[bytes], bytes | None]
"""The data of a tree by its binary name; None for one that is not at hand."""
Old = Callable[[], tuple[Read, bytes | None]]
"""How to read the user's trees, and the one of the user's HEAD: it shows what is usual."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a tree is when walked: paths, trees of the user in it, levels, bytes of a path."""

    paths: int
    lent: int = 0
    depth: int = 0
    path_bytes: int = 0


LENT = Extent(0, lent=1)


def check(trees: list[bytes], read: Read, old: Old, limits: Limits) -> None:
    """Raises Refused when one of the new `trees` is too much."""
    book = _Book(read, limits)
    if all(book.extent(name).lent <= MAX_LENT for name in trees):
        return
    # Much of what the user has is in it, or the same again and again: then all of it counts.
    read_old, base = old()
    full = _Book(lambda name: read(name) or read_old(name), limits)
    if base is not None:
        full.most = max(limits.paths, 2 * _paths(read_old, base))
    for name in trees:
        full.extent(name)


def _paths(read: Read, tree: bytes) -> int:
    book = _Book(read, Limits())
    book.most = 1 << 62
    return book.extent(tree).paths


class _Book:
    """Extents of trees, each found out once."""

    def __init__(self, read: Read, limits: Limits) -> None:
        self._read, self._limits = read, limits
        self._known: dict[bytes, Extent] = {}
        self._parts: dict[bytes, tuple[Extent, list[tuple[bytes, int]]]] = {}
        self.most = limits.paths

    def extent(self, tree: bytes) -> Extent:
        """Deepest first, without recursion: the tree decides how deep it is."""
        waiting = [tree]
        while waiting:
            name = waiting[-1]
            if name in self._known:
                waiting.pop()
                continue
            if name not in self._parts:
                data = self._read(name)
                if data is None:
                    self._known[name] = LENT
                    continue
                self._parts[name] = self._opened(name, data)
            missing = [part for part, _ in self._parts[name][1] if part not in self._known]
            if missing:
                waiting.extend(missing)
                continue
            self._known[name] = self._summed(*self._parts.pop(name))
        return self._known[tree]

    def _opened(self, tree: bytes, data: bytes) -> tuple[Extent, list[tuple[bytes, int]]]:
        """What lies in it directly, and the trees in it with the lengths of their names."""
        files, longest, parts = 0, 0, []
        entry = ENTRY_20 if len(tree) == 20 else ENTRY_32
        for mode, name, oid in entry.findall(data):
            if mode.lstrip(b"0") == FOLDER:
                parts.append((oid, len(name)))
            else:
                files += 1
                longest = max(longest, len(name))
        return Extent(files, path_bytes=longest), parts

    def _summed(self, own: Extent, parts: list[tuple[bytes, int]]) -> Extent:
        found = [(self._known[part], size) for part, size in parts]
        whole = Extent(
            own.paths + len(parts) + sum(part.paths for part, _ in found),
            sum(part.lent for part, _ in found),
            1 + max((part.depth for part, _ in found), default=0),
            max([own.path_bytes, *(size + 1 + part.path_bytes for part, size in found)]),
        )
        if whole.paths > self.most:
            raise passed("has a tree with more", self.most, "paths")
        if whole.depth > self._limits.tree_depth:
            raise passed("has a tree with more", self._limits.tree_depth, "levels")
        if whole.path_bytes > self._limits.path_bytes:
            raise Refused(
                f"refused: the pod has a path of {whole.path_bytes} bytes "
                f"(limit {self._limits.path_bytes})",
                details={"limit": "path bytes"},
            )
        return whole
