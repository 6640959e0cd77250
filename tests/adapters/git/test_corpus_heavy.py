"""Hostile corpus: what takes long to make, and pods beside each other (notes/reliability.md G6)."""

from __future__ import annotations

import asyncio
import os
import struct
import time
import zlib
from pathlib import Path

import pytest

from rumpel.adapters import git_door, task_group, threads
from rumpel.adapters.git_door import Imported
from rumpel.adapters.git_limits import Limits
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import (
    LONG,
    Run,
    branch,
    commit_of,
    distance,
    history,
    honest,
    liar,
    number,
    pack,
    packed,
    recovers,
    sending,
    tree,
    verdict,
)
from tests.adapters.git.test_import import left_over

heavy = pytest.mark.skipif(not LONG, reason="takes long: RUMPEL_LONG=1")


async def test_a_pod_that_hangs_or_floods_delays_no_other(quick: Pair, tmp_path: Path) -> None:
    """Both at once in one event loop; the honest one is done while the others still go on."""
    good = honest(quick.pod, "beside it")
    silent = liar({b"refs/heads/alice": "1" * 40}, hang=True)
    flood = sending(pack(packed(3, os.urandom(4 << 20))))
    refs = {b"refs/heads/alice": "1" * 40}
    hanging = asyncio.ensure_future(
        git_door.import_pod(quick.repo, tmp_path / "doors/a", await silent(), Limits(seconds=30))
    )
    flooding = asyncio.ensure_future(
        git_door.import_pod(
            quick.repo, tmp_path / "doors/b", await liar(refs, *[flood] * 9)(), Limits(seconds=30)
        )
    )
    gaps, ended = [0.0], asyncio.Event()

    async def beat() -> None:
        while not ended.is_set():
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - begun)

    async with task_group.opened() as group:
        group.create_task(beat())
        for _ in range(3):
            assert (await Run(quick, good).take()).branches == {"alice": good}
            good = honest(quick.pod, "next")
        assert not hanging.done()
        ended.set()
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert (await flooding).branches == {}
    assert len(gaps) > 3
    assert left_over(tmp_path / "doors/a") == []
    assert left_over(tmp_path / "doors/b") == []


async def test_what_a_killed_import_left_is_swept_at_start(quick: Pair) -> None:
    good = honest(quick.pod, "beside it")
    assert await Run(quick, good).take() == Imported({"alice": good}, ())
    left = quick.door / "incoming-killed/objects/pack"
    left.mkdir(parents=True)
    (left / "tmp_pack_x").write_bytes(bytes(1000))
    await threads.call(git_door.sweep, quick.door)
    assert left_over(quick.door) == []
    assert (quick.door / git_door.STATE).exists()


@heavy
async def test_a_real_gigabyte_of_zeros(quick: Pair, good: str) -> None:
    """In a stream that says so, and in one that says it is small."""
    deflate = zlib.compressobj(9)
    data = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(1024)) + deflate.flush()
    for size in (1 << 30, 1000):
        head = packed(3, b"", size=size)
        bomb = head[: -len(zlib.compress(b""))] + data
        oid, objects = history(good, bomb)
        refs = {b"refs/heads/alice": good, b"refs/heads/evil": oid}
        run = Run(quick, good, liar(refs, *[sending(pack(*objects))] * 3))
        await verdict(run, refused={"evil": "1073741824 bytes" if size > 1000 else "broken pack"})
        await recovers(run)


@heavy
@pytest.mark.timeout(300)
async def test_millions_of_tiny_objects(quick: Pair, good: str) -> None:
    made = b"".join(packed(3, struct.pack("<I", index)) for index in range(1_200_000))
    oid, objects = history(good)
    whole = pack(*objects, made, count=1_200_003)
    refs = {b"refs/heads/alice": good, b"refs/heads/evil": oid}
    limits = Limits(objects=1_000_000)
    await verdict(
        Run(quick, good, liar(refs, *[sending(whole)] * 3), limits),
        refused={"evil": "more than 1000000 objects"},
    )
    # Within the limit they are taken: dear, but not for ever, and the memory is bounded.
    found = await Run(quick, good, liar(refs, *[sending(whole)] * 3), Limits(seconds=240)).take()
    assert found.rejected == ()
    assert found == Imported({"alice": good, "evil": oid}, ())


@heavy
@pytest.mark.timeout(300)
async def test_a_million_refs(quick: Pair, good: str) -> None:
    newer = honest(quick.pod, "newer")
    await Run(quick, good, liar({b"refs/heads/alice": good})).take()
    lines = [f"{good} refs/heads/b{index:07}" for index in range(1_000_000)]
    packed_refs = quick.pod.root / ".git/packed-refs"
    packed_refs.write_text("# pack-refs with: sorted \n" + "\n".join(lines) + "\n")
    run = Run(quick, newer, limits=Limits(seconds=120))
    await verdict(run, refused={"*": "more than 2000 branches"})
    await recovers(run)


@heavy
@pytest.mark.timeout(300)
async def test_deltas_that_unpack_for_ever(quick: Pair, good: str) -> None:
    """65 kB that are 400 MB, again and again, up to the limit of 64 GiB."""
    base = packed(3, bytes(0xFFFF))
    times = 6000
    command = b"\xb0\xff\xff"
    delta = number(0xFFFF) + number(0xFFFF * times) + command * times
    made = [base]
    for _ in range(200):
        made.append(packed(6, delta, base=distance(sum(map(len, made)))))
    oid, objects = history(good)
    refs = {b"refs/heads/alice": good, b"refs/heads/evil": oid}
    run = Run(quick, good, liar(refs, *[sending(pack(*objects, *made))] * 3))
    await verdict(run, refused={"evil": "more than 68719476736 bytes, unpacked"})
    await recovers(run)


@heavy
async def test_a_bomb_of_many_levels_and_names(quick: Pair) -> None:
    good = honest(quick.pod, "beside it")
    oid, mode = "", b"160000"
    for _ in range(60):
        oid = tree(
            quick.pod, [(mode, f"{name:03}".encode(), oid or "1" * 40) for name in range(200)]
        )
        mode = b"40000"
    branch(quick.pod, "evil", commit_of(quick.pod, oid))
    run = Run(quick, good)
    await verdict(run, refused={"evil": "more than 2000000 paths"})
    await recovers(run)
