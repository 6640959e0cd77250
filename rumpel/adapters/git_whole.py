"""Is the history of a new commit complete? Proven without a process for the everyday commit.

All that new commits name is in the pack that brought them, or stands at the same place in a parent
that is whole (a branch of the user, or it came through the door). That is less than git takes, and
never more: an object that lies about in the user's repository proves nothing, for what it names may
be gone. What cannot be proven here is for `git rev-list`. For SHA-1 only. Blocking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from rumpel.adapters import git_odb
from rumpel.adapters.git_odb import Read
from rumpel.adapters.git_trees import FOLDER

MAX_STEPS = 20_000
"""Commits and trees looked at here; git is faster with many."""
MAX_DEPTH = 200
GITLINK = b"160000"
HEADER = re.compile(rb"tree ([0-9a-f]{40})\n((?:parent [0-9a-f]{40}\n)*)author ")
ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)

Entries = dict[bytes, tuple[bytes, bytes]]
"""Of a tree, by name: mode and binary name of the object."""


class Unproven(Exception):
    """Git has to say."""


def proven(fresh: str, objects: str, tips: Iterable[str], held: Iterable[str]) -> set[str]:
    """Those of `tips` that are whole; of the others nothing is known.

    `fresh` has the new pack, `objects` is the user's; the commits `held` are whole.
    """
    known = {bytes.fromhex(oid) for oid in held}
    asked = {oid: bytes.fromhex(oid) for oid in tips}
    found = {oid for oid, name in asked.items() if name in known}
    if len(found) < len(asked):
        proof = Proof(git_odb.packed_reader(fresh), git_odb.reader(objects), known)
        found |= {oid for oid, name in asked.items() if proof.holds(name)}
    return found


class Proof:
    """What it has proven so far; `held` are the commits it builds on."""

    def __init__(self, new: Read, old: Read, held: Iterable[bytes]) -> None:
        self._new, self._old, self._held = new, old, frozenset(held)
        self._tree_of: dict[bytes, bytes] = {}
        """Of new commits that are proven."""
        self._trees: set[tuple[bytes, tuple[bytes, ...]]] = set()
        self._left = MAX_STEPS

    def holds(self, tip: bytes) -> bool:
        try:
            self._commit(tip)
        except Unproven:
            return False
        return True

    def _commit(self, tip: bytes) -> None:
        """Parents first, without recursion: a history may be long."""
        waiting = [tip]
        while waiting:
            self._step()
            tree, parents = _commit(self._new, waiting[-1])
            if waiting[-1] not in self._tree_of:
                missing = [one for one in parents if not self._is_whole(one)]
                if missing:
                    waiting += missing
                    continue
                self._tree(tree, [self._base(parent) for parent in parents], 0)
                self._tree_of[waiting[-1]] = tree
            waiting.pop()

    def _is_whole(self, commit: bytes) -> bool:
        return commit in self._held or commit in self._tree_of

    def _base(self, commit: bytes) -> bytes:
        return self._tree_of.get(commit) or _commit(self._old, commit)[0]

    def _tree(self, tree: bytes, bases: list[bytes], depth: int) -> None:
        """All below is new, or at the same place in one of `bases`."""
        key = (tree, tuple(bases))
        if tree in bases or key in self._trees:
            return
        self._step()
        if depth > MAX_DEPTH:
            raise Unproven
        known = [_entries(self._new(base) or self._old(base)) for base in bases]
        for name, (mode, oid) in _entries(self._new(tree)).items():
            before = [entries[name] for entries in known if name in entries]
            if mode == FOLDER:
                below = [base for kind, base in before if kind == FOLDER]
                self._tree(oid, below, depth + 1)
            elif mode != GITLINK and not any(_is_blob(kind) and oid == at for kind, at in before):
                self._blob(oid)
        self._trees.add(key)

    def _blob(self, oid: bytes) -> None:
        found = self._new(oid)
        if found is None or found[0] != git_odb.BLOB:
            raise Unproven

    def _step(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Unproven


def _is_blob(mode: bytes) -> bool:
    return mode not in (FOLDER, GITLINK)


def _commit(read: Read, name: bytes) -> tuple[bytes, list[bytes]]:
    """Its tree and its parents."""
    found = read(name)
    head = HEADER.match(found[1]) if found is not None and found[0] == git_odb.COMMIT else None
    if head is None:
        raise Unproven
    parents = [line.partition(b" ")[2] for line in head[2].splitlines()]
    return bytes.fromhex(head[1].decode()), [bytes.fromhex(oid.decode()) for oid in parents]


def _entries(found: tuple[int, bytes] | None) -> Entries:
    if found is None or found[0] != git_odb.TREE:
        raise Unproven
    return {name: (mode, oid) for mode, name, oid in _parsed(found[1])}


def _parsed(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    position = 0
    while position < len(data):
        entry = ENTRY.match(data, position)
        if entry is None:
            raise Unproven
        yield entry[1], entry[2], entry[3]
        position = entry.end()
