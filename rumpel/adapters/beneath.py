"""Folders of this machine that lie beneath an open one, reached through no symbolic link.

What a pod sends is unpacked here, and somebody may move things about meanwhile. Linux resolves a
whole path at once and refuses to leave (`openat2`, 5.6 and later); elsewhere each step is opened
by itself. Both refuse every link, so both lead to the same folders or nowhere.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SYS_OPENAT2 = 437
"""On every architecture: it is younger than the common numbering."""
NO_MAGICLINKS, NO_SYMLINKS, BENEATH = 0x02, 0x04, 0x08
RETRIES = 16
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Open = "Callable[[int, bytes], int]"


def walk(root: int, path: bytes) -> int:
    """A new descriptor of the folder `path` below `root` (empty: of it). Raises OSError."""
    here = os.open(b".", FOLDER, dir_fd=root)
    for part in path.split(b"/"):
        if part in (b"", b"."):
            continue
        try:
            if part == b"..":
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
            below = os.open(part, FOLDER, dir_fd=here)
        finally:
            os.close(here)
        here = below
    return here


def resolve(root: int, path: bytes) -> int:
    """The same in one call of the kernel. Raises OSError; ENOSYS or EPERM where it has none."""
    import ctypes

    how = (ctypes.c_uint64 * 3)(FOLDER, 0, BENEATH | NO_SYMLINKS | NO_MAGICLINKS)
    call = ctypes.CDLL(None, use_errno=True).syscall
    for _ in range(RETRIES):
        found = call(
            ctypes.c_long(SYS_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(path or b"."),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if found >= 0:
            return int(found)
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):  # somebody renamed something meanwhile
            break
    raise OSError(code, os.strerror(code))


def has_openat2() -> bool:
    """Not in old kernels, nor where a sandbox forbids it."""
    if not sys.platform.startswith("linux"):
        return False
    here = os.open(b".", FOLDER)
    try:
        os.close(resolve(here, b""))
    except OSError:
        return False
    finally:
        os.close(here)
    return True


def best() -> Callable[[int, bytes], int]:
    """The way of this machine: `resolve` or `walk`."""
    return resolve if has_openat2() else walk


def remove(parent: int, name: bytes, open_folder: Callable[[int, bytes], int]) -> None:
    """A folder with all in it, however deep; links are removed, never followed. Raises OSError."""
    pending, order = [name], list[bytes]()
    while pending:
        path = pending.pop()
        order.append(path)
        folder = open_folder(parent, path)
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    child = os.fsencode(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(path + b"/" + child)
                    else:
                        os.unlink(child, dir_fd=folder)
        finally:
            os.close(folder)
    for path in reversed(order):
        above, _, last = path.rpartition(b"/")
        folder = open_folder(parent, above)
        try:
            os.rmdir(last, dir_fd=folder)
        finally:
            os.close(folder)
