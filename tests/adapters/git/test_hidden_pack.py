"""A pack that is heard too early, to hide the weight of the one that git takes."""

from __future__ import annotations

import os

import pytest

from rumpel.adapters.git_limits import Limits
from rumpel.adapters.stream import Stream
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import (
    BLOB,
    GREETING,
    Liar,
    Run,
    bands,
    history,
    honest,
    listing,
    pack,
    packed,
    pkt,
    recovers,
    sending,
    verdict,
)

EMPTY = pack()
EARLY = {
    "in a band": bands(EMPTY),
    "announced": pkt(b"packfile\n") + bands(EMPTY),
    "bare": EMPTY,
}


@pytest.mark.parametrize("name", EARLY)
async def test_a_pack_in_the_greeting_is_refused(quick: Pair, name: str) -> None:
    good = honest(quick.pod, "beside it")
    evil, objects = history(good, packed(BLOB, bytes(1 << 20)))
    refs = listing({b"refs/heads/alice": good, b"refs/heads/evil": evil})
    greeting = GREETING[:-4] + EARLY[name] + b"0000"

    async def start() -> Stream:
        return Liar(refs, sending(pack(*objects)), greeting=greeting)

    run = Run(quick, good, start, Limits(quota_bytes=1000, object_bytes=1 << 16))
    await verdict(run, fails="before it was asked for")
    await recovers(run)


async def test_what_is_there_is_judged_whatever_was_heard(
    quick: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the listener was talked past, the weight counts."""
    good = quick.host.oid("HEAD")
    evil, objects = history(good, packed(BLOB, os.urandom(1 << 16)))
    refs = listing({b"refs/heads/alice": good, b"refs/heads/evil": evil})
    monkeypatch.setattr("rumpel.adapters.git_pack.PackScanner.feed", lambda scanner, data: None)

    async def start() -> Stream:
        return Liar(refs, sending(pack(*objects)))

    run = Run(quick, good, start, Limits(quota_bytes=10_000))
    found = await run.take()
    assert "evil" not in found.branches
    assert "evil" in dict(found.rejected)
