"""Room for pods: never more than there is, spread evenly, the first of the file first."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.daemon.batch_pool import AWAY, LOW, Pool, Wish


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 30), st.integers(0, 10_000)
)
def test_random_lives(sizes: list[int], count: int, seed: int) -> None:
    """Everybody gets in, also when some give up; no host ever has more than its room."""
    capacity = {f"h{at}": size for at, size in enumerate(sizes)}

    async def live(pool: Pool, number: int, rng: random.Random) -> None:
        taking = asyncio.ensure_future(pool.take(f"t{number}", number))
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        if rng.random() < 0.2:
            taking.cancel()
        try:
            await taking
        except asyncio.CancelledError:
            return
        assert all(load <= capacity[host] for host, load in pool.load().items())
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        pool.release(f"t{number}")

    async def all_of_them() -> None:
        pool, rng = Pool(capacity), random.Random(seed)
        lives = (live(pool, n, random.Random(rng.random())) for n in range(count))
        async with asyncio.timeout(10):
            await asyncio.gather(*lives)
        assert sum(pool.load().values()) == 0

    asyncio.run(all_of_them())


async def test_it_spreads_and_keeps_the_order() -> None:
    pool = Pool({"a": 2, "b": 2}, 3)
    assert [await pool.take(f"t{n}", n) for n in range(3)] == ["a", "b", "a"]
    assert await pool.take("t0", 0) == "a", "what is held is had again"
    late, early = (asyncio.ensure_future(pool.take(f"t{n}", n)) for n in (9, 5))
    await asyncio.sleep(0)
    pool.release("t1")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert early.done()
    assert not late.done()
    assert early.result() == "b"
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late


async def test_a_pod_that_is_there_waits_for_its_host() -> None:
    pool = Pool({"a": 1, "b": 1})
    assert await pool.take("t0", 0) == "a"
    waiting = asyncio.ensure_future(pool.take("t1", 1, Wish(hosts=frozenset({"a"}))))
    await asyncio.sleep(0)
    assert not waiting.done()
    pool.release("t0")
    assert await waiting == "a"


async def test_no_room_for_those_who_would_only_wait_for_their_agent() -> None:
    """Eight of one agent, of which two may be at work, leave room for another agent's."""
    pool = Pool({"a": 4}, agents={"claude": 2})
    claude, codex = Wish(agent="claude"), Wish(agent="codex")
    taking = {f"t{n}": asyncio.ensure_future(pool.take(f"t{n}", n, claude)) for n in range(8)}
    taking["x"] = asyncio.ensure_future(pool.take("x", 8, codex))
    for _ in range(3):
        await asyncio.sleep(0)
    assert [name for name, one in taking.items() if one.done()] == ["t0", "t1", "t2", "x"]
    pool.release("x")
    await asyncio.sleep(0)
    assert not taking["t3"].done(), "one ahead is enough"
    pool.worked("t0")
    pool.worked("t0")
    for _ in range(3):
        await asyncio.sleep(0)
    assert taking["t3"].done()
    assert not taking["t4"].done()
    for one in taking.values():
        one.cancel()


async def test_a_host_that_is_low_takes_nothing_new() -> None:
    pool = Pool({"a": 2, "b": 2})
    pool.close_host("a", LOW, "1 MB free")
    assert [await pool.take(f"t{n}", n) for n in range(2)] == ["b", "b"]
    here = frozenset({"a"})
    assert await pool.take("t2", 2, Wish(hosts=here, is_new=False)) == "a"
    new = asyncio.ensure_future(pool.take("t3", 3))
    await asyncio.sleep(0)
    assert not new.done()
    assert pool.closed() == {"a": "1 MB free"}
    pool.close_host("a", AWAY, "gone")
    pool.open_host("a", LOW)
    await asyncio.sleep(0)
    assert not new.done(), "nobody new gets to one that is away"
    pool.open_host("a", AWAY)
    assert await new == "a"
    pool.hold("t9", "a")
    assert pool.load() == {"a": 3, "b": 2}, "who is there already has room"
