"""A file of the user's that signs an agent in: what is known of it, and how it is renewed."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rumpel import agents, text
from rumpel.adapters import token_server
from rumpel.adapters.credentials import Renewal, SignedOut
from rumpel.agents import stored
from rumpel.agents.stored import Held
from rumpel.daemon.sign_in import Source
from rumpel.errors import ConfigError, RumpelError

EARLY_S = 600.0
"""So long before its end a token is renewed: Claude Code's own program does it at 300."""
FIRST_RETRY_S, LAST_RETRY_S = 10.0, 600.0
PACE_S = 60.0
"""So long after a renewal nothing is renewed again: a clock may be wrong."""


@dataclass(slots=True, kw_only=True)
class Known:
    """A file of the user's as it was seen last."""

    stamp: tuple[int, int, int] | None = None
    held: Held | None = None
    content: bytes = b""
    """For pods."""
    mark: str = ""
    """Of the content."""
    early_s: float = EARLY_S
    tries: int = 0
    again_at: float = 0.0
    """When the next try to renew it may be, by the monotonic clock."""
    renewals: int = 0
    """In a row, of tokens that were due at once."""
    failure: RumpelError | None = None

    def is_due(self, held: Held | None, now: float) -> bool:
        ends = None if held is None or not held.refresh else held.expires_at
        return ends is not None and ends - self.early_s <= now

    def paced(self, renewals: int) -> None:
        """After a renewal that followed so many of which the token was due at once."""
        ends, now = None if self.held is None else self.held.expires_at, time.time()
        if ends is not None:
            self.early_s = min(EARLY_S, max(0.0, ends - now) / 2)
        self.renewals = min(renewals + 1, 20) if self.is_due(self.held, now) else 0
        wait_s = min(LAST_RETRY_S, PACE_S * 2 ** max(0, self.renewals - 1))
        self.again_at = time.monotonic() + wait_s


def stored_of(source: Source) -> stored.Stored:
    found = agents.get(source.agent).stored
    if found is None:
        raise ConfigError(f"{source.agent} has no sign-in that could be lent")
    return found


def signed_out(source: Source, *, was_cut: bool = False) -> SignedOut:
    why = " (rumpel was ended while it renewed it)" if was_cut else ""
    return SignedOut(
        f"your sign-in with {agents.get(source.agent).title} in {source.path} has ended{why}",
        hint=f"{stored_of(source).sign_in}   in a terminal of this machine",
    )


def check_server(source: Source) -> None:
    """Raises ConfigError: a shell's environment must not send a sign-in to anybody."""
    host = token_server.checked(source.url).hostname or ""
    if host not in stored_of(source).servers | token_server.LOOPBACK:
        raise ConfigError(
            f"{text.safe(host)} is no server of sign-ins with {agents.get(source.agent).title}",
            hint="set it in no variable, and start the agent again",
        )


def renewal(source: Source, known: Known) -> Renewal:
    """Raises ConfigError."""
    check_server(source)
    of, early_s = stored_of(source), known.early_s

    def refresh(raw: bytes) -> str:
        held = of.read(stored.parsed(raw))
        return "" if held is None else held.refresh

    def is_due(raw: bytes) -> bool:
        return Known(early_s=early_s).is_due(of.read(stored.parsed(raw)), time.time())

    def renewed(raw: bytes, answer: Any, now: float) -> bytes | None:
        made = of.renewed(stored.parsed(raw), answer, now)
        return None if made is None else stored.written(made)

    def adopted(raw: bytes, kept: bytes) -> bytes:
        return stored.written(stored.adopted(of, stored.parsed(raw), stored.parsed(kept)))

    return Renewal(
        path=source.path,
        url=source.url,
        locks=of.locks,
        write_lock=of.write_lock,
        refresh=refresh,
        is_due=is_due,
        asked=lambda raw: of.asked(stored.parsed(raw)),
        renewed=renewed,
        adopted=adopted,
        is_spent=stored.is_spent,
    )
