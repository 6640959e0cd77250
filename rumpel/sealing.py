"""Values that are nobody's business, as keyed digests: what is stored and shown in their stead.

A digest is known by its type, which what is read back from the database is given where such a value
was: a text of a user's own that looks like one is a text like others.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

SEAL = "sealed:"
FORM = re.compile(rf"{SEAL}[0-9a-f]{{32}}")
Places = tuple[tuple[str | int, ...], ...]


class Sealed(str):
    """A digest, or a text with one in it."""

    __slots__ = ()


def sealed(env: Mapping[str, str | None], private: Iterable[str]) -> dict[str, str | None]:
    """`env` with the values of `private` names as digests; sealing twice changes nothing."""
    return _named(env, private, _seal)


def sealed_at(value: Any, places: Places) -> Any:
    """`value` with the texts at these places as digests."""
    return _at(value, places, _seal)


def sealed_in(value: Any, hidden: Iterable[str]) -> Any:
    """`value` with each of `hidden`, wherever it stands in its strings, as a digest."""
    return _each(value, lambda text: _replaced(text, hidden))


def read_back(env: Mapping[str, str | None], private: Iterable[str]) -> dict[str, str | None]:
    """What `sealed` made, once it was written down and read."""
    return _named(env, private, _read)


def read_back_at(value: Any, places: Places) -> Any:
    """What `sealed_at` made."""
    return _at(value, places, _read)


def read_back_in(value: Any) -> Any:
    """What `sealed_in` made."""
    return _each(value, lambda text: Sealed(text) if FORM.search(text) else text)


def is_sealed(value: Any) -> bool:
    """Is there a digest where a value was?"""
    if isinstance(value, dict | list | tuple):
        return any(map(is_sealed, value.values() if isinstance(value, dict) else value))
    return isinstance(value, Sealed)


def _seal(text: str) -> str:
    if isinstance(text, Sealed):
        return text
    return Sealed(SEAL + hashlib.blake2b(text.encode(), digest_size=16, key=b"rumpel").hexdigest())


def _read(text: str) -> str:
    return Sealed(text) if FORM.fullmatch(text) else text


def _replaced(text: str, hidden: Iterable[str]) -> str:
    if isinstance(text, Sealed):
        return text
    for one in hidden:
        text = text.replace(one, _seal(one))
    return text


def _named(
    env: Mapping[str, str | None], private: Iterable[str], change: Callable[[str], str]
) -> dict[str, str | None]:
    hidden = set(private)
    return {
        name: change(value) if name in hidden and value is not None else value
        for name, value in env.items()
    }


def _at(value: Any, places: Places, change: Callable[[str], str]) -> Any:
    if not places:
        return value
    if () in places or not isinstance(value, dict | list | tuple):
        return change(value) if isinstance(value, str) else value
    items = value.items() if isinstance(value, dict) else enumerate(value)
    done = {
        key: _at(inner, tuple(path[1:] for path in places if path[0] == key), change)
        for key, inner in items
    }
    return done if isinstance(value, dict) else list(done.values())


def _each(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each(inner, change) for key, inner in value.items()}
    return [_each(one, change) for one in value] if isinstance(value, list | tuple) else value
