"""What was unpacked beside its destination goes there: by renaming, so each file is old or new.

What stands in the way is looked for before anything is moved. Folders that are there already are
gone into, never through a link, and keep their own modes; whatever else has the same name is
replaced. But for what git here goes by: a repository that is there stays as it is.
"""

from __future__ import annotations

import os
import stat

from rumpel.adapters import odd
from rumpel.adapters.unpack import ROOT, is_git
from rumpel.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rumpel.adapters.unpack import Staging, Unpacking

    Pair = tuple[int, int, bytes]
    """A folder of the copy, the one it is to be merged into, and its path below the latter."""


class Placing:
    """`name` in the folder that holds the staging folder; empty: the content of the copy there."""

    def __init__(self, unpacking: Unpacking, name: bytes) -> None:
        self.staging: Staging = unpacking.staging
        self.metadata, self.keeps_owners = unpacking.metadata, unpacking.keeps_owners
        self.name = name
        self._open: Callable[[int, bytes], int] = self.staging.open_folder
        self._found = unpacking.found
        self._merged: set[bytes] = set()
        """Folders of the copy that were there already."""
        self._left: set[bytes] = set()
        """What of the copy does not go to its place."""

    def run(self) -> None:
        """Raises Conflict before anything is changed, OSError in the middle."""
        if self._merges():
            for _ in self._walk(is_trial=True):
                pass
            for ours, theirs, path in self._walk(is_trial=False):
                self._move(ours, theirs, path)
        else:
            os.rename(ROOT, self.name, src_dir_fd=self.staging.fd, dst_dir_fd=self.staging.target)
        self._finish()

    def _merges(self) -> bool:
        if not self.name:
            return True
        mode, is_folder = self._mode(self.staging.target, self.name), ROOT in self.metadata
        if mode is None:
            return False
        if is_git(self.name):
            raise Conflict("a git repository is there, and stays as it is: nothing was copied")
        if stat.S_ISDIR(mode) != is_folder or odd.of_mode(mode):
            raise _in_the_way(self.name, mode)
        return is_folder

    def _walk(self, *, is_trial: bool) -> Iterator[Pair]:
        """Each folder of the copy that is there already; the trial looks for what is in the way."""
        pending = [ROOT]
        while pending:
            path = pending.pop()
            ours = self._open(self.staging.fd, path)
            try:
                theirs = self._open(self.staging.target, self._there(path))
                try:
                    self._merged.add(path)
                    pending += self._common(ours, theirs, path, is_trial=is_trial)
                    yield ours, theirs, path
                finally:
                    os.close(theirs)
            finally:
                os.close(ours)

    def _common(self, ours: int, theirs: int, path: bytes, *, is_trial: bool) -> list[bytes]:
        """Folders in both."""
        found = []
        with os.scandir(ours) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                mode = self._mode(theirs, name)
                if mode is None:
                    continue
                if is_git(name):
                    self._leave(path + b"/" + name)
                    continue
                is_folder = entry.is_dir(follow_symlinks=False)
                if is_trial and (stat.S_ISDIR(mode) != is_folder or odd.of_mode(mode)):
                    raise _in_the_way(self._there(path + b"/" + name), mode)
                if is_folder:
                    found.append(path + b"/" + name)
        return found

    def _leave(self, path: bytes) -> None:
        if path not in self._left:
            self._left.add(path)
            self._found.remark("git repositories here stay as they are", self._there(path))

    def _is_left(self, path: bytes) -> bool:
        parts = path.split(b"/") if self._left else []
        ends = (count for count, part in enumerate(parts, 1) if is_git(part))
        return any(b"/".join(parts[:end]) in self._left for end in ends)

    def _move(self, ours: int, theirs: int, path: bytes) -> None:
        with os.scandir(ours) as entries:
            names = [(os.fsencode(e.name), e.is_dir(follow_symlinks=False)) for e in entries]
        for name, is_folder in names:
            if path + b"/" + name in self._left:
                continue
            if not is_folder or self._mode(theirs, name) is None:
                os.rename(name, name, src_dir_fd=ours, dst_dir_fd=theirs)

    def _mode(self, folder: int, name: bytes) -> int | None:
        try:
            return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None

    def _there(self, path: bytes) -> bytes:
        """Where a path of the copy is in the destination."""
        return (self.name + path[len(ROOT) :]).lstrip(b"/")

    def _finish(self) -> None:
        """Modes and times of new folders, the deepest first: a mode may lock us out."""
        for path in reversed(self.metadata):
            if path in self._merged or self._is_left(path):
                continue
            mode, mtime_ns, uid, gid = self.metadata[path]
            fd = self._open(self.staging.target, self._there(path))
            try:
                if self.keeps_owners and uid >= 0:
                    os.fchown(fd, uid, gid)
                os.fchmod(fd, mode)
                if mtime_ns >= 0:
                    os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)


def _in_the_way(path: bytes, mode: int) -> Conflict:
    shown = path.decode(errors="surrogateescape")
    if kind := odd.of_mode(mode):
        return Conflict(f"{odd.words(repr(shown), kind)}: nothing was copied")
    if stat.S_ISDIR(mode):
        return Conflict(f"{shown!r} is a folder there, and none here: nothing was copied")
    what = "a link" if stat.S_ISLNK(mode) else "no folder"
    return Conflict(f"{shown!r} is {what} there, and a folder here: nothing was copied")
