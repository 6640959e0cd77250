"""A place for what renews a sign-in, proven before it is asked for: there is no second copy of it.

The room lies beside the file, named after the token that it follows, and is open from before the
question. It becomes the file; where a file cannot be replaced, it is written in place; where
neither goes, the room stays and is named, and the next try takes it from there.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rumpel.errors import ConfigError, RumpelError

SPARE_BYTES = 16 << 10
NAME = re.compile(r"\.rumpel-[0-9a-f]+")
_HELD: dict[Path, bytes] = {}
"""Room -> what no disk would take, for the next try of this process."""


@dataclass(slots=True, kw_only=True)
class Room:
    path: Path
    target: Path
    room_fd: int
    target_fd: int
    is_kept: bool = False
    """It holds the only copy."""
    content: bytes = field(default=b"", repr=False)


def path_of(target: Path, mark: str) -> Path:
    return target.with_name(f"{target.name}.rumpel-{mark}")


@contextlib.contextmanager
def room(target: Path, mark: str, size: int) -> Iterator[Room]:
    """Raises ConfigError when the file could not be replaced; nothing has been asked then."""
    with contextlib.ExitStack() as stack:
        try:
            made = _opened(stack, target, mark)
            stack.callback(_left, made)
            os.fchmod(made.room_fd, 0o600)
            _fill(made.room_fd, b" " * (2 * size + SPARE_BYTES))
        except OSError as error:
            raise ConfigError(f"{target} cannot be replaced: {error.strerror}") from error
        yield made


@contextlib.contextmanager
def again(target: Path, mark: str, content: bytes) -> Iterator[Room]:
    """One that was left, whole. Raises ConfigError; it stays then."""
    with contextlib.ExitStack() as stack:
        try:
            made = _opened(stack, target, mark)
        except OSError as error:
            raise ConfigError(
                f"{target} cannot be replaced: {error.strerror}",
                hint=f"what renews your sign-in is in {path_of(target, mark)}",
            ) from error
        made.content, made.is_kept = content, True
        stack.callback(_left, made)
        yield made


def _opened(stack: contextlib.ExitStack, target: Path, mark: str) -> Room:
    """Both files, open until the stack ends. Raises OSError."""
    path = path_of(target, mark)
    target_fd = os.open(target, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    stack.callback(os.close, target_fd)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    room_fd = os.open(path, flags, 0o600)
    stack.callback(os.close, room_fd)
    return Room(path=path, target=target, room_fd=room_fd, target_fd=target_fd)


def _left(made: Room) -> None:
    if not made.is_kept:
        with contextlib.suppress(OSError):
            made.path.unlink()


def fill(made: Room, content: bytes) -> None:
    """From here on it is kept, until it is put or dropped; on no disk, in memory at least."""
    made.content, made.is_kept = content, True
    _HELD[made.path] = content
    with contextlib.suppress(OSError):
        _fill(made.room_fd, content)
        _HELD.pop(made.path, None)


def drop(made: Room) -> None:
    """What is in it counts no more."""
    made.is_kept = False
    _HELD.pop(made.path, None)


def put(made: Room, content: bytes) -> None:
    """Into the file. Raises RumpelError naming the room, which has it then."""
    fill(made, content)
    failed = _replaced(made)
    if failed is not None:
        failed = _in_place(made)
    if failed is None:
        drop(made)
        return
    raise RumpelError(
        f"what renews your sign-in could not be written to {made.target}: {failed.strerror}",
        hint=f"it is in {made.path}, and is taken from there when {made.target.name} can be "
        "written",
    )


def _replaced(made: Room) -> OSError | None:
    own = os.fstat(made.room_fd)
    try:
        if made.path in _HELD:
            raise OSError("the room could not take it")
        info = made.target.stat()
        if (info.st_uid, info.st_gid) != (own.st_uid, own.st_gid):
            os.fchown(made.room_fd, info.st_uid, info.st_gid)  # else its owner loses it
        os.fchmod(made.room_fd, stat.S_IMODE(info.st_mode))
        made.path.replace(made.target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.fchmod(made.room_fd, 0o600)
            os.fchown(made.room_fd, own.st_uid, own.st_gid)
        return error
    with contextlib.suppress(OSError):
        folder = os.open(made.target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return None


def _in_place(made: Room) -> OSError | None:
    """As for a file that is a mount of its own."""
    try:
        info, known = made.target.stat(), os.fstat(made.target_fd)
        if (info.st_dev, info.st_ino) == (known.st_dev, known.st_ino):
            _refilled(made.target_fd, made.content)
            return None
        fd = os.open(made.target, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            _refilled(fd, made.content)
        finally:
            os.close(fd)
    except OSError as error:
        return error
    return None


def _refilled(fd: int, content: bytes) -> None:
    before = os.pread(fd, os.fstat(fd).st_size, 0)
    try:
        _fill(fd, content)
    except OSError:
        with contextlib.suppress(OSError):
            _fill(fd, before)  # by which the room is found
        raise


def _fill(fd: int, content: bytes) -> None:
    at = 0
    while at < len(content):
        at += os.pwrite(fd, content[at:], at)
    os.ftruncate(fd, len(content))
    os.fsync(fd)


def left(target: Path, mark: str, most_bytes: int) -> bytes | None:
    """What a try before this one left for the token with that mark."""
    path = path_of(target, mark)
    if path in _HELD:
        return _HELD[path]
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(fd, "rb") as file:
        info = os.fstat(fd)
        is_own = stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()
        return file.read(most_bytes) if is_own else None


def sweep(target: Path, mark: str) -> None:
    """Remove rooms of other tokens than the one with that mark, which the file no longer holds."""
    for path in target.parent.glob(f"{target.name.replace('[', '[[]')}.rumpel-*"):
        is_room = NAME.fullmatch(path.name.removeprefix(target.name)) is not None
        if is_room and path != path_of(target, mark):
            _HELD.pop(path, None)
            with contextlib.suppress(OSError):
                path.unlink()
