"""Is the history of a new commit complete? Proven without a process for the everyday commit.

All that new commits name is in the pack that brought them, or stands at the same place in a parent
that is whole (a branch of the user, or it came through the door). That is less than git takes, and
never more: an object that lies about in the user's repository proves nothing, for what it names may
be gone. What cannot be proven here, at small cost, is for `git rev-list`. For SHA-1 only. Blocking.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator

from rumpel.adapters import git_odb
from rumpel.adapters.git_trees import FOLDER

MAX_STEPS = 50_000
"""Objects of the pack, parents and entries of trees looked at; git is faster with many."""
MAX_SECONDS = 2.0
"""A pack can be made so that each look takes long; 50,000 steps take a tenth of a second."""
MAX_OBJECT_BYTES = 1 << 20
"""Of a commit or a tree. Blobs are never read."""
MAX_PARENTS = 8
MAX_DEPTH = 200
GITLINK = b"160000"
FILES = frozenset({b"100644", b"100664", b"100755", b"120000"})
"""Other modes mean now this, now that to git; it shall say itself what it makes of them."""
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
        with contextlib.suppress(Unproven):
            proof = Proof(fresh, objects, known)
            found |= {oid for oid, name in asked.items() if proof.holds(name)}
    return found


class Proof:
    """What it has proven so far; `held` are the commits it builds on."""

    def __init__(self, fresh: str, objects: str, held: Iterable[bytes]) -> None:
        """Raises Unproven for a pack that is not an everyday one."""
        self._left, self._ends_at = MAX_STEPS, time.monotonic() + MAX_SECONDS
        self._read_new = git_odb.packed_reader(fresh)
        self._read_old = git_odb.reader(objects, most_bytes=MAX_OBJECT_BYTES)
        self._held = frozenset(held)
        self._tree_of: dict[bytes, bytes] = {}
        """Of new commits that are proven."""
        self._trees: set[tuple[bytes, tuple[bytes, ...]]] = set()
        self._parsed: dict[bytes, Entries] = {}
        self._new: dict[bytes, int] = {}
        """Kinds of all there is in the pack."""
        for name, kind, size in git_odb.packed(fresh):
            self._step()
            # Also if nothing names it: it may be what others are deltas of.
            if kind != git_odb.BLOB and size > MAX_OBJECT_BYTES:
                raise Unproven
            self._new[name] = kind

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
            tree, parents = self._opened(waiting[-1], is_new=True)
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
        return self._tree_of.get(commit) or self._opened(commit, is_new=False)[0]

    def _tree(self, tree: bytes, bases: list[bytes], depth: int) -> None:
        """All below is new, or at the same place in one of `bases`."""
        self._step()
        key = (tree, tuple(bases))
        if tree in bases or key in self._trees:
            return
        if depth > MAX_DEPTH:
            raise Unproven
        known = [self._entries(base, is_new=base in self._new) for base in bases]
        for name, (mode, oid) in self._entries(tree, is_new=True).items():
            self._step()
            before = [entries[name] for entries in known if name in entries]
            if mode == FOLDER:
                below = [base for kind, base in before if kind == FOLDER]
                self._tree(oid, below, depth + 1)
            elif mode in FILES and not any(kind in FILES and oid == at for kind, at in before):
                self._is_in_pack(oid, git_odb.BLOB)
        self._trees.add(key)

    def _opened(self, commit: bytes, *, is_new: bool) -> tuple[bytes, list[bytes]]:
        """Its tree and its parents."""
        head = HEADER.match(self._data(commit, git_odb.COMMIT, is_new=is_new))
        parents = [] if head is None else head[2].splitlines()
        if head is None or len(parents) > MAX_PARENTS:
            raise Unproven
        self._step(len(parents))
        names = [head[1], *(line.partition(b" ")[2] for line in parents)]
        tree, *others = [bytes.fromhex(name.decode()) for name in names]
        return tree, others

    def _entries(self, tree: bytes, *, is_new: bool) -> Entries:
        if is_new:
            self._is_in_pack(tree, git_odb.TREE)
        found = self._parsed.get(tree)
        if found is None:
            found = {}
            for mode, name, oid in _each(self._data(tree, git_odb.TREE, is_new=is_new)):
                self._step()
                if name in found:
                    raise Unproven
                found[name] = (mode, oid)
            self._parsed[tree] = found
        return found

    def _data(self, name: bytes, kind: int, *, is_new: bool) -> bytes:
        if is_new:
            self._is_in_pack(name, kind)
        found = (self._read_new if is_new else self._read_old)(name)
        if found is None or found[0] != kind:
            raise Unproven
        return found[1]

    def _is_in_pack(self, name: bytes, kind: int) -> None:
        if self._new.get(name) != kind:
            raise Unproven

    def _step(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0 or time.monotonic() > self._ends_at:
            raise Unproven


def _each(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(mode, name, binary name of the object); each mode is one that git writes."""
    position = 0
    while position < len(data):
        entry = ENTRY.match(data, position)
        if entry is None or not (entry[1] in FILES or entry[1] in (FOLDER, GITLINK)):
            raise Unproven
        yield entry[1], entry[2], entry[3]
        position = entry.end()
