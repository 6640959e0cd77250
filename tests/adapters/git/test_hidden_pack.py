"""A pack that is heard too early, to hide the weight of the one that git takes."""

from __future__ import annotations

import contextlib
import os

import pytest

from rumpel.adapters import git_door
from rumpel.adapters.git_limits import Limits, Refused
from rumpel.adapters.git_pkt import PktListener
from rumpel.adapters.stream import Stream
from rumpel.errors import RumpelError
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


@pytest.mark.parametrize("name", [*EARLY, "after it"])
@pytest.mark.parametrize("is_direct", [True, False])
async def test_a_pack_in_the_list_of_refs_is_refused(
    quick: Pair, name: str, is_direct: bool
) -> None:
    """It would be weighed in the place of the one that comes when it is asked for."""
    good = honest(quick.pod, "beside it")
    await Run(quick, good).take()
    evil, objects = history(good, packed(BLOB, bytes(1 << 20)))
    refs = listing({b"refs/heads/alice": good, b"refs/heads/evil": evil})
    refs = refs + bands(EMPTY) if name == "after it" else refs[:-4] + EARLY[name] + b"0000"

    async def start() -> Stream:
        return Liar(refs, sending(pack(*objects)))

    run = Run(quick, good, start, Limits(quota_bytes=1000, object_bytes=1 << 16))
    if not is_direct:  # git fetch asks
        run.known_refused = {"refs/heads/other": (evil, "it was")}
    why = "more than it was asked for" if name == "after it" else "before it was asked for"
    await verdict(run, refused={"evil": why})
    await recovers(run)


async def test_a_byte_too_much_and_the_stream_is_not_used_again(quick: Pair) -> None:
    good = honest(quick.pod, "beside it")
    await Run(quick, good).take()
    refs = listing({b"refs/heads/alice": good})
    for rest in (b"0", b"0000", b"000eversion 2\n"):
        with pytest.raises(RumpelError, match="more than it was asked for"):
            await git_door.import_pod(quick.repo, quick.door, Liar(refs + rest))
    assert (await git_door.import_pod(quick.repo, quick.door, Liar(refs))).is_stream_free


async def test_a_greeting_without_an_end(quick: Pair) -> None:
    good = honest(quick.pod, "beside it")
    endless = GREETING[:-4] + pkt(b"agent=" + b"x" * 60_000) * 2

    async def start() -> Stream:
        return Liar(b"", greeting=endless)

    run = Run(quick, good, start)
    await verdict(run, fails="more than 65536 bytes of what it can")
    await recovers(run)


@pytest.mark.parametrize("data", [b"", b"0", b"0000", pkt(b"\x01PACK")])
def test_at_rest_it_owes_nothing_and_has_said_nothing_more(data: bytes) -> None:
    listener = PktListener(Limits())
    with contextlib.suppress(Refused):
        listener.feed(GREETING + data)
    assert listener.is_at_rest == (data == b"")


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
