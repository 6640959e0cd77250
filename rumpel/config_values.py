"""Checks of single settings: a value as a file or a variable has it -> the normalised one.

Each raises ValueError (or TypeError) with what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from rumpel.errors import ConfigError

SIZE = re.compile(r"(\d+(?:\.\d+)?)([bkmgt]?)b?", re.IGNORECASE)
SIZE_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
VERSION = re.compile(r"latest|\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?")
SERVER = re.compile(r"(https?://)?((?:[a-z0-9._-]+|\[[0-9a-f:]+\])(?::[0-9]{1,5})?)")
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|min|h|d)?")
DURATION_S = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
LEAST_MEMORY_BYTES = 6 << 20
"""Docker's own minimum."""

PREBUILD: Mapping[str, Any] = {
    "on": True,
    "inputs": (),
    "maxAge": 7 * 86400.0,
    "minDuration": 3.0,
}
"""Setting `prebuild` as it is when nothing is said; `on` is what true and false mean."""


def string(value: Any) -> str:
    if isinstance(value, str) and value.strip() == value and value.isprintable() and value:
        return value
    raise ValueError("a text without surrounding blanks or control characters")


def strings(value: Any) -> tuple[str, ...]:
    """A list; from a variable, separated by commas."""
    parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ValueError("a list of texts")
    return tuple(string(part) for part in parts if part != "")


def git_servers(value: Any) -> tuple[str, ...]:
    """Host names, with https unless they say something else."""
    found = []
    for one in strings(value):
        server = SERVER.fullmatch(one.lower().rstrip("/"))
        if server is None:
            raise ValueError('a list of servers such as ["example.com", "http://127.0.0.1:8080"]')
        scheme = server[1] or "https://"
        found.append(scheme + server[2].removesuffix({"https://": ":443"}.get(scheme, ":80")))
    return tuple(found)


def command(value: Any) -> tuple[str, ...]:
    """A text is run by the shell; a list is a program and its arguments."""
    if isinstance(value, str) and value.strip():
        return ("/bin/sh", "-c", value)
    if isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise ValueError('a command, such as "notify-send \\"$RUMPEL_MESSAGE\\"", or a list of texts')


def mapping(value: Any, expected: str) -> dict[str, Any]:
    """From a variable, `key=value` separated by commas."""
    if isinstance(value, str):
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        value = {key.strip(): content.strip() for key, _, content in pairs}
    if isinstance(value, dict):
        return dict(value)
    raise ValueError(expected)


def labels(value: Any) -> dict[str, Any]:
    """An object of texts."""
    given = mapping(value, expected := 'an object of texts such as {"team": "web"}')
    for key, content in given.items():
        if not key or not isinstance(content, str):
            raise ValueError(expected)
        if key.startswith("rumpel."):
            raise ValueError("without keys of our own (rumpel.*)")
    return given


def versions(value: Any) -> dict[str, Any]:
    given = mapping(value, expected := 'an object of versions such as {"claude": "2.1.332"}')
    if not all(key.isalnum() and VERSION.fullmatch(str(one)) for key, one in given.items()):
        raise ValueError(expected)
    return given


def commands(value: Any) -> dict[str, Any]:
    """Of a shell, by the variable that gets what they print."""
    given = mapping(value, expected := 'commands by variable, as {"OPENAI_API_KEY": "pass show x"}')
    if not all(VARIABLE.fullmatch(key) and isinstance(one, str) for key, one in given.items()):
        raise ValueError(expected)
    return {key: string(one) for key, one in given.items()}


def size(value: Any) -> str:
    match = SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a size such as "4g" or "512m"')
    if float(match[1]) * SIZE_BYTES[match[2].lower()] < LEAST_MEMORY_BYTES:
        raise ValueError("at least 6m")
    return str(value).lower()


def size_bytes(value: str) -> int:
    """Bytes of a checked size (`4g`)."""
    match = SIZE.fullmatch(value)
    if match is None:
        raise ConfigError(f"{value!r} is not a size")
    return int(float(match[1]) * SIZE_BYTES[match[2].lower()])


def cpus(value: Any) -> str:
    try:
        number = float(value)
    except (ValueError, TypeError):
        number = 0.0
    if isinstance(value, bool) or not 0.01 <= number <= 4096:
        raise ValueError('a number of cores such as 2 or "1.5"')
    return f"{number:g}"


def boolean(value: Any) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise ValueError("true or false")
    return found


def integer(low: int, high: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"-?\d+", value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return check


def seconds(value: Any) -> float:
    """Seconds from a number or from `90s`, `30m`, `2h`."""
    match = DURATION.fullmatch(str(value)) if not isinstance(value, bool) else None
    if match is None or (seconds := float(match[1]) * DURATION_S[match[2]]) <= 0:
        raise ValueError('a duration such as "90s", "30m" or "2h"')
    return seconds


def prebuild(value: Any) -> Mapping[str, Any]:
    """`false`, `true`, or what is otherwise than usual of it."""
    expected = 'false, or an object such as {"inputs": ["package-lock.json"], "maxAge": "3d"}'
    if not isinstance(value, Mapping):
        value = {"on": boolean(value)}
    if not value.keys() <= PREBUILD.keys():
        raise ValueError(f"{expected}; its keys are {', '.join(list(PREBUILD)[1:])}")
    merged = {**PREBUILD, **value}
    return {
        "on": boolean(merged["on"]),
        "inputs": strings(merged["inputs"]),
        "maxAge": seconds(merged["maxAge"]),
        "minDuration": 0.0
        if str(merged["minDuration"]) in ("0", "0s", "0.0")
        else seconds(merged["minDuration"]),
    }
