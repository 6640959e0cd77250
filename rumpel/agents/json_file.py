"""A file of an agent's own, in JSON: what lies in a pod may be anything."""

from __future__ import annotations

import json
from typing import Any

MAX_BYTES = 2 << 20
"""Of a file that is read; a larger one is begun anew."""


def read(text: bytes | None) -> dict[str, Any]:
    """Empty when there is none, or it is not one."""
    if text is not None and len(text) > MAX_BYTES:
        return {}
    try:
        value = json.loads(text or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def inner(parent: dict[str, Any], key: str) -> dict[str, Any]:
    """Whatever is there that is no object goes."""
    if not isinstance(parent.get(key), dict):
        parent[key] = {}
    found: dict[str, Any] = parent[key]
    return found


def written(value: dict[str, Any]) -> bytes:
    """Without `indent`, which costs a hundred times the memory. Raises RecursionError."""
    return json.dumps(value).encode()
