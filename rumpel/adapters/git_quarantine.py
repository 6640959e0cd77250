"""Where a pod's objects arrive first: a bare repository for one fetch, thrown away after it.

It borrows the user's objects, knows the refs both sides may share, and holds git to fsck and to
our protocol only. Nothing of the user's repository is written here. Blocking.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import git, git_files, git_objects, git_run
from rumpel.errors import RumpelError

HEADS = "refs/heads/"
HAVES = "refs/have/"
MAX_HAVES = 2000
"""Commits of the host named to the pod, so that it sends only what is new."""
PREFIX = "incoming-"
CHECKED = "checked"
LENDER = "lender"
REMOVE_TRIES, REMOVE_WAIT_S = 20, 0.05
FANOUT = tuple(f"{number:02x}" for number in range(256))
OBJECTS = "objects"

DEMOTED = {
    "badTimezone": "old GUI clients wrote zones like +051800",
    "missingSpaceBeforeDate": "importers from other systems before 2010",
    "zeroPaddedFilemode": "GitHub's web editor before 2011",
    "zeroPaddedDate": "dulwich and hand-made importers",
}
"""Harmless faults of real old histories, which a pod may fetch from elsewhere; the rest refuses."""
PROMOTED = ("gitmodulesSymlink",)
LEVELS = dict.fromkeys(DEMOTED, "ignore") | dict.fromkeys(PROMOTED, "error")

CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tbare = true
\tlogAllRefUpdates = false
\thooksPath = /dev/null
\tfsmonitor = false
\tfsync = none
\tbigFileThreshold = 64m
\tpackedGitLimit = 4g
\talternateRefsCommand = true
{extensions}[advice]
\tfetchShowForcedUpdates = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[protocol]
\tversion = 2
\tallow = never
[protocol "fd"]
\tallow = always
[transfer]
\tfsckObjects = true
\tbundleURI = false
[fetch]
\tfsckObjects = true
\tshowForcedUpdates = false
\trecurseSubmodules = false
\twriteCommitGraph = false
[pack]
\twriteReverseIndex = false
[fetch "fsck"]
{fsck}"""


