"""The relay programs by themselves: what a pod runs for one connection, as processes here."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import IO

import pytest

from rumpel.adapters import port_relay
from rumpel.resources import resource_text

PROGRAMS = {
    "perl": ["perl", "-e", resource_text("pod_relay.pl")],
    "python3": ["python3", "-I", "-S", "-c", resource_text("pod_relay.python")],
}
BULK = 3_000_001
Handler = Callable[[socket.socket], None]


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> list[str]:
    argv = PROGRAMS[request.param]
    if shutil.which(argv[0]) is None:
        pytest.skip(f"no {argv[0]} here")
    return argv


@contextlib.contextmanager
def service(handler: Handler, family: int = socket.AF_INET) -> Iterator[int]:
    """One connection is served; what the handler raises is raised here."""
    host = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    failures: list[Exception] = []
    with socket.create_server((host, 0), family=family) as listener:

        def serve() -> None:
            try:
                conn, _ = listener.accept()
                with conn:
                    handler(conn)
            except (AssertionError, OSError) as error:  # for the test's own thread
                failures.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(20)
        assert not thread.is_alive(), "the service still waits"
    assert not failures


class Relay:
    """A program with its pipes."""

    def __init__(self, argv: list[str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdin: IO[bytes] = self.process.stdin
        self.stdout, self.stderr = self.process.stdout, self.process.stderr
        assert self.stderr.readline().startswith(b"@rumpel ready ")

    def send(self, data: bytes) -> None:
        self.stdin.write(struct.pack(">I", len(data)) + data)
        self.stdin.flush()

    def connect(self, port: int, host: str = "localhost") -> None:
        self.stdin.write(f"{host} {port}\n".encode())
        self.stdin.flush()

    def end(self) -> None:
        self.stdin.write(port_relay.END)
        self.stdin.flush()

    def take(self, count: int) -> bytes:
        data = self.stdout.read(count)
        assert len(data) == count
        return data

    def said(self) -> bytes:
        return self.stderr.readline().removeprefix(b"@rumpel ").rstrip()

    def code(self) -> int:
        return self.process.wait(10)


@pytest.fixture
def relay(program: list[str]) -> Iterator[Relay]:
    found = Relay(program)
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    with contextlib.suppress(BrokenPipeError):
        found.stdin.close()
    found.stdout.close()
    found.stderr.close()


def read_all(conn: socket.socket) -> bytes:
    parts = []
    while piece := conn.recv(1 << 16):
        parts.append(piece)
    return b"".join(parts)


def test_the_end_of_the_client_reaches_the_service(relay: Relay) -> None:
    def answer_at_the_end(conn: socket.socket) -> None:
        conn.sendall(b"got " + read_all(conn))

    with service(answer_at_the_end) as port:
        relay.connect(port)
        relay.send(b"hello")
        relay.send(b" world")
        relay.end()
        assert relay.take(15) == b"got hello world"
        assert relay.said() == b"eof 15"
        assert relay.code() == 0


def test_the_end_of_the_service_leaves_the_other_way_open(relay: Relay) -> None:
    received = []

    def end_first(conn: socket.socket) -> None:
        conn.sendall(b"bye")
        conn.shutdown(socket.SHUT_WR)
        received.append(read_all(conn))

    with service(end_first) as port:
        relay.connect(port)
        assert relay.take(3) == b"bye"
        assert relay.said() == b"eof 3"
        relay.send(b"still here")
        relay.end()
        assert relay.code() == 0
    assert received == [b"still here"]


def test_both_ways_at_once_and_full(relay: Relay) -> None:
    """Nobody reads before having written: a relay that waits to write stops here for ever."""
    data, received = os.urandom(BULK), []

    def write_then_read(conn: socket.socket) -> None:
        writer = threading.Thread(target=conn.sendall, args=(data,))
        writer.start()
        received.append(read_all(conn))
        writer.join()

    def feed() -> None:
        for at in range(0, BULK, 70_000):
            relay.send(data[at : at + 70_000])
        relay.end()

    with service(write_then_read) as port:
        relay.connect(port)
        feeder = threading.Thread(target=feed)
        feeder.start()
        assert relay.take(BULK) == data
        feeder.join()
        assert relay.said() == f"eof {BULK}".encode()
        assert relay.code() == 0
    assert received == [data]


def test_a_client_that_is_gone(relay: Relay) -> None:
    """The end of stdin without the client's own end: the service must not take it for complete."""
    seen = []

    def read_until_reset(conn: socket.socket) -> None:
        conn.sendall(b"x")
        try:
            seen.append(read_all(conn))
        except ConnectionResetError:
            seen.append(b"reset")

    with service(read_until_reset) as port:
        relay.connect(port)
        assert relay.take(1) == b"x"
        relay.stdin.close()
        assert relay.code() == 1
    assert seen == [b"reset"]


def test_a_service_that_breaks_off_is_not_one_that_ended(relay: Relay) -> None:
    def reset(conn: socket.socket) -> None:
        conn.recv(10)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with service(reset) as port:
        relay.connect(port)
        relay.send(b"hello")
        assert relay.said().startswith(b"failed ")
        assert relay.code() == 1


def test_nobody_listens(relay: Relay) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = int(unused.getsockname()[1])
    relay.connect(port)
    assert b"refused" in relay.said()
    assert relay.code() == 1


@pytest.mark.parametrize("line", [b"no address\n", b"localhost 70000000\n", b"\n"])
def test_a_bad_address_ends_it(relay: Relay, line: bytes) -> None:
    relay.stdin.write(line)
    relay.stdin.flush()
    assert relay.code() != 0


def test_parked_it_ends_with_its_input(relay: Relay) -> None:
    relay.stdin.close()
    assert relay.code() == 0


def test_a_service_on_ipv6_alone(relay: Relay) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no ::1 here: {error}")
    with service(lambda conn: conn.sendall(b"six"), socket.AF_INET6) as port:
        relay.connect(port)
        relay.end()
        assert relay.take(3) == b"six"
        assert relay.code() == 0
