"""The stream of a copy: whatever way it is cut, what was sent arrives, and its end is known."""

from __future__ import annotations

import itertools
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.cli.pod_stream import Ended, PodStream

OUT, ERR = 1, 2


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def framed(pieces: list[tuple[int, bytes]]) -> bytes:
    heads = (bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") for kind, data in pieces)
    return b"".join(head + data for head, (_, data) in zip(heads, pieces, strict=True))


def sent_in_parts(data: bytes, cuts: list[int], peer: socket.socket) -> None:
    edges = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    for begin, end in itertools.pairwise(edges):
        peer.sendall(data[begin:end])
    peer.shutdown(socket.SHUT_WR)


PIECES = st.lists(st.tuples(st.sampled_from([OUT, OUT, ERR]), st.binary(max_size=600)), max_size=12)
CUTS = st.lists(st.integers(0, 4000), max_size=8)


@given(pieces=PIECES, cuts=CUTS, head=st.integers(0, 30), wants=st.lists(st.integers(1, 900)))
def test_frames_however_they_are_cut(
    pieces: list[tuple[int, bytes]], cuts: list[int], head: int, wants: list[int]
) -> None:
    data = framed(pieces)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs, tempfile.TemporaryFile() as file:
        sent_in_parts(data[head:], cuts, theirs)
        stream = PodStream(ours.fileno(), data[:head], is_framed=True)
        whole = b"".join(piece for kind, piece in pieces if kind == OUT)
        got = b""
        for number, size in enumerate(wants):
            if size > len(whole) - len(got):
                with pytest.raises(Ended):
                    stream.exactly(size)
                break
            if number % 2:
                got += stream.exactly(size)
            else:
                file.seek(0)
                file.truncate()
                stream.pour(file.fileno(), size)
                file.seek(0)
                got += file.read()
        else:
            while piece := stream.some():
                got += piece
            assert got == whole
            assert bytes(stream.errors) == b"".join(p for kind, p in pieces if kind == ERR)
        assert whole.startswith(got)


def test_raw_bytes_are_no_frames(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"go\nmore")
    theirs.close()
    stream = PodStream(ours.fileno(), b"", is_framed=False)
    assert stream.line() == b"go"
    assert stream.exactly(4) == b"more"
    assert stream.line() == b""


@pytest.mark.parametrize("head", [b"\x07\0\0\0\0\0\0\x01", b"\x01\0\0\0\xff\xff\xff\xff"])
def test_a_frame_that_is_none(pair: tuple[socket.socket, socket.socket], head: bytes) -> None:
    ours, theirs = pair
    theirs.sendall(head + b"x")
    with pytest.raises(Ended, match="broke"):
        PodStream(ours.fileno(), b"", is_framed=True).exactly(1)


def test_words_on_stderr_are_bounded(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair

    def shout() -> None:
        for _ in range(200):
            theirs.sendall(framed([(ERR, b"x" * 60_000)]))
        theirs.shutdown(socket.SHUT_WR)

    flood = threading.Thread(target=shout)
    flood.start()
    stream = PodStream(ours.fileno(), b"", is_framed=True)
    stream.drain()
    flood.join()
    assert len(stream.errors) <= 128 << 10


def test_who_reads_no_more_is_found_out(pair: tuple[socket.socket, socket.socket]) -> None:
    """An engine whose process ended answers, but takes nothing any more: no error, no room."""
    ours, theirs = pair
    theirs.sendall(framed([(ERR, b"tar: no space\n")]))
    theirs.shutdown(socket.SHUT_WR)
    stream = PodStream(ours.fileno(), b"", is_framed=True)
    with pytest.raises(Ended, match="stopped reading"):
        stream.send(bytes(8 << 20))
    assert bytes(stream.errors) == b"tar: no space\n"


def test_a_file_is_sent_whole_or_its_end_is_told(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = pair
    got = bytearray()

    def take() -> None:
        while data := theirs.recv(1 << 16):
            got.extend(data)

    taker = threading.Thread(target=take)
    taker.start()
    with tempfile.TemporaryFile() as file:
        file.write(bytes(range(256)) * 8000)
        file.flush()
        stream = PodStream(ours.fileno(), b"", is_framed=True)
        assert stream.send_file(file.fileno(), 1_000_000) == 1_000_000
        assert stream.send_file(file.fileno(), 3_000_000) == 2_048_000
    ours.shutdown(socket.SHUT_WR)
    taker.join()
    assert bytes(got) == (bytes(range(256)) * 8000)[:1_000_000] + bytes(range(256)) * 8000
