"""What can be written down and sent: no half characters, nothing nested without end.

Bytes that are no text, and models, bring lone surrogates; no service takes them, and one in a
conversation would end it for ever.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

MOST_DEPTH = 100
"""Lists and objects in each other: far more than the arguments of a tool have."""
T = TypeVar("T")


class TooDeep(ValueError):
    """Lists or objects in each other without end."""


def cleaned(value: T) -> T:
    """The same, with `?` for each lone surrogate. Raises TooDeep."""
    found: T = _cleaned(value, MOST_DEPTH)
    return found


def _cleaned(value: Any, left: int) -> Any:
    if left == 0:
        raise TooDeep(f"more than {MOST_DEPTH} lists and objects in each other")
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_cleaned(key, left): _cleaned(one, left - 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cleaned(one, left - 1) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        new = {one.name: _cleaned(getattr(value, one.name), left - 1) for one in fields(value)}
        return replace(value, **new)
    return value
