"""The HTTP client against a socket that answers well, badly, late or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rumpel.adapters import docker_http
from rumpel.adapters.docker_api import DockerHost, agreed_version
from rumpel.adapters.docker_errors import ProtocolError
from rumpel.adapters.docker_http import HttpClient, encode_query, segment
from rumpel.adapters.docker_wire import parse_endpoint
from rumpel.errors import HostUnreachable, NameTaken, NotFound, NotRunning, RumpelError
from tests.adapters.docker.fake_engine import (
    Handler,
    Request,
    answer,
    fake_engine,
    json_answer,
)

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def saying(*replies: bytes) -> Handler:
    """Answers the first request with the first reply, and so on; then hangs up."""
    left = list(replies)

    async def handler(_request: Request, writer: asyncio.StreamWriter) -> None:
        if not left:
            writer.close()
            return
        writer.write(left.pop(0))

    return handler


@contextlib.asynccontextmanager
async def client(folder: Path, handler: Handler) -> AsyncIterator[HttpClient]:
    async with fake_engine(folder, handler) as url:
        http = HttpClient(parse_endpoint(url))
        try:
            yield http
        finally:
            await http.close()


async def test_bodies_of_every_shape(tmp_path: Path) -> None:
    replies = [
        answer(b"plain"),
        answer(b""),
        CHUNKED + b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(b"after"),
    ]
    async with client(tmp_path, saying(*replies)) as http:
        found = [(await http.request("GET", "/x")).body for _ in replies]
    assert found == [b"plain", b"", b"abcdefg", b"", b"after"]


async def test_a_body_without_length_ends_with_the_connection(tmp_path: Path) -> None:
    async def handler(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        await writer.drain()
        writer.close()

    async with client(tmp_path, handler) as http:
        for _ in range(2):
            assert (await http.request("GET", "/x")).body == b"until the end"


async def test_a_connection_is_kept_and_a_cut_one_replaced(tmp_path: Path) -> None:
    writers: list[asyncio.StreamWriter] = []

    async def handler(_request: Request, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(answer(b"ok"))

    async with client(tmp_path, handler) as http:
        for _ in range(3):
            await http.request("GET", "/x")
        assert len(set(writers)) == 1
        writers[0].close()
        await asyncio.sleep(0.02)
        await http.request("POST", "/x")
        assert len(set(writers)) == 2


async def test_a_lost_post_is_not_sent_twice(tmp_path: Path) -> None:
    seen: list[str] = []

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        seen.append(request.method)
        if len(seen) == 2:
            writer.close()
        else:
            writer.write(answer(b"ok"))

    async with client(tmp_path, handler) as http:
        await http.request("GET", "/x")
        with pytest.raises(HostUnreachable, match="closed the connection"):
            await http.request("POST", "/x")
        assert seen == ["GET", "POST"]


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 abc Never\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1\r\n\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000, "endless response header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "no valid length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9x\r\n\r\n", "no valid length"),
        (CHUNKED + b"zz\r\n", "no valid length"),
        (CHUNKED + b"-1\r\n", "no valid length"),
        (CHUNKED + b"1" * 70_000, "endless chunk header"),
        (answer(b"x" * 2_000), "more than 1000 bytes"),
        (CHUNKED + b"7d0\r\n" + b"x" * 2_000 + b"\r\n0\r\n\r\n", "more than 1000 bytes"),
        (CHUNKED + b"1\r\nx\r\n" * 600 + b"0\r\n\r\n", "500 pieces"),
        (answer(b"{nonsense"), "not JSON"),
        (answer(b"[" * 900), "not JSON"),
        (answer(b"\xff\xfe\x00"), "not JSON"),
    ],
)
async def test_a_broken_answer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: bytes, says: str
) -> None:
    monkeypatch.setattr(docker_http.Incoming.read_all, "__defaults__", (1_000,))
    monkeypatch.setattr(docker_http, "MAX_PIECES", 500)
    async with client(tmp_path, saying(reply)) as http:
        with pytest.raises(ProtocolError, match=says):
            (await http.request("GET", "/x", timeout_s=5)).json()


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        CHUNKED + b"9\r\nab",
    ],
)
async def test_an_answer_that_is_cut_off_is_unreachable(tmp_path: Path, reply: bytes) -> None:
    async def handler(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with client(tmp_path, handler) as http:
        with pytest.raises(HostUnreachable, match="closed the connection"):
            await http.request("GET", "/x")


async def test_silence_has_an_end(tmp_path: Path) -> None:
    async def handler(_request: Request, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    started = time.monotonic()
    async with client(tmp_path, handler) as http:
        with pytest.raises(HostUnreachable, match=r"did not answer within 0\.1 s"):
            await http.request("GET", "/x", timeout_s=0.1)
        with pytest.raises(HostUnreachable, match=r"did not answer within 0\.1 s"):
            async with http.stream("GET", "/x", head_timeout_s=0.1):
                pass
        with pytest.raises(HostUnreachable, match=r"did not answer within 0\.1 s"):
            await http.take_over("/x", timeout_s=0.1)
    assert time.monotonic() - started < 2


async def test_a_body_that_never_ends_is_left_at_will(tmp_path: Path) -> None:
    async def handler(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED)
        while True:
            writer.write(b"5\r\nhello\r\n")
            await writer.drain()

    async with client(tmp_path, handler) as http:
        async with http.stream("GET", "/x") as pieces:
            assert await anext(pieces) == b"hello"
        with pytest.raises(KeyError):
            async with http.stream("GET", "/x"):
                raise KeyError("the caller's own error stays what it is")
        with pytest.raises(PermissionError):
            async with http.stream("GET", "/x"):
                raise PermissionError("even one that looks like the connection's")


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (404, "No such container: abc", NotFound),
        (500, "container abc does not exist in database: no such container", NotFound),
        (409, 'Conflict. The container name "/abc" is already in use by container "1"', NameTaken),
        (409, 'the container name "abc" is already in use by 1. You have to remove', NameTaken),
        (
            500,
            'the container name "abc" is already in use by 1: that name is already in use',
            NameTaken,
        ),
        (409, "renaming container 1: name abc already in use, cannot rename", NameTaken),
        (409, "Container 1 is not running", NotRunning),
        (500, "can only kill running containers: container state improper", NotRunning),
        (400, "invalid mount config", RumpelError),
        (500, "OCI runtime create failed", RumpelError),
    ],
)
async def test_a_status_is_an_error(
    tmp_path: Path, status: int, message: str, kind: type[RumpelError]
) -> None:
    async with client(tmp_path, saying(json_answer({"message": message}, status))) as http:
        with pytest.raises(RumpelError) as raised:
            await http.request("GET", "/x", what="container abc")
    assert type(raised.value) is kind
    assert "abc" in raised.value.message
    assert raised.value.details["status"] == status


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"message": ["\\n"]}', b"x" * 100_000])
async def test_an_error_answer_of_any_shape_is_one_bounded_line(
    tmp_path: Path, body: bytes
) -> None:
    async with client(tmp_path, saying(answer(body, 500))) as http:
        with pytest.raises(RumpelError) as raised:
            await http.request("GET", "/x")
    assert raised.value.message
    assert "\n" not in raised.value.message
    assert len(raised.value.message) < 3_000


async def test_a_refused_upload_says_why(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(json_answer({"message": "too large for me"}, 413))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(refuse, tmp_path / "sock")

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    http = HttpClient(parse_endpoint(f"unix://{tmp_path}/sock"))
    with pytest.raises(RumpelError, match=r"too large for me|closed the connection"):
        await http.request("PUT", "/x", source=endless(), timeout_s=5)
    await http.close()
    server.close()


def missing(folder: Path) -> str:
    return f"unix://{folder}/none.sock"


def dead(folder: Path) -> str:
    (folder / "file.sock").touch()
    return f"unix://{folder}/file.sock"


@pytest.mark.parametrize("address", [missing, dead, lambda _: "tcp://127.0.0.1:9"])
async def test_no_engine_is_said_with_a_hint(
    tmp_path: Path, address: Callable[[Path], str]
) -> None:
    url = await asyncio.to_thread(address, tmp_path)
    with pytest.raises(HostUnreachable, match="Docker is not running at") as raised:
        await DockerHost.open(url)
    assert raised.value.hint
    assert raised.value.exit_code == 5


@pytest.mark.parametrize("url", ["ssh://x", "unix://relative", "tcp://x", "tcp://x:99999", "", "x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(HostUnreachable, match="cannot use the Docker address"):
        parse_endpoint(url)


def test_addresses() -> None:
    assert parse_endpoint("unix:///a/b.sock").path == "/a/b.sock"
    assert parse_endpoint("tcp://[::1]:2375").address == ("::1", 2375)


def test_names_never_leave_their_place_in_a_path() -> None:
    assert segment("../../images/x?force=1#y") == "..%2F..%2Fimages%2Fx%3Fforce%3D1%23y"


def test_queries() -> None:
    assert encode_query(None) == ""
    assert encode_query({"a": None, "b": True, "c": False, "d": 7}) == "?b=1&c=0&d=7"
    assert encode_query({"h": ("a:1", "b:2")}) == "?h=a%3A1&h=b%3A2"
    assert encode_query({"f": {"label": ["a=b&c"]}}).startswith("?f=%7B%22label%22")


@pytest.mark.parametrize(
    ("offered", "agreed"), [("1.41", "1.41"), ("1.44", "1.44"), ("1.52", "1.44"), ("1.9", "1.9")]
)
def test_the_newest_common_version_is_spoken(offered: str, agreed: str) -> None:
    assert agreed_version(offered) == agreed
    with pytest.raises(ProtocolError):
        agreed_version(f"v{offered}")
