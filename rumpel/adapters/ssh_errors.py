"""Why an SSH host is not reached, in the words of rumpel, with what to type."""

from __future__ import annotations

import shlex
import socket
from typing import Any

import asyncssh

from rumpel import text
from rumpel.adapters.ssh_name import SshName
from rumpel.errors import HostUnreachable

MAX_TEXT = 300


class SshRefused(HostUnreachable):
    """The machine is there, but does not let this user in."""

    code = "ssh-refused"


class HostKeyUnknown(SshRefused):
    code = "host-key-unknown"


class HostKeyChanged(SshRefused):
    code = "host-key-changed"


class NoDocker(HostUnreachable):
    """SSH works; there is no Docker to be had at its other end."""

    code = "no-docker"


class Asked:
    """What is wanted, as the user's configuration completes it, and what the host showed."""

    def __init__(self, name: SshName, files: list[str]) -> None:
        self.name, self.files = name, files
        self.host, self.port, self.user = name.host, name.port or 22, name.user
        self.jumps: list[SshName] = []
        """Machines on the way, the nearest one first."""
        self.known_as = ""
        """The name in known_hosts, where the configuration says another one."""
        self.known_files: list[str] = []
        self.known_hosts: Any = b"\n"
        self.shown: asyncssh.SSHKey | None = None
        """The key that is not known."""

    def client(self) -> asyncssh.SSHClient:
        return _Client(self)

    @property
    def place(self) -> str:
        """As known_hosts has it."""
        host = self.known_as or self.host
        return host if self.port == 22 else f"[{host}]:{self.port}"


class _Client(asyncssh.SSHClient):
    """Asks nobody: the daemon has no terminal. Notes the key it did not know."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def validate_host_public_key(
        self, host: str, addr: str, port: int, key: asyncssh.SSHKey
    ) -> bool:
        self._asked.shown = key
        return False


def refusal(asked: Asked, error: BaseException, timeout_s: float) -> HostUnreachable:
    """The error for a connection that was not made."""
    url, by_hand = asked.name.url, asked.name.command
    details = {"url": url, "cause": f"{type(error).__name__}: {text.safe(str(error))[:MAX_TEXT]}"}
    at = f"{asked.host}, port {asked.port}"
    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return _of_key(asked, details)
    if isinstance(error, asyncssh.PermissionDenied):
        return SshRefused(
            f"{url} refuses to let {asked.user} in: no key of yours is accepted there",
            hint=f"{by_hand}   must work without a password: ssh-copy-id, or ssh-add for a key "
            "with a passphrase",
            details=details,
        )
    if isinstance(error, socket.gaierror):
        why, hint = f"there is no host of the name {asked.host}", by_hand
    elif isinstance(error, ConnectionRefusedError):
        why, hint = f"nobody listens at {at} (is sshd running?)", by_hand
    elif isinstance(error, TimeoutError):
        why, hint = f"{at} did not answer within {timeout_s:g} s", by_hand
    elif isinstance(error, asyncssh.ConnectionLost):
        why, hint = f"{at} closed the connection", by_hand
    elif isinstance(error, ValueError):
        why, hint = f"your ssh configuration or a key cannot be used: {error}", f"{by_hand} -v"
    else:
        why, hint = text.safe(str(error))[:MAX_TEXT] or type(error).__name__, f"{by_hand} -v"
    return HostUnreachable(f"cannot reach {url}: {why}", hint=hint, details=details)


def _of_key(asked: Asked, details: dict[str, str]) -> SshRefused:
    """Unknown or changed: that is told by what known_hosts has of it."""
    url, shown = asked.name.url, asked.shown
    mark = "" if shown is None else f" ({shown.get_algorithm()} {shown.get_fingerprint()})"
    if _is_known(asked):
        files = asked.known_files[:1]
        file = f" -f {shlex.quote(files[0])}" if files else ""
        return HostKeyChanged(
            f"the host key of {url} is not the one that is known{mark}: "
            "another machine answers, or it was set up anew",
            hint=f"ssh-keygen{file} -R {shlex.quote(asked.place)}   if you know that it was",
            details=details,
        )
    return HostKeyUnknown(
        f"the host key of {url} is not known{mark}",
        hint=f"{asked.name.command}   shows it and asks; or ssh-keyscan",
        details=details,
    )


def _is_known(asked: Asked) -> bool:
    port = asked.port if asked.port != 22 else None
    try:
        found = asyncssh.match_known_hosts(
            asked.known_hosts, asked.known_as or asked.host, "", port
        )
    except (OSError, ValueError):
        return False
    return any(found)
