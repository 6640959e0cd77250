"""A tar from a pod as files of this machine: beside where they are wanted, then moved there.

Nothing a pod sends is believed. All of it is made in a fresh folder that only we can enter, each
file anew and never through a link; what is not a file, folder or link is left out and told, and so
is every bit that would give a program somebody's rights. Only the whole is moved into its place.
Nor may it tell git of this machine what to run: no repository comes to lie in another one.
"""

from __future__ import annotations

import errno
import fcntl
import os

from rumpel.adapters import beneath, odd, tar_entries
from rumpel.adapters.tar_entries import FILE, FOLDER, HARD_LINK, SYMLINK, BadTar
from rumpel.errors import Conflict, RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from rumpel.adapters.tar_entries import Entry

    class Source(Protocol):
        def exactly(self, size: int, /) -> bytes: ...
        def pour(self, target: int, size: int, /) -> None: ...


PREFIX = b".rumpel-cp-"
ROOT = b"0"
"""What the whole is called in its own folder."""
MAX_ENTRIES = 4_000_000
MAX_FOLDER_NAMES_BYTES = 256 << 20
"""They are held in memory to the end; a tar of some megabytes could name a million."""
MAX_TRIES = 16
SKIPPED_BYTES = 64 << 10
IGNORE = b".gitignore"
GIT = b".git"
MAX_TOLD = 5
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
RIGHTS = 0o7000
HEX = frozenset("0123456789abcdef")


class Found:
    """What came, for who asked for it."""

    def __init__(self) -> None:
        self.kind = b""
        """Of the root: FILE, FOLDER or SYMLINK; empty as long as nothing came."""
        self.files = self.folders = self.links = self.bytes = 0
        self.remarks: dict[str, tuple[int, list[bytes]]] = {}
        """What is to be told -> of how many, and the first few of them."""

    def remark(self, what: str, path: bytes) -> None:
        count, paths = self.remarks.get(what, (0, []))
        self.remarks[what] = (count + 1, [*paths, path] if count < MAX_TOLD else paths)


class Staging:
    """A folder of ours in the folder `target` (a descriptor). Context manager: goes at its end.

    It is locked while it is in use, so that the next one can tell what a killed one left. git sees
    nothing of it: somebody may commit all there is in the middle of a copy.
    """

    def __init__(self, target: int, open_folder: Callable[[int, bytes], int] | None = None) -> None:
        self.target = target
        self.open_folder = open_folder or beneath.best()
        self.name = b""
        self.fd = -1

    def __enter__(self) -> Staging:
        self._sweep()
        for _ in range(MAX_TRIES):
            self.name = PREFIX + os.urandom(8).hex().encode()
            os.mkdir(self.name, 0o700, dir_fd=self.target)
            try:
                if self._take():
                    return self
            except BaseException:
                self.__exit__()
                raise
            self.__exit__()
        raise RumpelError("too many copies into one folder begin at once", hint="try again")

    def _take(self) -> bool:
        """Lock it; False when the sweep of another copy found it before."""
        try:
            self.fd = self.open_folder(self.target, self.name)
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = os.stat(self.name, dir_fd=self.target, follow_symlinks=False)
        except (FileNotFoundError, BlockingIOError):
            return False
        if not os.path.samestat(there, os.fstat(self.fd)):
            return False
        ignore = os.open(IGNORE, NEW_FILE, 0o600, dir_fd=self.fd)
        try:
            os.write(ignore, b"*\n")
        finally:
            os.close(ignore)
        return True

    def __exit__(self, *_: object) -> None:
        try:
            beneath.remove(self.target, self.name, self.open_folder)
        except FileNotFoundError:
            pass  # somebody else removed it
        finally:
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1

    def _sweep(self) -> None:
        """What was left by one that was killed."""
        for name in os.listdir(self.target):
            if not _is_ours(name):
                continue
            try:
                fd = self.open_folder(self.target, os.fsencode(name))
            except OSError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                beneath.remove(self.target, os.fsencode(name), self.open_folder)
            except OSError:
                continue  # in use, or not ours to remove
            finally:
                os.close(fd)


