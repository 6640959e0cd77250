"""Hostile corpus: packs and answers that no git would send (notes/reliability.md G6)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from rumpel.adapters import git_door
from rumpel.adapters.git_limits import Limits
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import (
    BLOB,
    COMMIT,
    GREETING,
    LIMITS,
    OFS,
    REF,
    Liar,
    Run,
    bands,
    distance,
    everything,
    history,
    honest,
    liar,
    listing,
    nonsense,
    number,
    pack,
    packed,
    pkt,
    recovers,
    sending,
    share,
    verdict,
)
from tests.adapters.git.test_import import left_over
from tests.adapters.git.test_servers import Script

GIB = 1 << 30
Build = Callable[[str], tuple[str, bytes]]
"""From a commit the host has: (what evil is said to be, the pack)."""


def with_extra(*extra: bytes) -> Build:
    def build(parent: str) -> tuple[str, bytes]:
        oid, objects = history(parent, *extra)
        return oid, pack(*objects)

    return build


def cut(count: int) -> Build:
    def build(parent: str) -> tuple[str, bytes]:
        oid, objects = history(parent)
        return oid, pack(*objects)[:-count]

    return build


def without(index: int) -> Build:
    def build(parent: str) -> tuple[str, bytes]:
        oid, objects = history(parent)
        del objects[index]
        return oid, pack(*objects)

    return build


def counted(count: int) -> Build:
    def build(parent: str) -> tuple[str, bytes]:
        oid, objects = history(parent)
        return oid, pack(*objects, count=count)

    return build


def changed(change: Callable[[bytes], bytes]) -> Build:
    def build(parent: str) -> tuple[str, bytes]:
        oid, objects = history(parent)
        return oid, change(pack(*objects))

    return build


def zeros(size: int, *, of: int) -> bytes:
    """A blob said to be `of` bytes, with the first `size` of them."""
    return packed(BLOB, bytes(size), size=of)


def copies(base: int, times: int) -> bytes:
    """A delta that copies all of its base again and again."""
    command = b"\xb0" + struct.pack("<I", base)[:2]
    return number(base) + number(base * times) + command * times


def delta_bomb() -> bytes:
    """60 kB that stand for 4 GiB: 256 copies of 64 kB, twice over."""
    return packed(REF, copies(0xFFFF, 65_000), base=bytes(20))


def delta_row() -> list[bytes]:
    """Each within the limit for one object, all together beyond that of an import."""
    base = packed(BLOB, bytes(0xFFFF))
    made = [base]
    for _ in range(60):
        far = sum(map(len, made))
        made.append(packed(OFS, copies(0xFFFF, 400), base=distance(far)))
    return made


def long_chain() -> list[bytes]:
    made = [packed(BLOB, b"x")]
    for _ in range(10_000):
        made.append(packed(OFS, number(1) + number(1) + b"\x01y", base=distance(len(made[-1]))))
    return made


BROKEN = "broken pack"
PACKS: dict[str, tuple[Build, str]] = {
    "a gigabyte of zeros": (with_extra(zeros(1 << 16, of=GIB)), "an object of 1073741824 bytes"),
    "an exabyte": (with_extra(zeros(10, of=1 << 60)), "an object of 1152921504606846976 bytes"),
    "more than it says": (with_extra(zeros(1 << 20, of=10)), BROKEN),
    "less than it says": (with_extra(zeros(10, of=20)), BROKEN),
    "delta for gigabytes": (with_extra(delta_bomb()), "an object of 4259775000 bytes"),
    "deltas for gigabytes together": (with_extra(*delta_row()), "bytes, unpacked"),
    "chain of 10,000 deltas": (with_extra(*long_chain()), "chain of more than 4095 deltas"),
    "delta on itself": (with_extra(packed(OFS, b"\1\1\1y", base=b"\0")), BROKEN),
    "delta on what was before the pack": (
        with_extra(packed(OFS, b"\1\1\1y", base=distance(1 << 30))),
        BROKEN,
    ),
    "delta on the middle of an object": (
        with_extra(packed(OFS, b"\1\1\1y", base=distance(3))),
        "unresolved delta",
    ),
    "delta on nothing": (with_extra(packed(REF, b"\1\1\1y", base=b"\1" * 20)), "unresolved delta"),
    "delta that is none": (
        with_extra(packed(BLOB, b"z"), packed(OFS, b"\1\5\1y", base=distance(10))),
        "error",
    ),
    "an object twice": (with_extra(packed(BLOB, b"file\n")), "appears twice in the pack"),
    "unknown kind": (with_extra(packed(5, b"x")), BROKEN),
    "no kind": (with_extra(packed(0, b"x")), BROKEN),
    "no zlib": (with_extra(b"\x31garbage"), BROKEN),
    "without its checksum": (cut(20), "early EOF"),
    "without its end": (cut(40), "early EOF"),
    "wrong checksum": (changed(lambda data: data[:-1] + b"\0"), "corrupt"),
    "flipped byte": (changed(lambda data: data[:-30] + b"\xff" + data[-29:]), ""),
    "version 1": (changed(lambda data: data[:7] + b"\1" + data[8:]), "bad pack header"),
    "version 3 million": (
        changed(lambda data: data[:4] + b"\0\x30\0\0" + data[8:]),
        "bad pack header",
    ),
    "no pack": (lambda parent: ("1" * 40, b"hello, I am no pack at all"), BROKEN),
    "empty pack": (lambda parent: ("1" * 40, pack()), "did not send all necessary objects"),
    "no objects but many said": (counted(1_000_000), ""),
    "4 billion objects": (counted(0xFFFFFFFF), "more than 2000000 objects"),
    "one object too few said": (counted(2), ""),
    "without the tree": (without(1), "did not receive expected object"),
    "without the file": (without(2), "did not receive expected object"),
    "without the commit": (without(0), "did not send all necessary objects"),
    "another commit": (
        lambda parent: ("1" * 40, pack(*history(parent)[1])),
        "did not send all necessary objects",
    ),
    "commit that is no commit": (
        lambda parent: ("1" * 40, pack(packed(COMMIT, b"tree x"))),
        "error",
    ),
}


@pytest.mark.parametrize("name", share(PACKS))
async def test_pack_that_is_refused(quick: Pair, good: str, name: str) -> None:
    build, why = PACKS[name]
    oid, data = build(good)
    refs = {b"refs/heads/alice": good, b"refs/heads/evil": oid}
    limits = Limits(seconds=20, idle_seconds=0.7, unpacked_bytes=1 << 30)
    run = Run(quick, good, liar(refs, *[sending(data)] * 3), limits)
    await verdict(run, refused={"evil": why})
    await recovers(run)


TAKEN: dict[str, Build] = {
    "nothing else": with_extra(),
    "something more": with_extra(packed(BLOB, b"nobody asked for it")),
    "bytes behind the pack": changed(lambda data: data + b"garbage"),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_pack_that_is_good_enough(quick: Pair, good: str, name: str) -> None:
    oid, data = TAKEN[name](good)
    refs = {b"refs/heads/alice": good, b"refs/heads/odd": oid}
    run = Run(quick, good, liar(refs, *[sending(data)] * 3))
    try:
        await verdict(run, arrives=["odd"])
    except AssertionError:
        assert name == "bytes behind the pack"  # git may refuse it, by name
        await verdict(run, refused={"odd": ""})
    await recovers(run)


@dataclass(frozen=True)
class Talk:
    """A server by what it says: greeting, refs, answer to `fetch`."""

    why: str
    greeting: bytes = GREETING
    refs: bytes | None = None
    answer: bytes = b""
    hang: bool = False


NEW = "1" * 40
FLOOD = bands(b"progress\n" * 200_000, band=2)
TALKS: Mapping[str, Talk] = {
    "says nothing": Talk("said nothing for 0.5 s", greeting=b"0", hang=True),
    "greets and is silent": Talk("said nothing for 0.5 s", refs=b"0", hang=True),
    "stops in its refs": Talk("said nothing for 0.5 s", refs=b"003", hang=True),
    "stops before the pack": Talk("said nothing for 0.5 s", answer=b"0", hang=True),
    "stops in the pack": Talk(
        "said nothing for 0.5 s", answer=pkt(b"packfile\n") + bands(b"PACK\0\0\0\2"), hang=True
    ),
    "tells its progress for ever": Talk(
        "more than 1048576 bytes about its progress", answer=pkt(b"packfile\n") + FLOOD
    ),
    "has an error for ever": Talk(
        "more than 1048576 bytes about its progress",
        answer=pkt(b"packfile\n") + FLOOD.replace(b"\x02progress", b"\x03progress"),
    ),
    "acknowledges for ever": Talk(
        "more than 67108864 bytes before its pack",
        answer=pkt(b"acknowledgments\n") + (pkt(b"NAK\n" * 16_000) * 1100),
    ),
    "lists branches for ever": Talk(
        "more than 2000 branches",
        refs=b"".join(pkt(b"1" * 40 + b" refs/heads/b%d\n" % n) for n in range(2100)),
    ),
    "lists other refs for ever": Talk(
        "more than 67108864 bytes before its pack",
        refs=b"".join(pkt(b"1" * 40 + b" refs/tags/" + b"t" * 60_000 + b"\n") for _ in range(1200)),
    ),
    "sends zeros": Talk("not git's protocol", greeting=bytes(100_000)),
    "sends a web page": Talk("not git's protocol", greeting=b"<html>hello</html>\n"),
    "sends a length below four": Talk("", greeting=b"0003"),
    "sends a negative length": Talk("not git's protocol", greeting=b"-001"),
    "sends a length with a sign": Talk("not git's protocol", greeting=b"0x10abcdefgh"),
    "sends the longest packet": Talk("", greeting=pkt(b"v" * 65_531)),
    "speaks version 1": Talk(
        "said nothing for 0.5 s",
        greeting=pkt(b"version 1\n") + pkt(NEW.encode() + b" refs/heads/x\0\n"),
    ),
    "speaks version 3": Talk("", greeting=pkt(b"version 3\n") + b"0000"),
    "can do nothing": Talk("", greeting=pkt(b"version 2\n") + b"0000"),
    "has another object format": Talk(
        "", greeting=GREETING.replace(b"format=sha1", b"format=md5!")
    ),
    "has refs of another format": Talk("", refs=pkt(b"1" * 64 + b" refs/heads/evil\n") + b"0000"),
    "has half an oid": Talk("", refs=pkt(b"1234 refs/heads/x\n") + b"0000"),
    "says ERR": Talk("go away", refs=pkt(b"ERR go away\n")),
    "says ERR with an escape": Talk("", refs=pkt(b"ERR \x1b[2Jx\n")),
    "sends a bundle list": Talk(
        "", greeting=GREETING[:-4] + pkt(b"bundle-uri\n") + b"0000", refs=pkt(b"x=y\n")
    ),
    "sends a redirect": Talk(
        "not git's protocol", greeting=b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n"
    ),
    "names packs elsewhere": Talk(
        "said nothing",
        answer=pkt(b"packfile-uris\n") + pkt(b"1" * 40 + b" file:///etc/passwd\n") + b"0001",
    ),
    "cuts history off": Talk(
        "",
        answer=pkt(b"shallow-info\n") + pkt(b"shallow " + NEW.encode() + b"\n") + b"0000",
    ),
    "wants other refs": Talk(
        "",
        answer=pkt(b"wanted-refs\n") + pkt(NEW.encode() + b" refs/heads/main\n") + b"0000",
    ),
    "sends a raw pack": Talk("", answer=pack()),
    "answers another question": Talk("", answer=pkt(b"object-info\n") + b"0000"),
}


@pytest.mark.parametrize("name", share(TALKS))
async def test_server_that_lies(quick: Pair, good: str, name: str) -> None:
    talk = TALKS[name]
    refs = listing({b"refs/heads/evil": NEW}) if talk.refs is None else talk.refs

    async def start() -> Liar:
        return Liar(refs, *[talk.answer] * 3, greeting=talk.greeting, hang=talk.hang)

    run = Run(quick, good, start, Limits(seconds=20, idle_seconds=0.5))
    before = everything(quick.host.root)
    await told(run, talk.why)
    assert everything(quick.host.root) == before
    assert left_over(quick.door) == []
    await recovers(run)


async def told(run: Run, why: str) -> None:
    """As an error of the import, or as the reason of a branch; in words in any case."""
    try:
        found = await run.take()
    except RumpelError as err:
        message = err.message
    else:
        message = "".join(reason for _, reason in found.rejected)
        assert message, found
    assert why in message


@pytest.mark.parametrize("part", range(8))
async def test_server_that_hangs_up_anywhere(quick: Pair, good: str, part: int) -> None:
    """After any number of bytes of what an honest one would say."""
    oid, objects = history(good)
    refs = listing({b"refs/heads/alice": good, b"refs/heads/new": oid})
    whole = (GREETING, refs, sending(pack(*objects)))
    size = sum(map(len, whole))
    for stop in range(part * 7, size, size // 3):
        cuts, left = [], stop
        for piece in whole:
            cuts.append(piece[:left])
            left -= len(cuts[-1])
        with pytest.raises(RumpelError):
            await git_door.import_pod(quick.repo, quick.door, Script(*filter(None, cuts)), LIMITS)
    await recovers(Run(quick, good))


FLOODS = {
    "stdout": ("yes", "not git's protocol"),
    "zeros": ("cat /dev/zero", "not git's protocol"),
    "packets": ("yes 0009hello | tr -d '\\n'", "unexpected 'hello'"),
    "stderr": ("yes >&2", "more than 1048576 bytes of errors"),
    "nothing": ("exec sleep 60", "said nothing for 2 s"),
    "the end": ("exit 0", "import failed"),
    "an error": ("echo no such program >&2; exit 127", "no such program"),
    "a signal": ("kill -9 $$", "import failed"),
}


@pytest.mark.parametrize("name", share(FLOODS))
async def test_git_replaced_by_a_program(quick: Pair, good: str, name: str) -> None:
    script, why = FLOODS[name]
    run = Run(quick, good, lambda: nonsense(quick, "sh", "-c", script), Limits(idle_seconds=2))
    await verdict(run, fails=why)
    await recovers(run)


async def test_refused_branch_is_not_fetched_again_before_it_moves(quick: Pair) -> None:
    good = honest(quick.pod, "beside it")
    data = pack(*history(good, zeros(1 << 16, of=GIB))[1])
    evil = history(good)[0]
    server = Liar(
        listing({b"refs/heads/alice": good, b"refs/heads/evil": evil}), sending(data), b""
    )
    known = {"refs/heads/evil": (evil, "the reason")}
    honest_first = await Run(quick, good).take()
    assert honest_first.branches == {"alice": good}
    found = await git_door.import_pod(quick.repo, quick.door, server, LIMITS, known_refused=known)
    assert found.branches == {"alice": good}
    assert found.rejected == (("evil", "the reason"),)
    assert found.refusals == known
    moved = await Run(quick, good, liar({b"refs/heads/evil": NEW}, sending(data))).take()
    assert moved.rejected[0][1] != "the reason"


async def test_known_branches_come_though_there_are_too_many(quick: Pair) -> None:
    good = honest(quick.pod, "beside it")
    for index in range(30):
        (quick.pod.root / f".git/refs/heads/b{index:02}").write_text(f"{good}\n")
    run = Run(quick, good, limits=Limits(refs=20))
    first = quick.pod.root / ".git/refs/heads"
    assert len(list(first.iterdir())) == 31
    await Run(quick, good, liar({b"refs/heads/alice": quick.host.oid("HEAD")})).take()
    found = await run.take()
    assert found.branches == {"alice": good}
    assert found.rejected == (("*", "the pod has more than 20 branches"),)
    await recovers(run)


async def test_one_branch_of_many_is_found(quick: Pair) -> None:
    """In halves: 300 branches that moved, three of them bad."""
    good = honest(quick.pod, "beside it")
    for index in range(300):
        honest(quick.pod, f"{index}", f"b{index}")
    bad = zlib.compress(b"garbage")
    for index in (0, 149, 299):
        oid = (quick.pod.root / f".git/refs/heads/b{index}").read_text().strip()
        (quick.pod.root / ".git/objects" / oid[:2] / oid[2:]).write_bytes(bad)
    found = await Run(quick, good, limits=Limits()).take()
    assert sorted(name for name, _ in found.rejected) == ["b0", "b149", "b299"]
    assert len(found.branches) == 298
