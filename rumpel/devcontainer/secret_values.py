"""Values for the `secrets` that a configuration declares: from a file of the user's own.

As the reference's `--secrets-file`: they are variables of lifecycle commands, and of nothing else.
The file is read when a command starts; values are never stored, and masked in what it prints.
Spec: containers.dev/implementors/declarative-secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from rumpel.devcontainer.body import side_file
from rumpel.errors import ConfigError
from rumpel.text import safe

MASK = "***"
MIN_MASKED = 6
"""Characters: a shorter value would spoil other text."""


def read(path: str, names: Iterable[str]) -> dict[str, str]:
    """Those of `names` that the file has: a JSON object, or lines NAME=VALUE. Blocking.

    Raises ConfigError, without a word of what is in it.
    """
    wanted = set(names)
    if not path or not wanted:
        return {}
    try:
        found = _parsed(side_file(path))
    except OSError as error:
        raise ConfigError(
            f"the secrets file {path} cannot be read: {error.strerror}",
            hint="put it back, or rumpel recreate POD --secrets-file FILE   names another one",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"the secrets file {path} is not as expected{_place(error)}",
            hint='it has {"NAME": "value"}, or lines NAME=value',
        ) from None
    return {name: value for name, value in found.items() if name in wanted}


class _Wrong(ValueError):
    """With words that have nothing of a value."""


def _place(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f": line {error.lineno}, column {error.colno}"
    return f": {error}" if isinstance(error, _Wrong) else ""


def _parsed(text: str) -> dict[str, str]:
    """Raises ValueError."""
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        found: Any = json.loads(text.removeprefix("\ufeff"))
        for name, value in found.items():
            if not isinstance(value, str) or "\0" in value:
                raise _Wrong(f"{safe(name)} is no text")
        return dict(found)
    values = {}
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        name, equals, value = line.strip().partition("=")
        if not name or name.startswith("#"):
            if equals and not name:
                raise _Wrong(f"line {number} has no name")
            continue
        if not equals:
            raise _Wrong(f"line {number} is no NAME=value")
        values[name.strip()] = value
    return values


def mask(value: Any, private: tuple[str, ...]) -> Any:
    """`value` with every private value in its strings replaced, for logs and for display."""
    if isinstance(value, str):
        for one in private:
            value = value.replace(one, MASK)
        return value
    if isinstance(value, dict):
        return {key: mask(inner, private) for key, inner in value.items()}
    return [mask(one, private) for one in value] if isinstance(value, list | tuple) else value


def mask_cut(text: str, private: tuple[str, ...]) -> str:
    """The same of a text that may end within a value, as none does that ends with its line."""
    body = text.removesuffix("...").rstrip("\ufffd")  # Docker marks it, and cuts in a character
    found = [match.span() for one in private for match in re.finditer(re.escape(one), text)]
    if not text.endswith("\n"):
        most = max((_begun(body, one) for one in private), default=0)
        found += [(len(body) - most, len(body))] if most else []
    done, last = "", 0
    for start, end in sorted(found):
        if start >= last:
            done += text[last:start] + MASK
        last = max(last, end)
    return done + text[last:]


def _begun(text: str, value: str) -> int:
    """How much of the beginning of `value` the text ends with."""
    longest = min(len(text), len(value) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(value[:size])), 0)


def of(env: Mapping[str, str | None], names: Iterable[str]) -> list[str]:
    """The values of such variables, as far as they have one."""
    return [value for name in names if (value := env.get(name))]


def maskable(values: Iterable[str]) -> tuple[str, ...]:
    """Those long enough, and lines of those with several; longest first."""
    parts = {part for value in values for part in (value, *value.splitlines())}
    long = (part for part in parts if len(part) >= MIN_MASKED)
    return tuple(sorted(long, key=lambda part: (-len(part), part)))
