"""Registry credentials of the user's docker configuration, as the headers an engine wants.

The only importer of docker-py: it knows config.json, credential stores and helpers. Imported at
the first pull or build, in the thread that needs it (it costs 0.2 s and 12 MB).
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Mapping

_LOCK = threading.Lock()
"""Credential helpers are programs of the user: one at a time."""


def pull_headers(ref: str) -> Mapping[str, str]:
    """`X-Registry-Auth` for the registry of `ref`, when credentials are known. Blocking."""
    import docker.auth
    import docker.errors

    with _LOCK:
        try:
            registry, _ = docker.auth.resolve_repository_name(ref)
            found = docker.auth.resolve_authconfig(docker.auth.load_config(), registry)
        except docker.errors.DockerException:
            # A broken helper or name: the registry's own answer says more than we could.
            return {}
    return {"X-Registry-Auth": _encoded(found)} if found else {}


def build_headers() -> Mapping[str, str]:
    """`X-Registry-Config` with every credential, for the base images of a build. Blocking."""
    import docker.auth
    import docker.errors

    with _LOCK:
        try:
            config = docker.auth.load_config()
            found = config.get_all_credentials()  # type: ignore[no-untyped-call]
        except docker.errors.DockerException:
            return {}
    return {"X-Registry-Config": _encoded(found)} if found else {}


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
