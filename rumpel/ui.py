"""The only place that writes to the terminal: results to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys

from rumpel import text
from rumpel.errors import RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, TextIO

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
TAIL_LINES = 20


def out(line: str = "") -> None:
    """One line of a result."""
    write(sys.stdout, line + "\n")


def err(line: str = "") -> None:
    """One line that is not a result."""
    write(sys.stderr, line + "\n")
    sys.stderr.flush()


class OutputFailed(RumpelError):
    """The result could not be written (full disk, closed descriptor)."""

    code = "output"


def write(stream: TextIO, data: str) -> None:
    """Characters that the stream's encoding lacks become escapes instead of a traceback."""
    try:
        try:
            stream.write(data)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(data.encode(encoding, "backslashreplace").decode(encoding))
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise output_failed(problem) from problem


def flush_results() -> None:
    """What `out` wrote is really written. Raises OutputFailed."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise output_failed(problem) from problem


def output_failed(problem: OSError) -> OutputFailed:
    return OutputFailed(f"cannot write the result: {problem.strerror}")


def is_terminal(stream: TextIO | None) -> bool:
    """None and closed streams (`rumpel … <&-`) are none."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def is_fancy() -> bool:
    """May progress move the cursor?"""
    return is_terminal(sys.stderr) and os.environ.get("TERM", "dumb") != "dumb"


def can_ask() -> bool:
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def columns(stream: TextIO) -> int | None:
    """The terminal's width, None when `stream` is not one."""
    if not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


def rows(stream: TextIO) -> int:
    """The terminal's height."""
    try:
        return os.get_terminal_size(stream.fileno()).lines or 24
    except (OSError, ValueError):
        return 24


def use_color(choice: str, stream: TextIO) -> bool:
    """`choice`: auto, always or never; NO_COLOR and TERM=dumb decide for auto."""
    if choice != "auto":
        return choice == "always"
    env = os.environ
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR") or env.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return is_terminal(stream) and env.get("TERM", "dumb") != "dumb"


def paint(data: str, style: str, on: bool) -> str:
    return f"\033[{STYLES[style]}m{data}\033[0m" if on and data else data


def json_envelope(
    command: str, data: object, *, warnings: Iterable[str], error: dict[str, Any] | None
) -> None:
    """The versioned result of `--json`, one line on stdout."""
    from rumpel import jsonline

    public = error and {key: error.get(key) for key in ("code", "message", "hint", "details")}
    envelope = {
        "version": 1,
        "command": command,
        "data": data,
        "warnings": list(warnings),
        "error": public,
    }
    out(jsonline.dumps(envelope, spaced=True))


def warning(message: str, *, color: bool = False) -> None:
    _say("warning:", "yellow", message, color=color)


def notice(message: str) -> None:
    for line in text.safe_lines(message):
        for part in prose(line):
            err(part)


def prose(line: str, *, taken: int = 0, stream: TextIO | None = None) -> list[str]:
    """A sentence as lines of the terminal's width; whole where stderr (or `stream`) is none.

    `taken`: columns already used on the first line. Long words (paths) are never broken.
    """
    room = columns(stream or sys.stderr)
    if room is None or text.width(line) + taken <= room:
        return [line]
    from textwrap import wrap

    first = " " * taken
    parts = wrap(
        line,
        max(room, 20),
        initial_indent=first,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [parts[0][taken:], *parts[1:]]


def _say(lead: str, style: str, message: str, *, color: bool) -> None:
    first, *rest = text.safe_lines(message) or [""]
    head, *more = prose(first, taken=len(lead) + 1)
    err(paint(lead, style, color) + " " + head)
    for line in more:
        err(line)
    for line in rest:
        err("  " + line)


def error(problem: dict[str, Any], *, color: bool = False, with_tail: bool = True) -> None:
    """Three parts: what failed, why (the cause's last lines), what to type next."""
    _say("error:", "red", str(problem.get("message") or "failed"), color=color)
    for line in tail_lines(problem) if with_tail else ():
        err(paint("  | ", "dim", color) + line)
    if problem.get("hint"):
        lead = paint("try:", "bold", color)
        for whole in text.safe_lines(str(problem["hint"])):
            for line in hint(whole, columns(sys.stderr), taken=5):
                err(f"{lead} {line}")
                lead = "    "


def hint(line: str, room: int | None, *, taken: int) -> list[str]:
    """One line of a hint as lines of a terminal's width, of which `taken` columns are used.

    What is to be typed (all of it, or what stands before three spaces) is never broken: it is
    copied from there.
    """
    if room is None or text.width(line) + taken <= room:
        return [line]
    choices = line.split("; ")
    if len(choices) > 1:
        return [part for choice in choices for part in hint(choice, room, taken=taken)]
    typed, gap, meaning = line.partition("   ")
    if not gap and not any(mark in line for mark in (", ", "(")):
        return [line]
    from textwrap import wrap

    indent = "  "
    parts = wrap(
        meaning if gap else line,
        max(room - taken, 20),
        initial_indent=indent if gap else "",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [typed, *parts] if gap else parts


def tail_lines(problem: dict[str, Any]) -> list[str]:
    """The last lines of what the failed program wrote."""
    tail = (problem.get("details") or {}).get("tail") or ""
    joined = tail if isinstance(tail, str) else "\n".join(str(line) for line in tail)
    return text.safe_lines(joined)[-TAIL_LINES:]
