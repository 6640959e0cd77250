"""An engine at a remote host that lies: bounded, said, and nobody else's trouble."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator

import pytest

from tests.support import processes
from tests.support.engine import Engine
from tests.support.far_engine import FarEngine
from tests.support.home import Home
from tests.support.lying_engine import Lie, LyingEngine
from tests.support.project import ProjectFactory
from tests.support.share import IS_LONG, share
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if IS_LONG else 300)]
HOST = "ssh://plain"
LIMIT_S = 180.0
"""A command asks several times, and each answer may take half a minute to be given up."""
GROWTH_BYTES = 200 << 20
"""Some answers at a time, each of 16 MiB and read twice."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
EVIL = "\x1b]0;owned\x07\x1b[2J\u202e\r\x00evil"
OK = b"HTTP/1.1 200 OK\r\n"


def body(value: object, status: str = "200 OK") -> Lie:
    text = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
    return lambda: iter([f"{head}\r\n\r\n".encode() + text])


def endless(begin: bytes, piece: bytes) -> Lie:
    return lambda: itertools.chain([begin], itertools.repeat(piece))


def raw(*pieces: bytes) -> Lie:
    return lambda: iter(pieces)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
LIES: dict[str, Lie] = {
    "a header without an end": endless(OK + b"X-A: ", b"a" * 65_536),
    "headers without an end": endless(OK, b"X-A: a\r\n" * 8192),
    "a body without an end": endless(OK + b"\r\n", b" " * 65_536),
    "chunks without an end": endless(CHUNKED, b"10000\r\n" + b"[" * 65_536 + b"\r\n"),
    "chunks of two bytes": endless(CHUNKED, b"2\r\n[[\r\n" * 8192),
    "a chunk of everything": raw(CHUNKED + b"ffffffffffffffff\r\n[" + b"[" * 65_536),
    "a chunk with a long name": endless(CHUNKED + b"1;", b"a" * 65_536),
    "a chunk of less than nothing": raw(CHUNKED + b"-5\r\nhello\r\n"),
    "more than was promised": raw(OK + b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n"),
    "less than was promised": raw(OK + b"Content-Length: 99999\r\n\r\n[]"),
    "a length of words": raw(OK + b"Content-Length: many\r\n\r\n[]"),
    "no HTTP": raw(b"\x00\xff" * 4096),
    "nothing": raw(),
    "deep JSON": raw(OK + b"\r\n" + b"[" * 200_000),
    "half of JSON": raw(OK + b'\r\n[{"Id": "'),
    "a number": body(7),
    "a word": body(EVIL),
    "rows of the wrong kind": body([7, None, "x", [], {}]),
    "fields of the wrong kind": body(
        [{"Id": 7, "Names": "x", "Labels": [], "State": {}, "Created": "never", "Status": None}]
    ),
    "fields of another wrong kind": body(
        {"Id": [], "State": "up", "Config": 7, "HostConfig": None, "Mounts": {}, "Name": EVIL}
    ),
    "an error with control bytes": body({"message": EVIL}, "500 Oh"),
    "an error of the wrong kind": body({"message": {"a": [EVIL]}}, "404 No"),
    "an error without an end": endless(b"HTTP/1.1 500 Oh\r\n\r\n", EVIL.encode() * 4096),
}
REQUESTS = {
    "all": r"^",
    "a list": r"/containers/json",
    "an inspect": r"/containers/[0-9a-f]+/json",
    "a command": r"/exec",
    "an image": r"/images/",
    "who it is": r"/(version|info|_ping)",
    "what happens": r"/events",
}
CASES = [f"{lie}, asked for {request}" for lie in LIES for request in REQUESTS]


@pytest.fixture
def liar(dockerd: FarEngine) -> Iterator[LyingEngine]:
    with LyingEngine(dockerd) as engine:
        yield engine


@pytest.fixture
def far(home: Home, near_engine: Engine, sshd_image: str, liar: LyingEngine) -> Iterator[Sshd]:
    with Sshd(home, near_engine, sshd_image, far=liar) as machine:
        yield machine


@pytest.mark.one_in(2)
def test_lies(rumpel_project: ProjectFactory, far: Sshd, liar: LyingEngine) -> None:
    assert far.ports
    project = rumpel_project()
    project.run("create", "near").assert_ok()
    project.run("create", "away", "--host", HOST).assert_ok()
    (daemon,) = project.home.daemon_pids()
    before = processes.rss_bytes(daemon)
    for case in share(CASES, 2):
        lie, _, request = case.partition(", asked for ")
        with liar.lies(REQUESTS[request], LIES[lie]):
            if request == "what happens":
                far.kill_sessions()  # it was asked long ago
            for argv in (
                ["enter", "away", "--", "true"],
                ["list"],
                ["create", "more", "--host", HOST],
                ["recreate", "--force", "away"],
                ["logs", "away"],
            ):
                done = project.run(*argv, timeout=LIMIT_S)
                shown = done.stdout + done.stderr
                assert not CONTROL.search(shown), (case, done)
                assert "bug" not in done.stderr, (case, done)
                assert done.code in (0, 1, 3, 5, 124), (case, done)
            assert project.inside("near", "echo here") == "here", case
        assert project.home.daemon_pids() == [daemon], case
        assert processes.rss_bytes(daemon) < before + GROWTH_BYTES, case
        project.run("delete", "--force", "more")
        assert project.inside("away", "echo here") == "here", case
    project.run("delete", "--force", "near", "away").assert_ok()
