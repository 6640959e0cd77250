"""The registry's own protocol, for machines without npm; the registry here is a real server."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib
import http.server
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpel.adapters import npm
from rumpel.errors import NotFound, RumpelError

NAME = "@a/tool"


@functools.cache
def tarball() -> bytes:
    """One for all: the time is in it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        info = tarfile.TarInfo("package/tool")
        info.size = 5000
        tar.addfile(info, io.BytesIO(bytes(range(250)) * 20))
    return made.getvalue()


class Registry:
    """Answers by path: the body, or what is written as it is to the socket."""

    def __init__(self) -> None:
        answers = self.bodies = dict[str, bytes]()
        raw = self.raw = dict[str, bytes]()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path in raw:
                    self.wfile.write(raw[self.path])
                elif self.path in answers:
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(answers[self.path])
                else:
                    self.send_error(404)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def has(self, data: bytes, **changed: object) -> None:
        digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
        dist = {"tarball": f"{self.url}/tool.tgz", "integrity": f"sha1-x sha512-{digest}"}
        versions = {"1.0.0": {"dist": dist | changed}}
        said = {"dist-tags": {"latest": "1.0.0"}, "versions": versions}
        self.bodies |= {"/@a%2Ftool": json.dumps(said).encode(), "/tool.tgz": data}


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Registry]:
    made = Registry()
    for name, value in {"PATH": str(tmp_path), "no_proxy": "127.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    monkeypatch.setenv("npm_config_registry", f"{made.url}/")
    serving = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    serving.start()
    yield made
    made.server.shutdown()
    serving.join()
    made.server.server_close()


def fetched(folder: Path) -> Path:
    return asyncio.run(npm.fetch(NAME, "1.0.0", folder))


def test_a_package_is_found_and_proven(registry: Registry, tmp_path: Path) -> None:
    registry.has(tarball())
    assert asyncio.run(npm.newest(NAME)) == "1.0.0"
    assert fetched(tmp_path).read_bytes() == tarball()
    with pytest.raises(NotFound, match=r"no @a/tool 2\.0"):
        asyncio.run(npm.fetch(NAME, "2.0", tmp_path))
    with pytest.raises(NotFound, match="the registry has no other"):
        asyncio.run(npm.newest("other"))


@pytest.mark.parametrize("integrity", ["sha512-AAAA", "sha1-AAAA", "", None, 7])
def test_what_is_not_proven_is_not_kept(
    registry: Registry, tmp_path: Path, integrity: object
) -> None:
    registry.has(tarball(), integrity=integrity)
    with pytest.raises(RumpelError, match="is not what the registry says"):
        fetched(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "said",
    [
        *(b"<html>", b"\xff\xfe", b"", b"[" * 100_000, b"[]", b"{}", b"null"),
        *(b'{"dist-tags": []}', b'{"dist-tags": {"latest": 1}, "versions": [1]}'),
        *(b'{"versions": {"1.0.0": {"dist": 3}}}', b'{"versions": {"1.0.0": 3}}'),
    ],
)
def test_an_answer_may_be_anything(registry: Registry, tmp_path: Path, said: bytes) -> None:
    registry.bodies["/@a%2Ftool"] = said
    with pytest.raises(RumpelError):
        asyncio.run(npm.newest(NAME))
    with pytest.raises(RumpelError):
        fetched(tmp_path)


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 9999\r\n\r\ncut",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n99\r\ncut",
        b"HTTP/1.1 302 Found\r\nLocation: http://me:canary@127.0.0.1:x/\r\n\r\n",
        b"HTTP/1.1 500 No\r\n\r\n",
        b"",
    ],
)
def test_a_server_may_break_off(registry: Registry, tmp_path: Path, raw: bytes) -> None:
    registry.has(tarball())
    registry.raw["/tool.tgz"] = raw
    with pytest.raises(RumpelError) as failed:
        fetched(tmp_path)
    assert "canary" not in str(failed.value)
    registry.raw["/@a%2Ftool"] = raw
    with pytest.raises(RumpelError):
        asyncio.run(npm.newest(NAME))


@pytest.mark.parametrize(
    "url",
    [
        *("http://me:canary@127.0.0.1", "http://canary@127.0.0.1:1", "ftp://me:canary@host"),
        *("http://[canary", "http://127.0.0.1:canary", "me:canary@host"),
    ],
)
def test_a_password_is_told_nobody(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str
) -> None:
    registry.has(tarball(), tarball=f"{url}/tool.tgz")
    with pytest.raises(RumpelError) as failed:
        fetched(tmp_path)
    monkeypatch.setenv("npm_config_registry", url)
    with pytest.raises(RumpelError) as asked:
        asyncio.run(npm.newest(NAME))
    for error in (failed.value, asked.value):
        assert "canary" not in f"{error} {error.hint} {error.details}"
    if "http://me" in url:
        assert "only npm can use them" in str(asked.value)


def test_an_unpacked_package_ends_where_its_tar_does(tmp_path: Path) -> None:
    """Podman's archive call fails with a broken pipe when it is sent what tar pads with."""
    (tmp_path / "a.tgz").write_bytes(tarball())
    npm.unpack(tmp_path / "a.tgz", tmp_path / "a.tar", folder="f", program="x", mark="m")
    with tarfile.open(tmp_path / "a.tar") as tar:
        last = tar.getmembers()[-1]
    assert last.name == "f/m"
    assert (tmp_path / "a.tar").stat().st_size == last.offset_data + 2 * tarfile.BLOCKSIZE


@pytest.mark.parametrize("kept", [0, 10, -100, None])
def test_what_is_no_package_is_not_unpacked(tmp_path: Path, kept: int | None) -> None:
    data = b"junk" * 1000 if kept is None else tarball()[:kept]
    (tmp_path / "a.tgz").write_bytes(data)
    with pytest.raises(RumpelError, match="cannot be unpacked"):
        npm.unpack(tmp_path / "a.tgz", tmp_path / "a.tar", folder="f", program="x", mark="m")
