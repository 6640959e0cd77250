"""Numbers, sizes, times and switches in the notation of docker's command line, and JavaScript's."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from rumpel.devcontainer.positions import FieldError, Path

_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgtp])?i?b?)", re.IGNORECASE)
_UNITS = "kmgtp"
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6,
    "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


def boolean(text: str, path: Path) -> bool:
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise FieldError(path, f"{text!r} is neither true nor false")


def integer(text: str, path: Path, *, base: int = 0) -> int:
    """As Go reads it: decimal, 0x, 0o or a leading 0 for octal."""
    try:
        if base == 0 and re.fullmatch(r"[+-]?0[0-7]+", text):
            return int(text, 8)
        return int(text, base)
    except ValueError:
        raise FieldError(path, f"{text!r} is not a whole number") from None


def between(low: int, high: int) -> Callable[[str, Path], int]:
    """A whole number in a range, ends included."""

    def convert(text: str, path: Path) -> int:
        number = integer(text, path)
        if not low <= number <= high:
            raise FieldError(path, f"{text} is not between {low} and {high}")
        return number

    return convert


def size(text: str, path: Path) -> int:
    """Bytes; units are powers of 1024: `512m`, `1.5g`, `2GiB`."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise FieldError(path, f"{text!r} is not a size such as 512m or 2g")
    power = _UNITS.index(match[2].lower()) + 1 if match[2] else 0
    return int(Decimal(match[1]) * 1024**power)


def duration_ns(text: str, path: Path) -> int:
    """Nanoseconds, from `1m30s`, `500ms`, `0`."""
    if text == "0":
        return 0
    total, end = Decimal(0), 0
    for match in _DURATION.finditer(text):
        if match.start() != end:
            break
        total, end = total + Decimal(match[1]) * _NANOSECONDS[match[2]], match.end()
    if not text or end != len(text):
        raise FieldError(path, f"{text!r} is not a duration such as 30s or 1m30s")
    return int(total)


def nano_cpus(text: str, path: Path) -> int:
    """Billionths of a CPU, from `1.5`."""
    try:
        nano = Fraction(text) * 10**9
    except (ValueError, ZeroDivisionError):
        raise FieldError(path, f"{text!r} is not a number of CPUs such as 1.5") from None
    if nano.denominator != 1:
        raise FieldError(path, f"{text!r} is too precise for a number of CPUs")
    return nano.numerator


def size_or_unlimited(text: str, path: Path) -> int:
    """As `size`, and -1."""
    return -1 if text == "-1" else size(text, path)


def number_text(value: int | float) -> str:
    """As JavaScript writes a number: `1`, `0.000001`, `1e-7`, `1e+21`."""
    number = float(value)
    if number.is_integer() and abs(number) < 1e21:
        return str(int(Decimal(repr(number))))
    mantissa, mark, power = repr(number).partition("e")
    if not mark:
        return mantissa
    if -7 < int(power) < 0:
        return format(Decimal(repr(number)), "f")
    return f"{mantissa}e{int(power):+d}"
