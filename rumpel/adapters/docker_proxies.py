"""Proxy variables as docker has them: `proxies` of the user's docker configuration.

docker hands them to every build and container. Here they go to the commands of a pod and to
builds, and into no container's settings, where everybody could read a password in them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

NAMES = {
    "httpProxy": "HTTP_PROXY",
    "httpsProxy": "HTTPS_PROXY",
    "noProxy": "NO_PROXY",
    "ftpProxy": "FTP_PROXY",
    "allProxy": "ALL_PROXY",
}
VARIABLES = frozenset({name for one in NAMES.values() for name in (one, one.lower())})
_PASSWORD = re.compile(r"(://)[^/@\s]*@")


def configured(url: str) -> dict[str, str]:
    """For the engine at `url`: its own, else those of `default`. Blocking."""
    folder = os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()
    try:
        config = json.loads((Path(folder) / "config.json").read_bytes())
        rows = config["proxies"]
        found = rows.get(url) or rows.get("default") or {}
        given = {NAMES[key]: value for key, value in found.items() if key in NAMES}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return both_cases({name: value for name, value in given.items() if _is_plain(value)})


def of_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Those that a shell has. A lower-case one counts, as for most programs."""
    found = {name.upper(): env[name] for name in sorted(VARIABLES) if env.get(name)}
    return both_cases({name: value for name, value in found.items() if _is_plain(value)})


def both_cases(given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for one, value in given.items() for name in (one, one.lower())}


def shown(value: str) -> str:
    """Without user and password."""
    return _PASSWORD.sub(r"\1***@", value)


def _is_plain(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()
