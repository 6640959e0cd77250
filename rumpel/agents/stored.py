"""A person's own sign-in, as an agent keeps it in a file of theirs. Values and pure functions.

It holds an access token that lasts for hours and a refresh token that is good for one use: whoever
uses it has to keep the one that comes back, else the person is signed out everywhere. So pods are
lent a file with the access token alone, and who renews it writes the person's own file first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_BYTES = 1 << 20
SPENT = frozenset(
    {
        "invalid_grant",  # RFC 6749, 5.2
        "refresh_token_expired",  # OpenAI's own
        "refresh_token_reused",
        "refresh_token_invalidated",
    }
)
"""Errors of an OAuth server after which the same refresh token will never do again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What a file holds."""

    access: str = field(repr=False)
    refresh: str = field(default="", repr=False)
    """Empty: nobody can renew it."""
    expires_at: float | None = None
    """Unix time; None: it does not say."""
    variable: str = ""
    """It is a key, and goes into this variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where an agent keeps its sign-in, what of it goes into a pod, and how it is renewed."""

    folder: Callable[[Mapping[str, str]], str]
    """On the host, from the environment."""
    file: str
    """Its name, there and in the agent's home in a pod."""
    read: Callable[[Mapping[str, Any]], Held | None]
    """None: it holds no sign-in."""
    lent: Callable[[Mapping[str, Any]], dict[str, Any]]
    """The file for a pod: without what could renew it."""
    url: Callable[[Mapping[str, str]], str]
    """Where it is renewed, from the environment."""
    servers: frozenset[str]
    """The hosts that may be one: what renews a sign-in is sent nowhere else."""
    asked: Callable[[Mapping[str, Any]], dict[str, str]]
    """What is posted there."""
    renewed: Callable[[Mapping[str, Any], Mapping[str, Any], float], dict[str, Any] | None]
    """The file with what was answered at a time; None: there is no token in it."""
    locks: Callable[[str, str], list[str]]
    """Folders that its own program makes before it renews: (the folder, its real path) -> paths."""
    write_lock: Callable[[str], str]
    """The folder that it makes, below its folder, for each change of the file; empty: none."""
    renews: tuple[str, ...]
    """Keys of the file that a renewal changes."""
    sign_in: str
    """What a person types on the host."""


def parsed(raw: bytes) -> dict[str, Any]:
    """Empty for what is no object."""
    try:
        value = json.loads(raw) if len(raw) <= MAX_BYTES else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def written(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def adopted(of: Stored, value: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """A file with what was renewed in a copy of it."""
    return {**value, **{key: kept[key] for key in of.renews if key in kept}}


def inner(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def text_of(value: Mapping[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def is_spent(status: int, answer: Mapping[str, Any]) -> bool:
    """Whether an error says that the refresh token will never do again."""
    error = answer.get("error")
    codes = [error, answer.get("code")]
    codes += [error.get("code"), error.get("type")] if isinstance(error, dict) else []
    return status in (400, 401) and any(isinstance(one, str) and one in SPENT for one in codes)
