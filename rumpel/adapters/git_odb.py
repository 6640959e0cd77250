"""Objects by their names, with libgit2: of packs that git has checked, and the user's own trees.

For SHA-1 only. Blocking; nothing here writes but `loosen`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

import pygit2

from rumpel.adapters.git import FOREIGN, Repo
from rumpel.errors import RumpelError

BLOB, TREE = pygit2.enums.ObjectType.BLOB, pygit2.enums.ObjectType.TREE
COMMIT, TAG = pygit2.enums.ObjectType.COMMIT, pygit2.enums.ObjectType.TAG
KINDS = {"blob": BLOB, "tree": TREE, "commit": COMMIT, "tag": TAG}

Read = Callable[[bytes], tuple[int, bytes] | None]
"""Kind and content of an object by its binary name; None when it cannot be read."""


def packed(objects: str) -> Iterator[tuple[bytes, int, int]]:
    """(binary name, kind, size once unpacked) of all objects in packs of a folder."""
    pack = _packs(objects)
    for oid in pack:
        kind, size = pack.read_header(oid)
        yield oid.raw, kind, size


def contents(objects: str, names: Iterable[bytes]) -> Iterator[bytes]:
    """Of objects in packs of a folder; for small ones."""
    pack = _packs(objects)
    for name in names:
        yield pack.read(pygit2.Oid(raw=name))[1]


def loosen(source: str, target: str) -> None:
    """Write the packed objects of `source` into `target`, one by one; for few, small objects.

    As git does with a small fetch: a pack for each commit would soon make everything slow.
    Raises RumpelError when an object is not what its name says.
    """
    try:
        pack, loose = _packs(source), pygit2.Odb(target)
        for oid in pack:
            kind, data = pack.read(oid)
            if oid not in loose and loose.write(kind, data) != oid:
                raise RumpelError(f"object {oid} is broken")
    except FOREIGN as err:
        reason = getattr(err, "strerror", None) or str(err)
        raise RumpelError(f"objects cannot be written to {target}: {reason}") from err


def new_trees(objects: str) -> Callable[[bytes], bytes | None]:
    """Reads trees in packs of a folder."""
    return _trees(packed_reader(objects))


def old_trees(objects: str, *more: str) -> Callable[[bytes], bytes | None]:
    """Reads trees of a repository, borrowed ones too, and of `more` such folders."""
    odb = pygit2.Odb(objects)
    for folder in more:
        odb.add_disk_alternate(folder)
    return _trees(_reader(odb))


def packed_reader(objects: str) -> Read:
    """Of packs of a folder alone."""
    return _reader(_packs(objects))


def reader(objects: str, *, most_bytes: int | None = None) -> Read:
    """Of a repository, borrowed objects too; larger ones cannot be read."""
    return _reader(pygit2.Odb(objects), most_bytes)


def present(objects: str, oids: Iterable[str]) -> set[str]:
    """Which of `oids` a repository has."""
    odb = pygit2.Odb(objects)
    return {oid for oid in oids if oid in odb}


def blobs(
    objects: str, oids: Sequence[str], *, each_bytes: int, all_bytes: int
) -> tuple[dict[str, int], dict[str, bytes]]:
    """(sizes, contents) of those that are there, borrowed ones too; contents while they fit."""
    odb, sizes = pygit2.Odb(objects), {}
    for oid in oids:
        with contextlib.suppress(*FOREIGN):
            kind, size = odb.read_header(oid)
            if kind == BLOB:
                sizes[oid] = size
    chosen = fitting(sizes, each_bytes=each_bytes, all_bytes=all_bytes)
    return sizes, {oid: odb.read(oid)[1] for oid in chosen}


def fitting(sizes: Mapping[str, int], *, each_bytes: int, all_bytes: int) -> list[str]:
    """Those that are small enough, smallest first, while all together are."""
    chosen, room = [], all_bytes
    for oid, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
        if size > each_bytes or size > room:
            break
        chosen.append(oid)
        room -= size
    return chosen


def tree_of(repo: Repo, commit: str) -> bytes | None:
    """Binary name of a commit's tree; None when it cannot be read."""
    try:
        return pygit2.Repository(repo.git_dir)[commit].peel(pygit2.Tree).id.raw
    except FOREIGN:
        return None


def beyond(repo: Repo, tips: AbstractSet[str], known: AbstractSet[str]) -> frozenset[str]:
    """Those of `tips` that no commit of `known` contains; all of them where that is not readable.

    Blocking. `git rev-list TIPS --not KNOWN`, of which only the tips count: one walk for all.
    """
    if repo.needs_git:
        return frozenset(tips)
    left, found = set(tips), set[str]()
    try:
        walker = pygit2.Repository(repo.git_dir).walk(None, pygit2.enums.SortMode.NONE)
        for oid in tips:
            walker.push(oid)
        for oid in known:
            walker.hide(oid)
        for commit in walker:
            if (oid := str(commit.id)) in left:
                left.discard(oid)
                found.add(oid)
                if not left:
                    break
    except FOREIGN:
        return frozenset(tips)
    return frozenset(found)


def _reader(odb: pygit2.Odb, most_bytes: int | None = None) -> Read:
    def read(name: bytes) -> tuple[int, bytes] | None:
        oid = pygit2.Oid(raw=name)
        try:
            if most_bytes is not None and odb.read_header(oid)[1] > most_bytes:
                return None
            kind, data = odb.read(oid)
        except FOREIGN:
            return None
        return kind, data

    return read


def _trees(read: Read) -> Callable[[bytes], bytes | None]:
    def read_tree(name: bytes) -> bytes | None:
        found = read(name)
        return found[1] if found is not None and found[0] == TREE else None

    return read_tree


def _packs(objects: str) -> pygit2.Odb:
    found = pygit2.Odb()
    found.add_backend(pygit2.OdbBackendPack(objects), 1)
    return found
