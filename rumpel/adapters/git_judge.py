"""Objects that passed git's own checks: are they more than a pod may have the host hold?

Looks at what one fetch brought into a quarantine, before any of it moves. Blocking.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import git, git_objects, git_odb, git_run, git_trees, lfs, proc
from rumpel.adapters.git_limits import Limits, Refused
from rumpel.adapters.git_pack import PackScanner
from rumpel.adapters.git_quarantine import OBJECTS, Quarantine
from rumpel.adapters.lfs import Pointer
from rumpel.errors import RumpelError

USAGE = "usage"
"""File of a door: bytes that imports of the pod brought, more or less."""
LARGEST = "maxFileSize is"
TIMEOUT_S = 120.0
ASK_BYTES = 32 << 20
MAX_SEARCHED = 500_000
"""Objects of one fetch in which pointers are looked for; more is a history from elsewhere."""


@dataclass(frozen=True, slots=True)
class Found:
    """Of what one fetch brought: number of objects, bytes once unpacked, bytes on the disk."""

    count: int = 0
    unpacked: int = 0
    on_disk: int = 0
    pointers: tuple[Pointer, ...] = ()
    """Large files of Git LFS that are named in it."""

    def __add__(self, other: Found) -> Found:
        return Found(
            self.count + other.count,
            self.unpacked + other.unpacked,
            self.on_disk + other.on_disk,
            self.pointers + other.pointers,
        )


def objects(repo: git.Repo, quarantine: Quarantine, limits: Limits) -> Found:
    """Raises Refused for an object, or a tree, that is too much."""
    fresh = quarantine.path / OBJECTS
    packs = list((fresh / "pack").glob("pack-*.pack"))
    largest = git_objects.largest_loose(fresh)
    _refuse_large(largest, limits.object_bytes, LARGEST)
    if not packs:
        return Found(unpacked=largest)
    listed = _with_git(fresh) if repo.object_format != "sha1" else git_odb.packed(str(fresh))
    trees: dict[bytes, int] = {}
    small: dict[bytes, int] = {}
    count = unpacked = 0
    for name, kind, size in listed:
        is_tree = kind == git_odb.TREE
        if is_tree:
            _refuse_large(size, limits.tree_bytes, "limit")
        else:
            _refuse_large(size, limits.object_bytes, LARGEST)
        count, unpacked = count + 1, unpacked + size
        if is_tree:
            trees[name] = size
        elif lfs.may_point(size) and count <= MAX_SEARCHED:
            small[name] = size
    if trees:
        _check_trees(repo, quarantine, trees, limits)
    on_disk = sum(pack.stat().st_size for pack in packs)
    return Found(count, unpacked, on_disk, _pointers(repo, fresh, small))


def _pointers(repo: git.Repo, fresh: Path, small: dict[bytes, int]) -> tuple[Pointer, ...]:
    if repo.object_format == "sha1":
        read = git_odb.contents(str(fresh), small)
    else:
        read = (data for _, data in _read(fresh, small))
    return tuple(pointer for pointer in map(Pointer.parse, read) if pointer)


def _check_trees(
    repo: git.Repo, quarantine: Quarantine, trees: dict[bytes, int], limits: Limits
) -> None:
    fresh = quarantine.path / OBJECTS

    def old() -> tuple[git_trees.Read, bytes | None]:
        head = git.head(repo).oid
        base = None if head is None else git_odb.tree_of(repo, head)
        more = [str(quarantine.store)] if quarantine.is_split else []
        return git_odb.old_trees(repo.objects_dir, *more), base

    if repo.object_format == "sha1":
        git_trees.check(list(trees), git_odb.new_trees(str(fresh)), old, limits)
    else:
        git_trees.check(list(trees), _contents(fresh, trees), lambda: (_nothing, None), limits)


def _nothing(name: bytes) -> None:
    """For names that libgit2 cannot read: what the user has is taken as it is."""


def _with_git(fresh: Path) -> Iterator[tuple[bytes, int, int]]:
    command = ("cat-file", "--batch-all-objects", "--unordered", f"--batch-check={FORMAT}")
    for line in _ask(fresh, *command).decode().split("\n")[:-1]:
        oid, kind, size = line.split()
        yield bytes.fromhex(oid), git_odb.KINDS[kind], int(size)


def _contents(fresh: Path, trees: dict[bytes, int]) -> git_trees.Read:
    return dict(_read(fresh, trees)).get


def _read(fresh: Path, names: dict[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """Some objects, in groups of a size that can be held."""
    group: list[bytes] = []
    waiting = 0
    for number, (name, size) in enumerate(names.items(), 1):
        group.append(name)
        waiting += size
        if number == len(names) or waiting > ASK_BYTES:
            asked = "".join(f"{name.hex()}\n" for name in group).encode()
            yield from _answers(_ask(fresh, "cat-file", "--batch", input=asked))
            group.clear()
            waiting = 0


FORMAT = "%(objectname) %(objecttype) %(objectsize)"


def _ask(fresh: Path, *args: str, input: bytes | None = None) -> bytes:
    done = proc.run_blocking(
        git_run.argv(str(fresh.parent), *args),
        env=git_run.isolated_env() | {"GIT_OBJECT_DIRECTORY": str(fresh)},
        input=input,
        timeout_s=TIMEOUT_S,
    )
    if done.code:
        raise git_run.failed(args, done)
    return done.stdout


def _answers(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position < len(data):
        end = data.index(b"\n", position)
        oid, _, size = data[position:end].split()
        yield bytes.fromhex(oid.decode()), data[end + 1 : end + 1 + int(size)]
        position = end + 2 + int(size)


def _refuse_large(size: int, most: int, what: str) -> None:
    if size > most:
        raise Refused(
            f"refused: the pod sends an object of {size} bytes ({what} {most})",
            details={"limit": "object bytes"},
        )


def chains(fresh: Path, scanner: PackScanner, limits: Limits) -> None:
    """Raises Refused for a chain of deltas that name their bases, which the scanner cannot see.

    No git server makes one when it may give distances, as it may here.
    """
    if len(scanner.ref_offsets) + scanner.max_depth <= limits.delta_depth:
        return
    for index in (fresh / "pack").glob("pack-*.idx"):
        depth = git_objects.longest_chain(index, scanner.ref_offsets, bytes(scanner.ref_bases))
        if depth + scanner.max_depth > limits.delta_depth:
            raise Refused(
                f"refused: the pod sends a chain of more than {limits.delta_depth} deltas",
                details={"limit": "deltas"},
            )


def used(door: Path) -> int:
    """Bytes this pod made the host hold, at most. Blocking."""
    with contextlib.suppress(OSError, ValueError):
        return int((door / USAGE).read_text())
    return 0


def note_used(door: Path, total: int) -> None:
    """A guess that is lost costs nothing, so it need not outlive a power cut."""
    (door / USAGE).write_text(f"{total}\n")


def held(repo: git.Repo, pod_id: str, tips: list[str]) -> int:
    """Bytes on the disk of what only this pod has: its branches, and what they once were."""
    keep = f"refs/rumpel/keep/{pod_id}/"
    oids = sorted({*tips, *git.refs(repo, keep).values()})
    if not oids:
        return 0
    args = (
        *("rev-list", "--objects", "--disk-usage", "--ignore-missing", "--stdin", "--not"),
        *("--branches", "--tags", f"--exclude={git.PUBLISHED_GLOB}", "--remotes"),
    )
    text = "".join(f"{oid}\n" for oid in oids).encode()
    done = proc.run_blocking(
        git_run.argv(repo.git_dir, *args),
        env=git_run.isolated_env(),
        input=text,
        timeout_s=TIMEOUT_S,
    )
    if done.code:
        raise RumpelError(f"the disk usage of the pod is not known: {done.error_text[-400:]}")
    return int(done.stdout)
