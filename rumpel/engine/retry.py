"""Which errors are worth another attempt, and how long to wait for it.

Only what is nobody's decision: the Docker daemon, SSH or the network did not answer. What a
user's command says is an answer, so a lifecycle command never runs twice unasked.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Final, NamedTuple

from rumpel.errors import CommandFailed, HostUnreachable, Interrupted, RumpelError

FIRST_S: Final = 0.5
MOST_S: Final = 8.0
NEVER: Final = (CommandFailed, Interrupted)
"""Whatever a policy says."""


class Retry(NamedTuple):
    """Extra attempts for one class of errors; the delay doubles from `first_s` to `most_s`."""

    times: int
    first_s: float | None = None
    """None = as the engine says."""
    most_s: float = MOST_S


Retries = int | Mapping[type[RumpelError], Retry]
"""A number: for an unreachable host alone."""


def rule_of(retries: Retries, error: RumpelError) -> Retry | None:
    """The rule for the nearest class of this error; None = it stays failed."""
    if isinstance(error, NEVER):
        return None
    if isinstance(retries, int):
        return Retry(retries) if isinstance(error, HostUnreachable) else None
    return next((retries[kind] for kind in type(error).__mro__ if kind in retries), None)


def delay_s(rule: Retry, number: int, *, first_s: float) -> float:
    """Before attempt `number` + 1; with jitter, so that nodes do not retry in step."""
    first = first_s if rule.first_s is None else rule.first_s
    whole = min(first * 2.0 ** min(number - 1, 16), max(first, rule.most_s))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, not a secret
