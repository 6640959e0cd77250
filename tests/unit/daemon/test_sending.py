"""Branches on their way: one host waits for no other, and no change is left lying."""

from __future__ import annotations

import asyncio

from rumpel.daemon.sending import Seat, Sending

NEAR, AWAY = ("local", "/seed"), ("ssh://away", "/seed")


async def test_one_that_hangs_holds_up_no_other() -> None:
    sent: list[Seat] = []
    hanging, arrived = asyncio.Event(), asyncio.Event()

    async def send(seat: Seat) -> None:
        if seat == AWAY:
            hanging.set()
            await asyncio.Event().wait()
        sent.append(seat)
        arrived.set()

    sending = Sending(send)
    for _ in range(3):
        arrived.clear()
        sending.wake([AWAY, NEAR])
        async with asyncio.timeout(5):
            await arrived.wait()
    assert hanging.is_set()
    assert sent == [NEAR] * 3
    sending.close()


async def test_what_changes_meanwhile_is_sent_once_more() -> None:
    begun: list[asyncio.Event] = []
    go = asyncio.Semaphore(0)
    started = asyncio.Semaphore(0)

    async def send(seat: Seat) -> None:
        assert seat == NEAR
        begun.append(asyncio.Event())
        started.release()
        await go.acquire()

    sending = Sending(send)
    async with asyncio.timeout(5):
        sending.wake([NEAR])
        await started.acquire()
        for _ in range(5):
            sending.wake([NEAR])  # while it is at work: one more is enough for all of them
        go.release()
        await started.acquire()
        go.release()
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(begun) == 2
    sending.wake([NEAR])
    async with asyncio.timeout(5):
        await started.acquire()
    assert len(begun) == 3
    sending.close()
