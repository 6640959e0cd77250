"""Packs looked at while they arrive, against what git says of the same packs."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import git_objects
from rumpel.adapters.git_limits import Limits, Refused
from rumpel.adapters.git_pack import PackScanner
from tests.support.repo import Repo


def pack_of(repo: Repo, *options: str) -> bytes:
    done = repo.run_git("pack-objects", "--all", "--stdout", "-q", *options, input=b"")
    assert done.returncode == 0
    return done.stdout


def number(value: int) -> bytes:
    """Seven bits a byte, lowest first."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def packed_object(kind: int, data: bytes, *, size: int | None = None, base: bytes = b"") -> bytes:
    """As it lies in a pack; `base` stands between the header and the data of a delta."""
    size = len(data) if size is None else size
    first = kind << 4 | size & 15
    rest = size >> 4
    head = bytes([first | 0x80]) + number(rest) if rest else bytes([first])
    return head + base + zlib.compress(data)


def pack(*objects: bytes, count: int | None = None) -> bytes:
    count = len(objects) if count is None else count
    return b"PACK" + (2).to_bytes(4, "big") + count.to_bytes(4, "big") + b"".join(objects)


def scanned(data: bytes, cuts: Sequence[int] = (), limits: Limits | None = None) -> PackScanner:
    scanner = PackScanner(limits or Limits())
    position = 0
    for size in [*cuts, len(data)]:
        scanner.feed(data[position : position + size])
        position += size
    return scanner


@pytest.mark.parametrize("options", [("--delta-base-offset",), (), ("--depth=1",)])
def test_sizes_and_chains_are_those_git_knows(git_repo: Repo, options: tuple[str, ...]) -> None:
    for number in range(30):
        lines = "".join(f"line {line}\n" for line in range(300 + number * 7))
        git_repo.commit(f"{number}", {"a": lines, f"d/{number}": f"{number}" * 50})
    data = pack_of(git_repo, *options)
    found = scanned(data, [11, 1, 1, 700, 1] + [37] * 40)
    known = git_repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectsize)")
    sizes = [int(line) for line in known.split()]
    assert found.objects == len(sizes)
    assert found.unpacked_bytes == sum(sizes)
    (git_repo.root / "x.pack").write_bytes(data)
    git_repo.git("index-pack", "x.pack")
    listed = git_repo.git("verify-pack", "-v", "x.idx").split("\n")
    depths = [int(line.split()[5]) for line in listed if len(line.split()) == 7]
    assert depths
    if "--delta-base-offset" in options:
        assert found.max_depth == max(depths)
        return
    index = Path(git_repo.root, "x.idx")
    longest = git_objects.longest_chain(index, found.ref_offsets, bytes(found.ref_bases))
    assert longest == max(depths)


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(1, 20), max_size=20))
def test_garbage_is_refused_or_incomplete(data: bytes, cuts: list[int]) -> None:
    """Any other exception would be a crash of the import; nothing is believed beyond its bytes."""
    for start in (b"", pack(b"", count=3)):
        scanner = PackScanner(Limits())
        with contextlib.suppress(Refused):
            for piece in (start, *(data[at : at + 7] for at in range(0, len(data), 7))):
                scanner.feed(piece)
        assert scanner.max_depth <= len(data)
        with contextlib.suppress(Refused):
            scanned(start + data, cuts)


BLOB = packed_object(3, b"0123456789" * 10)


@pytest.mark.parametrize(
    ("data", "limits", "message"),
    [
        (pack(BLOB), Limits(object_bytes=99), "object of 100 bytes"),
        (pack(BLOB, BLOB), Limits(unpacked_bytes=199), "more than 199 bytes, unpacked"),
        (pack(count=7), Limits(objects=6), "more than 6 objects"),
        (pack(packed_object(3, b"x", size=1 << 40)), Limits(), "object of 1099511627776 bytes"),
        (pack(packed_object(3, b"12345", size=4)), Limits(), "broken pack"),
        (pack(packed_object(3, b"12345", size=6)), Limits(), "broken pack"),
        (pack(packed_object(5, b"")), Limits(), "broken pack"),
        (pack(packed_object(0, b"")), Limits(), "broken pack"),
        (pack(b"\x35not zlib at all"), Limits(), "broken pack"),
        (pack(b"\xb5" + b"\xff" * 40), Limits(), "broken pack"),
        (pack(packed_object(6, b"abcd", base=b"\x00")), Limits(), "broken pack"),
        (pack(packed_object(6, b"abcd", base=b"\x7f")), Limits(), "broken pack"),
        (pack(packed_object(6, b"abcd", base=b"\xff" * 12)), Limits(), "broken pack"),
        (pack(packed_object(7, b"\xff" * 30, base=bytes(20))), Limits(), "broken pack"),
        (
            pack(packed_object(7, number(5) + number(1 << 36), base=bytes(20))),
            Limits(),
            "object of 68719476736 bytes",
        ),
        (b"KCAP" + bytes(8), Limits(), "broken pack"),
    ],
)
def test_what_is_refused(data: bytes, limits: Limits, message: str) -> None:
    for cuts in ([], [1] * len(data)):
        with pytest.raises(Refused, match=message):
            scanned(data, cuts, limits)


def chain(length: int) -> bytes:
    """A blob and a row of deltas, each on the one before."""
    base = packed_object(3, b"x")
    objects = [base]
    for _ in range(length):
        delta = number(1) + number(1) + b"\x01y"
        made = packed_object(6, delta, base=bytes([len(objects[-1])]))
        objects.append(made)
    return pack(*objects)


def test_a_chain_of_deltas_has_an_end() -> None:
    assert scanned(chain(4095)).max_depth == 4095
    with pytest.raises(Refused, match="chain of more than 4095 deltas"):
        scanned(chain(4096))
