"""Registry credentials of the user's docker configuration, as the headers an engine wants.

The only importer of docker-py: it knows config.json, credential stores and helpers. Imported at
the first pull or build of a user who has credentials, in the thread that needs it: it costs
0.3 s and 12 MB.
"""

from __future__ import annotations

import base64
import json
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_LOCK = threading.Lock()
"""Credential helpers are programs of the user: one at a time."""


def pull_headers(ref: str) -> Mapping[str, str]:
    """`X-Registry-Auth` for the registry of `ref`, when credentials are known. Blocking."""
    if not has_credentials():
        return {}
    import docker.auth

    def question() -> Mapping[str, object] | None:
        registry, _ = docker.auth.resolve_repository_name(ref)
        config = docker.auth.load_config()
        known: Mapping[str, object] | None = docker.auth.resolve_authconfig(config, registry)
        return known

    found = _ask(question)
    return {"X-Registry-Auth": _encoded(found)} if found else {}


def build_headers() -> Mapping[str, str]:
    """`X-Registry-Config` with every credential, for the base images of a build. Blocking."""
    if not has_credentials():
        return {}
    import docker.auth

    found = _ask(lambda: docker.auth.load_config().get_all_credentials())  # type: ignore[no-untyped-call] # docker-py
    return {"X-Registry-Config": _encoded(found)} if found else {}


def login(host: str) -> tuple[str, str] | None:
    """(user, password) for a registry, when there are such. Blocking."""
    if not has_credentials():
        return None
    import docker.auth

    def question() -> Mapping[str, object] | None:
        config = docker.auth.load_config()
        known: Mapping[str, object] | None = docker.auth.resolve_authconfig(config, host)
        return known

    found = _ask(question) or {}
    user = found.get("username") or found.get("Username")
    password = found.get("password") or found.get("Password")
    return (str(user), str(password)) if user and password else None


def _ask(question: Callable[[], T]) -> T | None:
    """The answer; None when a helper is missing or fails: the registry's own word says more."""
    from docker.credentials.errors import StoreError
    from docker.errors import DockerException

    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "docker-credential-x not installed"
        try:
            return question()
        except (DockerException, StoreError, ValueError, KeyError, OSError):
            return None


def has_credentials() -> bool:
    """Whether the configuration names any: most machines have none, and need no docker-py."""
    config = _config()
    return any(config.get(name) for name in ("auths", "credsStore", "credHelpers"))


def known() -> list[str]:
    """The registries that the configuration has credentials for, and how; no secret. Blocking."""
    config, found = _config(), {}
    for name, given in _table(config, "auths").items():
        found[name] = "docker login" if given else f"helper {config.get('credsStore')}"
    found |= {name: f"helper {one}" for name, one in _table(config, "credHelpers").items()}
    return [f"{name} ({how})" for name, how in found.items()]


def _table(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _config() -> Mapping[str, Any]:
    folder = os.environ.get("DOCKER_CONFIG") or Path("~/.docker").expanduser()
    try:
        config = json.loads((Path(folder) / "config.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
