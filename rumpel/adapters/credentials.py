"""A person's sign-in on this machine: read, and renewed as its own program would.

Only one use of a refresh token is ever answered, so the order is: the program's own lock, the file
read again, room for the answer proven, the request, the answer into the file. All of it is one
blocking call: nothing can be cancelled between the answer and the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import stat
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rumpel import __version__, jsonline
from rumpel.errors import ConfigError, RumpelError, TimedOut

MAX_BYTES = 1 << 20
MAX_ANSWER_BYTES = 256 << 10
ASK_TIMEOUT_S = 20.0
LOCK_TIMEOUT_S = 30.0
STALE_S = 60.0
"""So old a lock was left by one that is gone; it is younger than that as long as it is held."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class SignedOut(ConfigError):
    """The refresh token will never do again: a person has to sign in."""

    code = "signed-out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """How a file is renewed, whatever its format."""

    path: str
    url: str
    locks: Callable[[str, str], list[str]]
    refresh: Callable[[bytes], str]
    """The refresh token of a file's content; empty: none."""
    is_due: Callable[[bytes], bool]
    asked: Callable[[bytes], Mapping[str, str]]
    renewed: Callable[[bytes, Mapping[str, Any], float], bytes | None]
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
        with Path(path).open("rb") as file:
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
    return hashlib.blake2b(secret.encode(), digest_size=12).hexdigest()


def renew(how: Renewal) -> bool:
    """False: somebody else had done it, or there was no need.

    Raises SignedOut, or RumpelError when it can be tried again; it blocks for a minute at most.
    """
    folder, path = Path(how.path).parent, Path(how.path).resolve()  # a link stays one
    with _locked(how.locks(str(folder), str(folder.resolve()))):
        found = read(path)
        if found is None or not how.is_due(found.raw):
            return False
        if not how.refresh(found.raw):
            raise SignedOut(f"{how.path} holds nothing that could renew it")
        with _room(path, len(found.raw)) as room:
            answer = _asked(how, found.raw)
            fresh = how.renewed(found.raw, answer, time.time())
            if fresh is None:
                raise RumpelError(f"{_server(how.url)} gave no token")
            now = read(path)
            if now is None or how.refresh(now.raw) != how.refresh(found.raw):
                return False  # they signed in, or out, meanwhile: that counts
            if now.raw != found.raw:  # something else in it
                fresh = how.renewed(now.raw, answer, time.time()) or fresh
            _put(room, path, fresh)
    return True


def _asked(how: Renewal, raw: bytes) -> dict[str, Any]:
    """Raises SignedOut, RumpelError; never with a word of what was sent or answered."""
    request = urllib.request.Request(  # noqa: S310 - checked
        _checked(how.url),
        data=jsonline.dumps(dict(how.asked(raw))).encode(),
        headers={
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": f"rumpel/{__version__}",
        },
    )
    server = _server(how.url)
    try:
        with urllib.request.build_opener(_Stay).open(request, timeout=ASK_TIMEOUT_S) as answer:
            return _object(answer.read(MAX_ANSWER_BYTES))
    except urllib.error.HTTPError as error:
        with error, contextlib.suppress(OSError, http.client.HTTPException):
            if how.is_spent(error.code, _object(error.read(MAX_ANSWER_BYTES))):
                raise SignedOut(f"{server} takes the refresh token of {how.path} no more") from None
        raise RumpelError(f"{server} answered {error.code}") from None
    except OSError as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise RumpelError(f"{server} cannot be reached: {why}") from None
    except (ValueError, http.client.HTTPException) as error:
        raise RumpelError(f"{server} gave no answer: {type(error).__name__}") from None


class _Stay(urllib.request.HTTPRedirectHandler):
    """A refresh token goes where it was sent and nowhere else."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _checked(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK):
        return url
    raise ConfigError("a sign-in is renewed over https only", details={"server": _server(url)})


def _server(url: str) -> str:
    return urllib.parse.urlsplit(url).hostname or "the server of sign-ins"


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = jsonline.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def _locked(locks: list[str]) -> Iterator[None]:
    """Folders made in turn, as `proper-lockfile` does, by whose rules the agents' programs go."""
    with contextlib.ExitStack() as stack:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        for path in map(Path, locks):
            while not _made(path):
                if time.monotonic() > deadline:
                    raise TimedOut(f"somebody else renews this sign-in, by {path}")
                time.sleep(0.2)
            stack.callback(_removed, path)
        yield


def _made(path: Path) -> bool:
    try:
        path.mkdir(0o700)
    except FileExistsError:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE_S:
                path.rmdir()
        return False
    except OSError as error:
        raise ConfigError(f"{path} cannot be made: {error.strerror}") from error
    return True


def _removed(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()


@contextlib.contextmanager
def _room(path: Path, size: int) -> Iterator[Path]:
    """A file beside it that can take what comes: an answer that finds no place is lost."""
    room = path.with_name(f"{path.name}.rumpel-{os.getpid()}")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(room, flags, 0o600), "wb") as file:
            file.write(b" " * (2 * size + (16 << 10)))
            file.flush()
            os.fsync(file.fileno())
        shutil.copymode(path, room)
    except OSError as error:
        room.unlink(missing_ok=True)
        raise ConfigError(f"{path} cannot be replaced: {error.strerror}") from error
    try:
        yield room
    finally:
        room.unlink(missing_ok=True)


def _put(room: Path, path: Path, content: bytes) -> None:
    try:
        with room.open("r+b") as file:
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        room.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise RumpelError(
            f"what renews your sign-in could not be written to {path}: {error.strerror}"
        ) from error
