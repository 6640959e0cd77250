"""A person's sign-in on this machine: read, and renewed as its own program would.

Only one use of a refresh token is ever answered, so the order is: the program's own lock, the file
read again, room for the answer proven, the request, the answer into the file. All of it is one
blocking call: nothing can be cancelled between the answer and the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rumpel import jsonline
from rumpel.adapters import credential_room, folder_locks, token_server
from rumpel.adapters.credential_room import Room
from rumpel.errors import ConfigError, RumpelError

MAX_BYTES = 1 << 20
TORN_S = 2.0
WRITE_WAIT_S, WRITE_STALE_S = 10.0, 15.0


class SignedOut(ConfigError):
    """The refresh token will never do again: a person has to sign in."""

    code = "signed-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """How a file is renewed, whatever its format."""

    path: str
    url: str
    locks: Callable[[str, str], list[str]]
    """Of the program itself; none: there is one of ours beside the file."""
    write_lock: Callable[[str], str]
    """Of each change of the file; empty: none."""
    refresh: Callable[[bytes], str]
    """The refresh token of a file's content; empty: none."""
    is_due: Callable[[bytes], bool]
    asked: Callable[[bytes], Mapping[str, str]]
    renewed: Callable[[bytes, Mapping[str, Any], float], bytes | None]
    adopted: Callable[[bytes, bytes], bytes]
    """A file as it is, with what a renewed one has that was never put."""
    is_spent: Callable[[int, Mapping[str, Any]], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A file as it was."""

    raw: bytes = field(repr=False)
    stamp: tuple[int, int, int]
    """Another one: it was changed."""
    is_open: bool
    """Others on this machine may read it."""


def stamp(path: str) -> tuple[int, int, int] | None:
    try:
        info = Path(path).stat()
    except OSError:
        return None
    return info.st_mtime_ns, info.st_ino, info.st_size


def read(path: str | Path) -> Found | None:
    """None when there is none. Raises ConfigError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO has no end
        with os.fdopen(fd, "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise ConfigError(f"{path} is no file")
            raw = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(f"{path} is larger than a sign-in can be")
    found = info.st_mtime_ns, info.st_ino, info.st_size
    return Found(raw=raw, stamp=found, is_open=bool(info.st_mode & 0o044))


def digest(secret: str) -> str:
    """To know a token again without keeping it; tokens are random, so it tells nothing of them."""
    return hashlib.blake2b(secret.encode(errors="surrogatepass"), digest_size=12).hexdigest()


def renew(how: Renewal) -> bool:
    """False: somebody else had done it, or there was no need.

    Raises SignedOut, or RumpelError when it can be tried again; it blocks for two minutes at most.
    """
    folder, path = Path(how.path).parent, Path(how.path).resolve()  # a link stays one
    locks = how.locks(str(folder), str(folder.resolve())) or [f"{path}.rumpel-lock"]
    with folder_locks.taken(locks) as held:
        found = read(path)
        if found is None:
            return False
        old = how.refresh(found.raw)
        if old and _adopted(how, path, old, len(found.raw)):
            return True
        if not how.is_due(found.raw):
            return False
        if not old:
            raise SignedOut(f"{how.path} holds nothing that could renew it")
        with credential_room.room(path, digest(old), len(found.raw)) as room:
            answer = _asked(how, found, path, held)
            return _kept(how, room, found, answer)


def _asked(how: Renewal, found: Found, path: Path, held: folder_locks.Held) -> dict[str, Any]:
    """Raises SignedOut, RumpelError; never with a word of what was sent or answered."""

    def may() -> None:
        if not held.is_ours() or stamp(str(path)) != found.stamp:
            raise RumpelError(f"somebody else changed {how.path} meanwhile")

    status, answer = token_server.ask(how.url, how.asked(found.raw), may)
    server = token_server.checked(how.url).hostname
    if how.is_spent(status, answer):
        raise SignedOut(f"{server} takes the refresh token of {how.path} no more")
    if not 200 <= status < 300:
        raise RumpelError(f"{server} answered {status}")
    return answer


def _kept(how: Renewal, room: Room, found: Found, answer: Mapping[str, Any]) -> bool:
    """The only copy of a token is in `answer`: whatever fails here, the room has it first."""
    fresh = how.renewed(found.raw, answer, time.time())
    if fresh is None:
        raise RumpelError(f"{token_server.checked(how.url).hostname} gave no token")
    credential_room.fill(room, fresh)
    with _writing(how):
        now = _read_whole(room.target)
        if now is None or how.refresh(now.raw) != how.refresh(found.raw):
            credential_room.drop(room)
            return False  # they signed in, or out, meanwhile: that counts
        if now.raw != found.raw:  # something else in it
            fresh = how.renewed(now.raw, answer, time.time()) or fresh
        credential_room.put(room, fresh)
    return True


def _adopted(how: Renewal, path: Path, old: str, size: int) -> bool:
    """Whether one that was cut short had left what renews it."""
    mark = digest(old)
    credential_room.sweep(path, mark)
    kept = credential_room.left(path, mark, MAX_BYTES)
    if kept is None or how.refresh(kept) in ("", old):
        return False
    with credential_room.again(path, mark, kept) as room, _writing(how):
        now = _read_whole(path)
        if now is None or how.refresh(now.raw) != old:
            credential_room.drop(room)
            return False
        credential_room.put(room, how.adopted(now.raw, kept))
    return True


def _read_whole(path: Path) -> Found | None:
    """Who writes it in place may be in the middle. Raises ConfigError."""
    deadline = time.monotonic() + TORN_S
    while True:
        found = read(path)
        if found is None or _is_whole(found.raw):
            return found
        if time.monotonic() > deadline:
            raise ConfigError(f"{path} is no JSON")
        time.sleep(0.1)


def _is_whole(raw: bytes) -> bool:
    try:
        return isinstance(jsonline.loads(raw), dict)
    except (ValueError, RecursionError):
        return False


@contextlib.contextmanager
def _writing(how: Renewal) -> Iterator[None]:
    """By the lock of who writes the file, where there is one; what is new is written anyway."""
    with contextlib.ExitStack() as stack:
        if lock := how.write_lock(str(Path(how.path).parent)):
            with contextlib.suppress(RumpelError):
                stack.enter_context(folder_locks.taken([lock], WRITE_WAIT_S, WRITE_STALE_S))
        yield
