"""Podman's answers to an archive call, as 4.3 gives them, made into Docker's."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tarfile
from collections.abc import AsyncIterator

import pytest

from rumpel.adapters import podman_archive
from rumpel.adapters.podman_archive import Headers
from rumpel.errors import NotFound
from tests.support import tars

LINK, FOLDER = 0o777 | 1 << 27, 0o750 | 1 << 31
FILE = tars.entry(b"f", data=b"x")
LONG = b"l" * 200


def said(mode: int) -> dict[str, str]:
    stat = {"mode": mode, "mtime": "2026-11-27T13:00:00.475131407Z"}
    return {podman_archive.STAT: base64.b64encode(json.dumps(stat).encode()).decode()}


class Engine:
    """Path -> the mode it tells, and a tar; None = 404."""

    def __init__(self, **answers: tuple[int, bytes | None]) -> None:
        self.answers = {f"/{path}": answer for path, answer in answers.items()}

    @contextlib.asynccontextmanager
    async def get(self, path: str, on_head: Headers) -> AsyncIterator[AsyncIterator[bytes]]:
        mode, tar = self.answers[path]
        on_head(said(mode) if mode else {})
        if tar is None:
            raise NotFound(path)
        yield in_pieces(tar)

    async def read(self, path: str) -> list[tarfile.TarInfo]:
        async with podman_archive.read(self.get, path) as pieces:
            tar = b"".join([piece async for piece in pieces])
        return tarfile.open(fileobj=io.BytesIO(tar)).getmembers()


async def in_pieces(tar: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(tar), 300):  # so that no header comes in one
        yield tar[at : at + 300]


async def test_the_folder_comes_before_its_content() -> None:
    head = bytearray(FILE[: tars.BLOCK])
    head[108:124] = b"%07o\0%07o\0" % (1000, 1001)
    owned = tars.sealed(head) + FILE[tars.BLOCK :]
    for tar in (owned, tars.pax({b"mtime": b"1.5"}) + owned):
        root, file = await Engine(**{"d/.": (FOLDER, tar + tars.END)}).read("/d/.")
        assert (root.name, root.isdir(), root.mode) == (".", True, 0o750)
        assert (root.uid, root.gid) == (file.uid, file.gid) == (1000, 1001)
        assert root.mtime == 1795784400
        assert file.name == "f"


async def test_an_empty_folder_and_the_root() -> None:
    empty = Engine(**{"d/.": (FOLDER, tars.END), ".": (FOLDER, FILE + tars.END)})
    assert [item.name for item in await empty.read("/d/.")] == ["."]
    assert [item.name for item in await empty.read("/")] == [".", "f"]


@pytest.mark.parametrize("leads_to", [FILE + tars.END, None])
async def test_a_link_is_a_link(leads_to: bytes | None) -> None:
    """Podman answers with what it leads to, or with 404 when that is nothing."""
    long = LONG.decode()
    beside = FILE + tars.pax({b"linkpath": LONG}) + tars.symlink(b"link", LONG) + tars.END
    engine = Engine(**{"d/link": (LINK, leads_to), "d/.": (FOLDER, beside)})
    (link,) = await engine.read("/d/link")
    assert (link.name, link.issym(), link.linkname) == ("link", True, long)


async def test_what_is_no_link_or_folder_is_as_it_came() -> None:
    engine = Engine(f=(0o644, FILE + tars.END), gone=(0, None), odd=(0, FILE + tars.END))
    assert [item.name for item in await engine.read("/f")] == ["f"]
    assert [item.name for item in await engine.read("/odd")] == ["f"]
    with pytest.raises(NotFound):
        await engine.read("/gone")