class Unpacking:
    """One tar into one staging folder, as `ROOT`. Raises BadTar, RumpelError."""

    def __init__(
        self,
        staging: Staging,
        *,
        keeps_owners: bool = False,
        takes_git: bool = True,
        on_root: Callable[[bytes], None] | None = None,
    ) -> None:
        """`on_root`: told its kind before anything is made. `takes_git`: repositories, too."""
        self.staging, self.keeps_owners, self._on_root = staging, keeps_owners, on_root
        self._takes_git, self._names_bytes = takes_git, 0
        self.found = Found()
        self.metadata: dict[bytes, tuple[int, int, int, int]] = {}
        """Folder -> mode, mtime in ns, uid and gid (-1: not told), set when all is in its place."""
        self._open = staging.open_folder
        self._parent, self._parent_fd = b"", -1
        self._base: bytes | None = None

    def run(self, source: Source) -> Found:
        """To the end mark of the tar; what is behind it is not read."""
        try:
            for _ in range(MAX_ENTRIES):
                entry = tar_entries.read(source)
                if entry is None:
                    return self.found
                self._take(entry, source)
        finally:
            self._forget_parent()
        raise BadTar(f"there are more than {MAX_ENTRIES} files")

    def _take(self, entry: Entry, source: Source) -> None:
        path = self._place(entry.path, entry.kind)
        if not self._takes_git and within_git(path):
            self._leave(entry, source)
            return
        try:
            if entry.kind == FILE:
                self._file(entry, path, source)
            elif entry.kind == FOLDER:
                self._folder(entry, path)
            elif entry.kind == SYMLINK:
                self._symlink(entry, path)
            elif entry.kind == HARD_LINK:
                self._hard_link(entry, path)
            else:
                self.found.remark(f"{tar_entries.SPECIAL[entry.kind]}s are not copied", entry.path)
        except OSError as err:
            raise failed(err, entry.path) from err

    def _leave(self, entry: Entry, source: Source) -> None:
        if is_git(entry.path.rpartition(b"/")[2]):
            self.found.remark("git repositories are not copied into another one", entry.path)
        left = entry.size + -entry.size % tar_entries.BLOCK
        while left:
            left -= len(source.exactly(min(left, SKIPPED_BYTES)))

    def _place(self, path: bytes, kind: bytes) -> bytes:
        """Where it goes. The first entry is the root, and all others lie in it."""
        if self._base is None:
            if kind == HARD_LINK:
                raise BadTar("the tar begins with a link to what it does not have")
            if kind in tar_entries.SPECIAL:
                shown = path.decode(errors="surrogateescape")
                raise Conflict(odd.words(shown, tar_entries.SPECIAL[kind]))
            self._base, self.found.kind = path, kind
            if self._on_root is not None:
                self._on_root(kind)
        elif self.found.kind != FOLDER and path != self._base:
            raise BadTar(f"one file was asked for, and {path[:80]!r} came, too")
        if not self._base:
            return ROOT + b"/" + path if path else ROOT
        if path == self._base:
            return ROOT
        if not path.startswith(self._base + b"/"):
            raise BadTar(f"the tar has a path that leads elsewhere: {path[:80]!r}")
        return ROOT + path[len(self._base) :]

    def _file(self, entry: Entry, path: bytes, source: Source) -> None:
        folder, name = self._above(path)
        mode = self._harmless(entry)
        fd = self._new_file(folder, name, mode)
        try:
            os.fchmod(fd, mode)  # whatever the umask, which is the whole process's
            if entry.size:
                source.pour(fd, entry.size)
                padding = -entry.size % tar_entries.BLOCK
                if padding:
                    source.exactly(padding)
            if self.keeps_owners:
                os.fchown(fd, entry.uid, entry.gid)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)
        self.found.files += 1
        self.found.bytes += entry.size

    def _new_file(self, folder: int, name: bytes, mode: int) -> int:
        """Always a new one: what came twice must not be written through what came first."""
        try:
            return os.open(name, NEW_FILE, mode, dir_fd=folder)
        except FileExistsError:
            os.unlink(name, dir_fd=folder)  # a folder refuses
            return os.open(name, NEW_FILE, mode, dir_fd=folder)

    def _folder(self, entry: Entry, path: bytes) -> None:
        self._make_folder(path)
        self.metadata[path] = (self._harmless(entry), entry.mtime_ns, entry.uid, entry.gid)
        self.found.folders += 1

    def _make_folder(self, path: bytes) -> None:
        folder, name = self._above(path)
        try:
            os.mkdir(name, 0o700, dir_fd=folder)
        except FileExistsError:
            if path not in self.metadata:  # then it is a file or a link
                raise
        else:
            self._names_bytes += len(path)
            if self._names_bytes > MAX_FOLDER_NAMES_BYTES:
                raise BadTar("the tar has more folders than can be remembered")
            self.metadata[path] = (0o755, -1, -1, -1)

    def _symlink(self, entry: Entry, path: bytes) -> None:
        folder, name = self._above(path)
        try:
            os.symlink(entry.link, name, dir_fd=folder)
        except FileExistsError:
            os.unlink(name, dir_fd=folder)
            os.symlink(entry.link, name, dir_fd=folder)
        if self.keeps_owners:
            os.chown(name, entry.uid, entry.gid, dir_fd=folder, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime_ns, entry.mtime_ns), dir_fd=folder, follow_symlinks=False)
        self.found.links += 1
        if leads_out(path, entry.link):
            self.found.remark("links that lead out of what was copied", entry.path)

    def _hard_link(self, entry: Entry, path: bytes) -> None:
        """To a file of this tar only: all that is in our folder was made by us."""
        target = self._place(entry.link, HARD_LINK)
        above, _, name = target.rpartition(b"/")
        folder, own = self._above(path)
        source = self._open(self.staging.fd, above)
        try:
            if target != path:
                self._link(source, name, folder, own)
        finally:
            os.close(source)
        self.found.files += 1

    def _link(self, source: int, name: bytes, folder: int, own: bytes) -> None:
        for _ in range(2):
            try:
                os.link(name, own, src_dir_fd=source, dst_dir_fd=folder, follow_symlinks=False)
            except FileExistsError:
                os.unlink(own, dir_fd=folder)
            else:
                return

    def _harmless(self, entry: Entry) -> int:
        if entry.mode & RIGHTS and entry.kind == FILE:
            self.found.remark("setuid, setgid and sticky bits were dropped", entry.path)
        return entry.mode & 0o777

    def _above(self, path: bytes) -> tuple[int, bytes]:
        """The folder it goes to, open, and its name there. Made when the tar left it out."""
        above, _, name = path.rpartition(b"/")
        if above == self._parent and self._parent_fd >= 0:
            return self._parent_fd, name
        self._forget_parent()
        try:
            fd = self._open(self.staging.fd, above)
        except FileNotFoundError:
            parts = above.split(b"/")
            for count in range(1, len(parts) + 1):
                step = b"/".join(parts[:count])
                if step not in self.metadata:
                    self._make_folder(step)
            self._forget_parent()
            fd = self._open(self.staging.fd, above)
        self._parent, self._parent_fd = above, fd
        return fd, name

    def _forget_parent(self) -> None:
        if self._parent_fd >= 0:
            os.close(self._parent_fd)
            self._parent_fd = -1


def _is_ours(name: str) -> bool:
    number = name.removeprefix(PREFIX.decode())
    return number != name and len(number) == 16 and not set(number) - HEX


def is_git(name: bytes) -> bool:
    """Some file systems know but one case."""
    return name.lower() == GIT


def within_git(path: bytes) -> bool:
    return GIT in path.lower() and any(map(is_git, path.split(b"/")))


def leads_out(path: bytes, link: bytes) -> bool:
    """Would a link at `path` (below ROOT) lead to something that did not come with it?"""
    if link.startswith(b"/"):
        return True
    depth = path.count(b"/") - 1
    for part in link.split(b"/"):
        if part == b"..":
            depth -= 1
        elif part not in (b"", b"."):
            depth += 1
        if depth < 0:
            return True
    return False


def failed(error: OSError, path: bytes) -> RumpelError:
    shown = path.decode(errors="surrogateescape") or "the copy"
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.EISDIR, errno.EEXIST):
        return BadTar(f"the tar has {shown!r} twice, as different things")
    return RumpelError(f"cannot write {shown!r}: {error.strerror}")
