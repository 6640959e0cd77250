"""A workspace on its way into another container, as an engine that lies would send it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rumpel.adapters.tar_copy import Copy, drain
from rumpel.errors import RumpelError
from tests.support import tars

HOSTILE = {
    "a size that is none": tars.pax({b"size": b"x"}),
    "a size that is too long": tars.pax({b"size": b"9" * 5000}),
    "a size below nothing": tars.pax({b"size": b"-5"}),
    "endless headers": tars.pax({b"path": b"./d/x"}) * 9,
}


async def sent(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_no_engine_sends_is_refused(name: str) -> None:
    tar = tars.folder(b"./") + HOSTILE[name] + tars.entry(b"./f", data=b"x") + tars.END
    with pytest.raises(RumpelError):
        await drain(Copy().pieces(sent(tar)))


async def test_many_records_are_read_once() -> None:
    """A megabyte of them: cut off one by one they were copied a hundred thousand times."""
    records = {b"SCHILY.xattr.user.%06d" % number: b"x" for number in range(24_000)}
    tar = tars.folder(b"./") + tars.pax(records) + tars.entry(b"./f", data=b"x") + tars.END
    copy = Copy()
    await drain(copy.pieces(sent(tar)))
    assert set(copy.items) == {b"f"}
