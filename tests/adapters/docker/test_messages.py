"""Progress streams of the engine, whatever pieces they come in."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from rumpel.adapters import docker_images
from rumpel.adapters.docker_errors import ProtocolError
from rumpel.adapters.docker_http import MAX_PIECES


async def test_a_message_in_crumbs_has_an_end() -> None:
    """All of it was copied with each of them: half a minute of nothing else."""
    seen = 0

    async def crumbs() -> AsyncIterator[bytes]:
        nonlocal seen
        while True:
            seen += 1
            yield b"[["

    with pytest.raises(ProtocolError, match="endless message"):
        async for _ in docker_images.messages(crumbs()):
            pass
    assert seen <= MAX_PIECES + 1


async def test_messages_come_whole_from_crumbs() -> None:
    async def crumbs() -> AsyncIterator[bytes]:
        for byte in b'{"a": 1}\n\n{"b": 2}\n{"c": 3}':
            yield bytes([byte])

    assert [one async for one in docker_images.messages(crumbs())] == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_a_line_of_a_build_in_crumbs() -> None:
    lines: list[str] = []
    log = docker_images.BuildLog(lines.append)
    for text in ("o", "n", "e\ntw", "o", "\n", "", "\nlast"):
        log.feed(text)
    log.flush()
    log.flush()
    assert lines == ["one", "two", "", "last"]
