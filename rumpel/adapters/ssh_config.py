"""What the user's ssh configuration says of a host, as far as errors and host keys need it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import asyncssh

from rumpel.adapters import threads
from rumpel.adapters.ssh_errors import Asked, refusal
from rumpel.adapters.ssh_name import SshName

SYSTEM_CONFIG = "/etc/ssh/ssh_config"
SYSTEM_KNOWN = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
USER_KNOWN = ("~/.ssh/known_hosts", "~/.ssh/known_hosts2")


async def read(name: SshName) -> Asked:
    """Raises HostUnreachable for a configuration that cannot be read."""
    return await threads.call(_read, name)


def said(name: SshName) -> dict[str, Any]:
    """What the name itself says goes before the configuration."""
    found: dict[str, Any] = {}
    if name.user:
        found["username"] = name.user
    if name.port is not None:
        found["port"] = name.port
    return found


def _read(name: SshName) -> Asked:
    """Blocking."""
    files = [path for path in (_home("~/.ssh/config"), SYSTEM_CONFIG) if os.access(path, os.R_OK)]
    asked = Asked(name, files)
    try:
        options = asyncssh.SSHClientConnectionOptions(
            config=files, host=name.host, known_hosts=b"", **said(name)
        )
    except (asyncssh.Error, OSError, ValueError) as error:
        raise refusal(asked, error, 0) from error
    config: Any = options.config
    # An empty list is `none`, which asyncssh takes for "do not look".
    users = [_home(path) for path in config.get("UserKnownHostsFile", USER_KNOWN)]
    system = [_home(path) for path in config.get("GlobalKnownHostsFile", SYSTEM_KNOWN)]
    asked.known_files = users
    known = [path for path in (*users, *system) if os.access(path, os.R_OK)]
    asked.known_hosts = known or b"\n"
    asked.host, asked.port = str(options.host), int(options.port)
    asked.user, asked.known_as = str(options.username), str(options.host_key_alias or "")
    if isinstance(options.tunnel, str):
        asked.jumps = [_jump(place) for place in options.tunnel.split(",")]
    return asked


def _jump(place: str) -> SshName:
    """`[user@]host[:port]`, as `ProxyJump` of the user's own configuration has it."""
    user, _, rest = place.strip().removeprefix("ssh://").rpartition("@")
    is_plain = rest.count(":") == 1 or (rest.startswith("[") and not rest.endswith("]"))
    host, _, port = rest.rpartition(":") if is_plain else (rest, "", "")
    return SshName(user, host.strip("[]"), int(port) if port.isdecimal() else None)


def _home(path: str) -> str:
    return str(Path(path).expanduser())
