"""Text for people: the one sanitiser of foreign text, widths, tables, durations, plurals.

Pure, standard library only. Everything that comes from a pod, a host, git or a file of a
repository passes `safe()` before it reaches a terminal.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ELLIPSIS = "…"
GAP = "   "
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def safe(text: str, *, keep: str = "") -> str:
    """`text` with every character that is not printable as a visible escape.

    Escapes C0 and C1 controls, bidirectional and zero-width marks, line separators, lone
    surrogates (undecodable bytes) and unassigned code points; `keep` names exceptions
    (at most newline and tab are sensible).
    """
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() or c in keep else _escape(c) for c in text])


def safe_bytes(data: bytes, *, keep: str = "") -> str:
    return safe(data.decode("utf-8", "surrogateescape"), keep=keep)


def safe_lines(text: str) -> list[str]:
    """The lines of foreign text, tabs expanded; a progress bar's rewrites count as one line."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines and not lines[-1]:
        lines.pop()
    # Only what a bare CR left on screen: what was overwritten is not worth a line.
    return [safe(line.rstrip("\r").rpartition("\r")[2].expandtabs(4)) for line in lines]


def width(text: str) -> int:
    """Columns of printable text on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    total = 0
    for char in text:
        if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
            continue
        total += 2 if unicodedata.east_asian_width(char) in "WF" else 1
    return total


def clip(text: str, columns: int) -> str:
    """`text` cut to at most `columns` columns, with an ellipsis when cut."""
    if width(text) <= columns:
        return text
    used, out = 1, []
    for char in text:
        used += width(char)
        if used > columns:
            break
        out.append(char)
    return ("".join(out) + ELLIPSIS) if columns > 0 else ""


def pad(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    columns: int | None = None,
    first: Sequence[str] = (),
) -> list[str]:
    """Aligned lines without trailing blanks. `columns`: fit into a terminal of that width by
    shortening the widest cells, before all those under the headers `first`, in that order; None
    (not a terminal) never shortens."""
    cells = [list(headers), *[[safe(cell) for cell in row] for row in rows]]
    if not cells[0]:
        return []
    widths = [max(width(row[i]) for row in cells) for i in range(len(headers))]
    if columns is not None:
        room, least = columns - len(GAP) * (len(widths) - 1), [max(8, width(h)) for h in headers]
        for header in first:
            at = list(headers).index(header)
            widths[at] = max(min(widths[at], least[at]), widths[at] - max(sum(widths) - room, 0))
        _shrink(widths, room, least)
        cells = [[clip(cell, w) for cell, w in zip(row, widths, strict=True)] for row in cells]
    return [
        GAP.join([pad(cell, w) for cell, w in zip(row, widths, strict=True)]).rstrip()
        for row in cells
    ]


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 pod`, `2 pods`, `0 pods`."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def listing(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def size(count: int) -> str:
    """`17 B`, `4.2 kB`, `1.3 GB`, in the powers of ten that docker counts in."""
    if count < 1000:
        return f"{count} B"
    number = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        number /= 1000
        if number < 999.5 or unit == "TB":
            break
    return f"{number:.1f} {unit}" if number < 99.95 else f"{number:.0f} {unit}"


def duration(seconds: float) -> str:
    """`0.24 s`, `12.3 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`."""
    if seconds < 9.995:
        return f"{max(seconds, 0):.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for big, small, names in (
        (DAY_S, HOUR_S, ("d", "h")),
        (HOUR_S, MINUTE_S, ("h", "min")),
        (MINUTE_S, 1, ("min", "s")),
    ):
        if whole >= big:
            rest = whole % big // small
            return f"{whole // big} {names[0]}" + (f" {rest} {names[1]}" if rest else "")
    return f"{whole} s"


def ago(seconds: float) -> str:
    """`just now`, `5 minutes ago`, `3 days ago`. A clock that runs ahead counts as now."""
    if seconds < 5:
        return "just now"
    steps = ((7 * DAY_S, "week"), (DAY_S, "day"), (HOUR_S, "hour"), (MINUTE_S, "minute"))
    for size, noun in steps:
        if seconds >= size * (2 if noun == "week" else 1):
            return count(int(seconds // size), noun) + " ago"
    return count(int(seconds), "second") + " ago"


def unix_time(iso: str) -> float | None:
    """Seconds since 1970 of `2026-11-23T17:09:00[.123]Z` (UTC only, what the daemon sends).

    By hand: importing datetime costs more than the rest of `rumpel list`'s rendering.
    """
    if iso[-1:] == "Z":
        iso = iso[:-1]
    elif iso[-6:] == "+00:00":
        iso = iso[:-6]
    else:
        return None
    try:
        year, month, day = int(iso[0:4]), int(iso[5:7]), int(iso[8:10])
        hour, minute, second = int(iso[11:13]), int(iso[14:16]), float(iso[17:])
    except ValueError:
        return None
    # Days from civil date, H. Hinnant: years start in March, so leap days come last.
    year -= month <= 2
    era_year = year % 400
    month_day = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era_year * 365 + era_year // 4 - era_year // 100 + month_day
    days += year // 400 * 146097 - 719468
    return days * DAY_S + hour * HOUR_S + minute * MINUTE_S + second


def suggestion(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was most likely meant to be."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(choices), n=1, cutoff=0.6)), None)


def _escape(char: str) -> str:
    code = ord(char)
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: the undecodable byte itself
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _shrink(widths: list[int], room: int, least: list[int]) -> None:
    """Take from the widest column until all fit; never below `least`."""
    while sum(widths) > room:
        spare = [w - low for w, low in zip(widths, least, strict=True)]
        if max(spare) <= 0:
            return
        widest = max(range(len(widths)), key=lambda i: (spare[i] > 0, widths[i]))
        widths[widest] -= 1
