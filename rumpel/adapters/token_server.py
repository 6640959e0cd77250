"""One question to a server of sign-ins, within a time that holds for all of it.

It connects first and asks then whether it still may: nothing that can be used once is sent over a
connection that was long in coming.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.parse
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rumpel import __version__, jsonline
from rumpel.errors import ConfigError, RumpelError

MAX_ANSWER_BYTES = 1 << 20
CONNECT_TIMEOUT_S = 10.0
DEADLINE_S = 25.0
"""For the answer, from the question to its last byte."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def ask(url: str, asked: Mapping[str, str], may: Callable[[], None]) -> tuple[int, dict[str, Any]]:
    """Its status, and what it answered; empty when that was no object. `may` raises when not.

    Raises ConfigError for a URL that is none, RumpelError when there is no answer; never with a
    word of what was sent or answered.
    """
    parts = checked(url)
    body, server = jsonline.dumps(dict(asked)).encode(), parts.hostname
    try:
        connection = _connection(parts)
        with contextlib.closing(connection):
            connection.connect()
            may()
            with _ended_in_time(connection.sock):
                connection.request("POST", _target(parts), body, _headers())
                answer = connection.getresponse()
                return answer.status, _object(answer.read(MAX_ANSWER_BYTES))
    except OSError as error:
        raise RumpelError(f"{server} cannot be reached: {error.strerror or error}") from None
    except (ValueError, http.client.HTTPException) as error:
        raise RumpelError(f"{server} gave no answer: {type(error).__name__}") from None


def checked(url: str) -> urllib.parse.SplitResult:
    """Raises ConfigError."""
    try:
        parts = urllib.parse.urlsplit(url)
        is_right = parts.scheme == "https" or (
            parts.scheme == "http" and parts.hostname in LOOPBACK
        )
        is_right = is_right and bool(parts.hostname) and parts.port != 0 and url.isascii()
    except ValueError:
        is_right = False
    if not is_right:
        raise ConfigError("a sign-in is renewed over https only")
    return parts


def _headers() -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Accept": "application/json",
        "User-Agent": f"rumpel/{__version__}",
    }


def _target(parts: urllib.parse.SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _connection(parts: urllib.parse.SplitResult) -> http.client.HTTPConnection:
    """Through the proxy of the environment, if there is one; it sees no token."""
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=CONNECT_TIMEOUT_S)
    context, port = ssl.create_default_context(), parts.port or 443
    proxy = urllib.request.getproxies().get("https")
    if not proxy or urllib.request.proxy_bypass(host):
        return http.client.HTTPSConnection(host, port, timeout=CONNECT_TIMEOUT_S, context=context)
    by = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    made = http.client.HTTPSConnection(
        by.hostname or "", by.port or 80, timeout=CONNECT_TIMEOUT_S, context=context
    )
    words = f"{urllib.parse.unquote(by.username or '')}:{urllib.parse.unquote(by.password or '')}"
    known = {"Proxy-Authorization": f"Basic {b64encode(words.encode()).decode()}"}
    made.set_tunnel(host, port, known if by.username else {})
    return made


@contextlib.contextmanager
def _ended_in_time(sock: socket.socket) -> Iterator[None]:
    """A server that sends a byte now and then holds nobody: the limit of a socket is per read."""
    sock.settimeout(DEADLINE_S)
    is_done, deadline = threading.Event(), time.monotonic() + DEADLINE_S

    def end() -> None:
        if not is_done.wait(max(0.0, deadline - time.monotonic())):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # below TLS, which has its reader

    thread = threading.Thread(target=end, name="time of a sign-in", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()


def _object(raw: bytes) -> dict[str, Any]:
    try:
        value = jsonline.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
