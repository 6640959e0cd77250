"""Moving an image: what an engine may say, and what is made of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rumpel.adapters import docker_move
from rumpel.adapters.docker_errors import ProtocolError
from rumpel.adapters.docker_http import HttpClient
from rumpel.adapters.docker_wire import parse_endpoint
from rumpel.errors import RumpelError
from tests.adapters.docker.fake_engine import Request, answer, fake_engine, json_answer

IMAGE, OTHER = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"


async def moved(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    tar: bytes = b"tar",
    says: bytes = b"",
    known: str = IMAGE,
) -> bytes:
    """What the target got. `says`: its answer; `known`: the id it knows the image by then."""
    monkeypatch.setattr(docker_move, "SLACK_BYTES", 10)
    got = b""

    async def handle(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        if request.path.startswith("/images/load"):
            got = request.body
            writer.write(answer(says))
        elif request.path.endswith("/get"):
            writer.write(answer(tar))
        else:
            writer.write(json_answer({"Id": known if got else IMAGE, "Size": 5}))

    async with fake_engine(tmp_path, handle) as url:
        source, target = (HttpClient(parse_endpoint(url)) for _ in range(2))
        try:
            assert (await docker_move.move(source, target, IMAGE)).id == IMAGE
        finally:
            await source.close()
            await target.close()
    return got


async def test_it_arrives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await moved(tmp_path, monkeypatch) == b"tar"


async def test_what_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RumpelError, match="no space"):
        await moved(tmp_path, monkeypatch, says=b'{"error": "no space"}\n')


async def test_another_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RumpelError, match="another id"):
        await moved(tmp_path, monkeypatch, known=OTHER)


async def test_more_than_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ProtocolError, match="more than the image"):
        await moved(tmp_path, monkeypatch, tar=b"x" * 100)