@dataclass(slots=True)
class Quarantine:
    """`known`: the branches of the last import; `lost`: those of their commits the user lacks."""

    path: Path
    known: Mapping[str, str]
    lost: frozenset[str]
    lender: str
    """A folder with the user's objects."""
    store: Path
    """Objects that passed; `discard` makes it another folder than the one git writes to."""
    haves: dict[str, str]
    """Refs both sides may share."""
    oid_bytes: int = 20
    is_shallow: bool = False

    def heads(self) -> dict[str, str]:
        """What arrived, name -> oid (as git would list it)."""
        return git_files.refs(self.path, HEADS)

    def env(self, *, borrow: bool = True) -> dict[str, str]:
        """For git calls here; without `borrow` only what the pod sent is seen."""
        found = git_run.isolated_env()
        if borrow:
            folders = [self.lender, str(self.store)] if self.is_split else [self.lender]
            found["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = ":".join(map(quoted, folders))
        else:
            found["GIT_OBJECT_DIRECTORY"] = str(self.store)
        return found

    @property
    def is_split(self) -> bool:
        return self.store != self.path / OBJECTS

    def discard(self) -> None:
        """Drop objects and refs of a fetch that failed: they were perhaps not checked."""
        if not self.is_split:
            self.store = self.path / CHECKED
            (self.store / "pack").mkdir(parents=True)
        for folder in (OBJECTS, "refs"):
            _remove(self.path / folder)
            (self.path / folder).mkdir()
        (self.path / "packed-refs").write_bytes(git_files.packed_text(self.haves))

    def clear(self) -> None:
        """Drop the objects of a fetch that was not begun in earnest."""
        _remove(self.path / OBJECTS)
        (self.path / OBJECTS).mkdir()

    def accept(self) -> None:
        """Keep what the last fetch brought."""
        if not self.is_split:
            return
        git_objects.move(self.path / OBJECTS, self.store)
        self.haves.update(self.heads())
        self.clear()

    def has_objects(self) -> bool:
        """Whether anything was fetched into it."""
        top = self.path / OBJECTS
        return any(
            next(folder.iterdir(), None) is not None
            for folder in top.iterdir()
            if folder.is_dir() and folder.name != "info"
        )

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            _remove(self.path)


def _remove(folder: Path) -> None:
    """A git that was killed may still be about to write its last file. Raises OSError."""
    for _ in range(REMOVE_TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(REMOVE_WAIT_S)
    shutil.rmtree(folder)


def sweep(door: Path) -> None:
    """Remove what a killed import left; none may be at work."""
    for left in door.glob(f"{PREFIX}*"):
        shutil.rmtree(left, ignore_errors=True)


def prepare(repo: git.Repo, door: Path, known: Mapping[str, str]) -> Quarantine:
    """A new one in the folder `door`. Another import may be in one beside it."""
    lost = git.missing(repo, sorted(set(known.values())))
    heads = git.refs(repo, HEADS)
    head = git.head(repo).oid
    try:
        door.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=door))
        haves = {HEADS + name: oid for name, oid in known.items() if oid not in lost}
        others = sorted({*heads.values(), *([head] if head else [])} - set(haves.values()))
        haves |= {f"{HAVES}{oid}": oid for oid in others[:MAX_HAVES]}
        _write(repo, path, haves)
    except OSError as err:
        raise RumpelError(f"the door {door} cannot be written: {err.strerror}") from err
    return Quarantine(
        path=path,
        known=known,
        lost=frozenset(lost),
        lender=_lender(Path(repo.objects_dir), door),
        store=path / OBJECTS,
        haves=haves,
        oid_bytes=32 if repo.object_format == "sha256" else 20,
        is_shallow=(path / "shallow").exists(),
    )


def _lender(objects: Path, door: Path) -> str:
    """The user's objects under another name, made once for all doors of a repository.

    A folder called `objects` beside `refs` makes git list the refs there, with a process each
    time (4 ms of 25), and these are no refs we want to tell a pod of.
    """
    if (objects / "info/alternates").exists():
        return str(objects)
    lender = door.parent / f"{LENDER}-{_key(objects)}"
    if not lender.is_dir():
        new = Path(tempfile.mkdtemp(prefix=PREFIX, dir=door))
        (new / "info").mkdir()
        for name in (*FANOUT, "pack", "info/commit-graph", "info/commit-graphs"):
            (new / name).symlink_to(objects / name)
        with contextlib.suppress(OSError):  # another pod's import made it
            new.rename(lender)
        shutil.rmtree(new, ignore_errors=True)
    return str(lender)


def _key(objects: Path) -> str:
    return hashlib.blake2b(os.fsencode(objects), digest_size=6).hexdigest()


def _write(repo: git.Repo, path: Path, haves: Mapping[str, str]) -> None:
    """What `git init` would make, in one millisecond instead of five."""
    (path / OBJECTS).mkdir()
    (path / "refs").mkdir()
    # Without it a shallow history looks broken, and the fetch quietly brings nothing.
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(Path(repo.common_dir, "shallow"), path / "shallow")
    (path / "packed-refs").write_bytes(git_files.packed_text(haves))
    (path / "config").write_text(config(repo.object_format))
    (path / "HEAD").write_text("ref: refs/none\n")


def quoted(folder: str) -> str:
    """As git reads it in a list: C-quoted, for a path may have a colon."""
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def config(object_format: str) -> str:
    extensions, version = "", 0
    if object_format != "sha1":
        extensions, version = f"[extensions]\n\tobjectFormat = {object_format}\n", 1
    fsck = "".join(f"\t{name} = {level}\n" for name, level in LEVELS.items())
    return CONFIG.format(version=version, extensions=extensions, fsck=fsck)
