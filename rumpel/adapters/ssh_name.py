"""Names of SSH hosts: `ssh://[user@]host[:port]`, hostile text until it went through `parse`.

`host` may be an alias of the user's ssh configuration, where it is put into `ProxyCommand` and
`Match exec` for `%h`: so nothing gets through that a shell, or a program's options, would see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rumpel import text
from rumpel.errors import UsageError

SCHEME = "ssh://"
OTHERS = ("tcp://", "unix://", "http://", "https://", "npipe://")
MAX_CHARS = 255
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]")


@dataclass(frozen=True, slots=True)
class SshName:
    """What is not said is left to the user's ssh configuration."""

    user: str
    host: str
    port: int | None

    @property
    def url(self) -> str:
        """Always the same for the same name: it is part of what pods are known by."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SCHEME}{user}{host}" + ("" if self.port is None else f":{self.port}")

    @property
    def command(self) -> str:
        """What to type to get there by hand."""
        port = "" if self.port is None else f" -p {self.port}"
        return f"ssh{port} {self.user + '@' if self.user else ''}{self.host}"


def is_ssh(host: str) -> bool:
    return host.startswith(SCHEME)


def parse(url: str) -> SshName:
    """Raises UsageError, for all that is not plainly a name."""
    rest = url.removeprefix(SCHEME)
    user, at, place = rest.rpartition("@")
    found = _IPV6.match(place) or _HOST.match(place)
    host = found[0] if found else ""
    colon, port = place[len(host) :][:1], place[len(host) + 1 :]
    number = int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0
    is_good = (
        rest != url
        and len(url) <= MAX_CHARS
        and (not at or _USER.fullmatch(user))
        and host
        and (not colon or (colon == ":" and 0 < number < 65_536))
    )
    if not is_good:
        raise UsageError(
            f"this is no name of a host: {text.safe(url)[:MAX_CHARS]!r}",
            hint="use local or ssh://[user@]host[:port]"
            + ("; local is where DOCKER_HOST leads" if url.startswith(OTHERS) else ""),
        )
    return SshName(user, host.strip("[]"), number or None)
