"""Values that are nobody's business, as keyed digests: what is stored and shown in their stead."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

SEAL = "sealed:"


def sealed(env: Mapping[str, str | None], private: Iterable[str]) -> dict[str, str | None]:
    """`env` with the values of `private` names as digests; sealing twice changes nothing."""
    hidden = set(private)
    return {
        name: _seal(value) if name in hidden and value is not None else value
        for name, value in env.items()
    }


def _seal(text: str) -> str:
    if text.startswith(SEAL):
        return text
    return SEAL + hashlib.blake2b(text.encode(), digest_size=16, key=b"rumpel").hexdigest()


def sealed_at(value: Any, places: tuple[tuple[str | int, ...], ...]) -> Any:
    """`value` with the texts at these places as digests."""
    if not places:
        return value
    if () in places:
        return _seal(value) if isinstance(value, str) else value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    done = {
        key: sealed_at(inner, tuple(path[1:] for path in places if path[0] == key))
        for key, inner in items
    }
    return done if isinstance(value, dict) else list(done.values())


def sealed_in(value: Any, hidden: Iterable[str]) -> Any:
    """`value` with each of `hidden`, wherever it stands in its strings, as a digest."""
    if isinstance(value, str):
        for one in hidden:
            value = value.replace(one, _seal(one))
        return value
    if isinstance(value, dict):
        return {key: sealed_in(inner, hidden) for key, inner in value.items()}
    return [sealed_in(one, hidden) for one in value] if isinstance(value, list | tuple) else value


def is_sealed(value: Any) -> bool:
    """Is there a digest where a value was?"""
    return SEAL in json.dumps(value)
