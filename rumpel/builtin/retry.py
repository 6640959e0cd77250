"""When a model's service is asked once more, and after what time.

One rule for all providers, in place of that of each library: it is seen, it can be interrupted,
and it knows of answers that were cut off in the middle. Asking again is safe, since nothing was
done yet with the half of an answer. As the libraries do: 408, 409, 429, 5xx and lost connections,
after what `retry-after` says, else half a second, doubled each time up to eight, with jitter.
"""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

from rumpel import text
from rumpel.builtin.model import Answered, ModelError

TIMES = 6
FIRST_S, LONGEST_S = 0.5, 8.0
MOST_WAIT_S = 600.0
"""Who is told to wait longer would rather know."""
AGAIN = frozenset({408, 409, 429})
REFUSED = frozenset({400, 413})
"""The question as it is: too long, or broken."""
ODD = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What comes of an answer that is none, such as a page of a proxy; also deep in the libraries."""


def may_again(status: int, headers: Mapping[str, str]) -> bool:
    """By the status of an answer, unless its server says otherwise."""
    said = headers.get("x-should-retry")
    return status in AGAIN or status >= 500 if said not in ("true", "false") else said == "true"


def wait_s(headers: Mapping[str, str]) -> float | None:
    """What the server says: milliseconds, seconds, or a date."""
    for name, per in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        with contextlib.suppress(ValueError):
            seconds = float(headers.get(name, "")) / per
            if 0 <= seconds < float("inf"):
                return seconds
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        until = parsedate_to_datetime(headers.get("retry-after", "")).timestamp()
        return max(0.0, until - time.time())
    return None


def lost(title: str, error: BaseException) -> str:
    """What became of a connection: it broke, or there was none, and then where it was to lead."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ConnectionRefusedError | socket.gaierror):
            url = getattr(getattr(error, "request", None), "url", None)
            at = f" at {url.scheme}://{url.netloc.decode()}" if url is not None else ""
            return f"cannot reach {title}{at}: {found.strerror}"
        found = found.__cause__ or found.__context__
    return f"the connection to {title} was lost"


def pause_s(error: ModelError, number: int, jitter: float) -> float:
    """Before the `number`-th repetition, counted from 0. `jitter`: from 0 to 1."""
    if error.wait_s is not None:
        return error.wait_s
    pause = min(FIRST_S * 2.0**number, LONGEST_S)
    return pause * (1 - 0.25 * jitter)


def asked(
    ask: Callable[[], Answered],
    *,
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> Answered:
    """The answer, in the end. Raises ModelError."""
    for number in range(TIMES):
        try:
            return ask()
        except ModelError as error:
            if not error.may_again or number == TIMES - 1:
                raise
            pause = pause_s(error, number, random.random())  # noqa: S311 - no secret
            if pause > MOST_WAIT_S:
                error.hint = f"it can be asked again in {text.duration(pause)}"
                raise
            tell(f"{error.message}; asking again in {text.duration(pause)}")
            sleep(pause)
    raise AssertionError  # the loop returns or raises
