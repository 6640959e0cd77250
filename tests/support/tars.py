"""Tars as no program would write them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

BLOCK = 512
END = bytes(2 * BLOCK)
GENERATED = 500


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def entry(
    name: bytes,
    kind: bytes = b"0",
    data: bytes = b"",
    *,
    link: bytes = b"",
    mode: int = 0o644,
    size: int | bytes | None = None,
    prefix: bytes = b"",
) -> bytes:
    """A header with its content; `size` when it lies about that, as bytes when it is no number."""
    said = len(data) if size is None else size
    field = said if isinstance(said, bytes) else b"%011o\0" % said
    head = bytearray(BLOCK)
    for at, value in (
        *((0, name[:100]), (100, b"%07o\0" % mode), (108, b"0000000\0"), (116, b"0000000\0")),
        *((124, field), (136, b"%011o\0" % 10**9), (156, kind), (157, link[:100])),
        *((257, b"ustar\x0000"), (345, prefix)),
    ):
        head[at : at + len(value)] = value
    return sealed(head) + padded(data)


def sealed(head: bytearray) -> bytes:
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def folder(name: bytes, mode: int = 0o755) -> bytes:
    return entry(name, b"5", mode=mode)


def symlink(name: bytes, to: bytes) -> bytes:
    return entry(name, b"2", link=to)


def hard(name: bytes, to: bytes) -> bytes:
    return entry(name, b"1", link=to)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    return entry(b"././@LongLink", kind, name + b"\0")


def pax(records: Mapping[bytes, bytes], kind: bytes = b"x") -> bytes:
    body = b""
    for key, value in records.items():
        size = len(key) + len(value) + 3
        length = size + len(str(size + len(str(size))))
        body += b"%d %b=%b\n" % (length, key, value)
    return entry(b"pax", kind, body)


TOP = folder(b"d/")
DEEP = b"/".join([b"x" * 200] * 25)
OUT = b"../canary"

FIXED: dict[str, bytes] = {
    "a path up": TOP + entry(b"d/../../canary", data=b"evil"),
    "a path up and down": TOP + entry(b"d/a/../../../canary", data=b"evil"),
    "only dots": entry(b"..", b"5"),
    "an absolute path": TOP + entry(b"/tmp/rumpel-evil", data=b"evil"),
    "an absolute root": entry(b"/d/", b"5") + entry(b"/d/f", data=b"evil"),
    "a second root": TOP + entry(b"e", data=b"evil"),
    "a name that begins alike": TOP + entry(b"dd/f", data=b"evil"),
    "a prefix that leads up": TOP + entry(b"canary", data=b"evil", prefix=b"d/../.."),
    "a link, then a file through it": TOP + symlink(b"d/l", b"..") + entry(b"d/l/canary"),
    "a link, then a folder through it": TOP + symlink(b"d/l", b"/tmp") + folder(b"d/l/evil"),
    "a link, then a file in its place": TOP + symlink(b"d/l", b"../../canary") + entry(b"d/l"),
    "a link, then a folder in its place": TOP + symlink(b"d/l", b"../..") + folder(b"d/l"),
    "a root that is a link, then in it": symlink(b"d", b"..") + entry(b"d/canary", data=b"evil"),
    "a file, then in it": TOP + entry(b"d/f") + entry(b"d/f/g", data=b"evil"),
    "a folder, then a file": TOP + folder(b"d/a") + entry(b"d/a/b") + entry(b"d/a", data=b"x"),
    "links in a chain": TOP
    + symlink(b"d/a", b".")
    + symlink(b"d/a/b", b"..")
    + entry(b"d/a/b/canary"),
    "long links in a chain": TOP
    + b"".join(
        long_name(b"d/" + b"n" * 240 + b"%d" % n) + symlink(b"d/x", b"n" * 240 + b"%d/.." % (n - 1))
        for n in range(1, 20)
    )
    + entry(b"d/canary", data=b"x"),
    "a hard link out": TOP + hard(b"d/h", b"../canary"),
    "a hard link to an absolute path": TOP + hard(b"d/h", b"/etc/passwd"),
    "a hard link to what never came": TOP + hard(b"d/h", b"d/nothing"),
    "a hard link through a link": TOP + symlink(b"d/l", b"../..") + hard(b"d/h", b"d/l/canary"),
    "a hard link to a link, then written": TOP
    + symlink(b"d/l", b"../../canary")
    + hard(b"d/h", b"d/l")
    + entry(b"d/h", data=b"evil"),
    "a hard link to a folder": TOP + folder(b"d/a") + hard(b"d/h", b"d/a"),
    "a hard link to itself": TOP + hard(b"d/h", b"d/h"),
    "a hard link as the root": hard(b"d", b"canary"),
    "a device": TOP + entry(b"d/sda", b"4") + entry(b"d/null", b"3"),
    "a fifo": TOP + entry(b"d/fifo", b"6"),
    "a root that is a fifo": entry(b"d", b"6"),
    "setuid": TOP + entry(b"d/su", data=b"x", mode=0o6755),
    "a setgid folder": folder(b"d/", 0o7777) + entry(b"d/f"),
    "a sparse file": TOP + entry(b"d/s", b"S", size=1 << 40),
    "a sparse file of pax": TOP + pax({b"GNU.sparse.realsize": b"%d" % (1 << 50)}) + entry(b"d/s"),
    "a size beyond all": TOP + entry(b"d/s", size=b"\x80" + b"\xff" * 11),
    "a negative size": TOP + entry(b"d/s", size=b"\xff" * 12),
    "a size that is none": TOP + entry(b"d/s", size=b"12x45678901\0"),
    "a size that is not kept": TOP + entry(b"d/s", data=b"short", size=1 << 33),
    "a size of pax that is none": TOP + pax({b"size": b"-5"}) + entry(b"d/s"),
    "a huge header": TOP + entry(b"pax", b"x", size=1 << 40),
    "headers without end": TOP + pax({b"path": b"d/x"}) * 100 + entry(b"d/x"),
    "a pax bomb": TOP + pax({b"comment": b"x" * 900_000}) * 2 + entry(b"d/x"),
    "a pax record that lies": TOP + entry(b"pax", b"x", b"9999 path=d/x\n") + entry(b"d/x"),
    "a pax record of length 0": TOP + entry(b"pax", b"x", b"0 path=d/x\n") + entry(b"d/x"),
    "a pax path up": TOP + pax({b"path": b"d/../../canary"}) + entry(b"d/x", data=b"evil"),
    "a pax path for all": pax({b"path": b"../canary"}, b"g") + TOP + entry(b"d/x", data=b"fine"),
    "a pax path with a NUL": TOP + pax({b"path": b"d/x\0/../../canary"}) + entry(b"d/x"),
    "a pax link out": TOP + pax({b"linkpath": b"../canary"}) + hard(b"d/h", b"d/x"),
    "a long name up": TOP + long_name(b"d/" + b"../" * 50 + b"canary") + entry(b"d/x"),
    "a long link out": TOP + long_name(b"../" * 50 + b"canary", b"K") + hard(b"d/h", b"d/x"),
    "control bytes": TOP + entry(b"d/\x1b]0;x\x07\n\r\x9b31m\xe2\x80\xae", b"6") + entry(b"d/\xff"),
    "deeper than can be": TOP + long_name(b"d/" + DEEP) + entry(b"d/x"),
    "longer than can be": TOP + long_name(b"d/" + b"y" * 300) + entry(b"d/x"),
    "longer than anything": TOP + long_name(b"d/" + b"y/" * 10_000) + entry(b"d/x"),
    "a link to nothing": TOP + symlink(b"d/l", b""),
    "the same file twice": TOP + entry(b"d/f", data=b"1") + entry(b"d/f", data=b"2"),
    "cut off in a file": (TOP + entry(b"d/f", data=b"x" * 5000))[:2000],
    "cut off between": TOP,
    "a wrong sum": TOP + bytes([1]) + entry(b"d/f")[1:],
    "noise": random.Random(1).randbytes(4096),
    "packed": b"\x1f\x8b" + random.Random(2).randbytes(4096),
    "nothing": b"",
    "no root, only its content": entry(b"d/a/b/c", data=b"x") + entry(b"d/a/e"),
    "an unknown kind": TOP + entry(b"d/v", b"V"),
    "another volume": TOP + entry(b"d/m", b"M", data=b"x"),
    "a mark of ours": TOP + folder(b"d/.rumpel-cp-0000") + entry(b"d/.rumpel-cp-0000/f"),
}


@dataclass(frozen=True, slots=True)
class Words:
    """What a random tar is made of."""

    random: random.Random

    def name(self) -> bytes:
        parts = [b"a", b"b", b"l", b"..", b".", b"", b"canary", b"\xff", b"n" * 250, b"\x1b[2J"]
        found = b"/".join(self.random.choices(parts, [9, 5, 9, 2, 1, 1, 2, 1, 1, 1], k=self._few()))
        return self.random.choices([b"d/" + found, found, b"/" + found], [30, 1, 1])[0]

    def target(self) -> bytes:
        ways = [b"..", b"../..", b"../../canary", b"/", b"/tmp", b".", b"a", b"l", b"a/../..", OUT]
        return self.random.choice([*ways, self.name()])

    def _few(self) -> int:
        return self.random.choices([1, 2, 3, 6], [6, 4, 2, 1])[0]

    def one(self) -> bytes:
        name, pick = self.name(), self.random
        makers: list[Callable[[], bytes]] = [
            lambda: entry(name, data=b"evil" * pick.randrange(400), mode=pick.randrange(0o10000)),
            lambda: folder(name, pick.randrange(0o10000)),
            lambda: symlink(name, self.target()),
            lambda: hard(name, self.target()),
            lambda: entry(name, pick.choice([b"3", b"4", b"6", b"7", b"\0", b"S", b"V", b"Z"])),
            lambda: pax({b"path": self.name(), b"mtime": b"-1.5"}) + entry(name, data=b"evil"),
            lambda: pax({b"linkpath": self.target()}) + entry(name, pick.choice([b"1", b"2"])),
            lambda: long_name(self.name() * 3) + entry(name, data=b"evil"),
            lambda: long_name(self.target(), b"K") + entry(name, pick.choice([b"1", b"2"])),
            lambda: entry(name, data=b"evil", size=pick.randrange(2000)),
        ]
        return pick.choices(makers, [9, 6, 9, 6, 1, 2, 2, 1, 2, 1])[0]()


def generated(seed: int) -> bytes:
    """Mostly well-formed, so that it gets far."""
    pick = random.Random(seed)
    words = Words(pick)
    tar = TOP + b"".join(words.one() for _ in range(pick.randrange(1, 12)))
    if pick.random() < 0.1:
        tar = tar[: pick.randrange(len(tar))]
    if pick.random() < 0.1:
        at = pick.randrange(len(tar))
        tar = tar[:at] + pick.randbytes(8) + tar[at + 8 :]
    return tar + END
