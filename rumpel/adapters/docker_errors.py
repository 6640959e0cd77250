"""What a Docker engine answers, or fails to answer, as the errors of rumpel.

The only place that matches an engine's message text; tests/adapters/docker/test_errors.py has a
recorded sample of each.
"""

from __future__ import annotations

import json
import re

from rumpel.adapters import ssh_name
from rumpel.errors import Conflict, HostUnreachable, NameTaken, NotFound, NotRunning, RumpelError

MAX_MESSAGE = 2_000
"""Characters of an engine's message that are kept."""

_NAME_IN_USE = re.compile(r'name "?/?([^" ]*)"?(?: is)? already in use')
_STOPPED = ("container state improper",)
_CONFLICTS = (*_STOPPED, "that name is already in use")
"""What Podman says at the end, with status 500, where Docker says 409."""
_GONE = "no such container"
"""The same, and 404: of one that went while it was asked for, or while all were listed."""


class ProtocolError(HostUnreachable):
    """The other side does not speak Docker's API, or breaks its rules."""

    code = "docker-protocol"


def cut(what: str, url: str, err: OSError) -> HostUnreachable:
    """The error for the stream of `what`, as of a process, that was ended in the middle."""
    return HostUnreachable(
        f"Docker at {url} closed the stream of {what}",
        hint=_look(url),
        details={"url": url, "cause": f"{type(err).__name__}: {err}"},
    )


def _look(url: str) -> str:
    """How to see by hand whether it answers."""
    return f"{ssh_name.parse(url).command} docker info" if ssh_name.is_ssh(url) else "docker info"


def unreachable(url: str, err: BaseException, timeout_s: float) -> HostUnreachable:
    """The error for a connection that failed, was cut, or stayed silent for `timeout_s`."""
    look = _look(url)
    details = {"url": url, "cause": f"{type(err).__name__}: {err}"}
    if isinstance(err, TimeoutError):
        message = f"Docker at {url} did not answer within {timeout_s:g} s"
        return HostUnreachable(message, hint=look, details=details)
    if isinstance(err, PermissionError):
        return HostUnreachable(
            f"no permission to use Docker at {url}",
            hint="add yourself to the group of that socket: sudo usermod -aG docker $USER",
            details=details,
        )
    if isinstance(err, FileNotFoundError | ConnectionRefusedError):
        return HostUnreachable(f"Docker is not running at {url}", hint=look, details=details)
    if isinstance(err, EOFError | ConnectionError):
        message = f"Docker at {url} closed the connection"
        return HostUnreachable(message, hint=look, details=details)
    return HostUnreachable(f"cannot reach Docker at {url}: {err}", details=details)


def check_status(status: int, body: bytes, what: str) -> None:
    """Return for 1xx-3xx, else raise the leaf that fits; `what` is e.g. `container abc`."""
    if status < 400:
        return
    text = engine_message(body) or f"status {status}"
    subject = f"{what}: {text}" if what else text
    details = {"status": status, "engine": text}
    if status == 404 or text.endswith(_GONE):
        raise NotFound(subject, details=details)
    if status == 409 or text.endswith(_CONFLICTS):
        if found := _NAME_IN_USE.search(text):
            raise NameTaken(f"the container name {found[1]} is taken", details=details)
        is_stopped = text.endswith((*_STOPPED, "is not running"))
        raise (NotRunning if is_stopped else Conflict)(subject, details=details)
    raise RumpelError(subject, details=details)


def engine_message(body: bytes) -> str:
    """The `message` of an error answer, one bounded line."""
    try:
        decoded = json.loads(body)
        text = decoded["message"]
    except (ValueError, TypeError, KeyError, RecursionError):
        text = body.decode("utf-8", "replace")
    return " ".join(str(text).split())[:MAX_MESSAGE]
