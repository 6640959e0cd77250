"""Which engine the user means: $DOCKER_HOST, $DOCKER_CONTEXT, or the docker CLI's current context.

The same order as the docker CLI's. Files only, no call; what it names may be unreachable, or an
ssh address, which is not for this adapter.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rumpel.errors import ConfigError

DEFAULT_SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Tls:
    """Files, empty where there are none; without `verify` any certificate will do."""

    ca: str = ""
    cert: str = ""
    key: str = ""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Address:
    """An engine's URL, and where it comes from, for people."""

    url: str
    origin: str
    """`DOCKER_HOST`, `context NAME` or `default`."""
    tls: Tls | None = None


def resolve(env: Mapping[str, str]) -> Address:
    """`env` is the caller's, not the daemon's. Blocking. Raises ConfigError: no such context."""
    folder = Path(env.get("DOCKER_CONFIG") or Path(env.get("HOME") or "~").expanduser() / ".docker")
    if url := env.get("DOCKER_HOST"):
        return Address(url, "DOCKER_HOST", _tls_of(env, folder))
    name = env.get("DOCKER_CONTEXT") or _current(folder)
    if not name or name == "default":
        return Address(_default(env), "default")
    return _stored(folder, name)


def _default(env: Mapping[str, str]) -> str:
    """The usual socket; a rootless engine's, when only that is there."""
    rootless = Path(env.get("XDG_RUNTIME_DIR") or "/nowhere", "docker.sock")
    if not Path(DEFAULT_SOCKET).exists() and rootless.exists():
        return f"unix://{rootless}"
    return f"unix://{DEFAULT_SOCKET}"


def _current(folder: Path) -> str:
    found = _read(folder / "config.json")
    name = found.get("currentContext") if found else None
    return name if isinstance(name, str) else ""


def _stored(folder: Path, name: str) -> Address:
    """Layout: contexts/meta/<sha256 of the name>/meta.json, and tls/<same>/docker/*.pem."""
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = _read(folder / "contexts" / "meta" / key / "meta.json")
    endpoints = meta.get("Endpoints") if meta else None
    endpoint = endpoints.get("docker") if isinstance(endpoints, dict) else None
    url = endpoint.get("Host") if isinstance(endpoint, dict) else None
    if not isinstance(endpoint, dict) or not isinstance(url, str):
        raise ConfigError(f"there is no docker context {name!r}", hint="docker context ls")
    tls_dir = folder / "contexts" / "tls" / key / "docker"
    is_lax = endpoint.get("SkipTLSVerify") is True
    has_tls = tls_dir.is_dir() or is_lax
    tls = _files(tls_dir, verify=not is_lax) if has_tls and not _is_local(url) else None
    return Address(url, f"context {name}", tls)


def _tls_of(env: Mapping[str, str], folder: Path) -> Tls | None:
    """`DOCKER_TLS_VERIFY` and `DOCKER_TLS`: any word switches them on, as in the docker CLI."""
    verify = bool(env.get("DOCKER_TLS_VERIFY"))
    if not verify and not env.get("DOCKER_TLS"):
        return None
    if _is_local(env["DOCKER_HOST"]):
        return None
    return _files(Path(env.get("DOCKER_CERT_PATH") or folder), verify=verify)


def _is_local(url: str) -> bool:
    """Or by SSH: no TLS is spoken there, whatever is set."""
    return not url.startswith(("tcp://", "http://", "https://"))


def _files(folder: Path, *, verify: bool) -> Tls:
    """A ca.pem that is missing means the system's authorities; a key belongs to its certificate."""
    found = {name: folder / f"{name}.pem" for name in ("ca", "cert", "key")}
    names = {name: str(path) if path.exists() else "" for name, path in found.items()}
    return Tls(names["ca"], names["cert"], names["key"], verify)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
