"""What a client's connection leaves to the event loop."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from rumpel.daemon.connection import MAX_QUEUED_BYTES, Connection
from rumpel.protocol import Lines


async def test_the_next_descriptor_of_its_number_is_looked_at() -> None:
    """Somebody still reads when it is closed: the loop must not believe it knows the new one."""
    ours, theirs = socket.socketpair()
    connection, number = Connection(ours), ours.fileno()
    reading = asyncio.ensure_future(connection.receive())
    await asyncio.sleep(0)
    connection.close()
    loop, heard = asyncio.get_running_loop(), asyncio.Event()
    one, other = socket.socketpair()
    with theirs, one, other:
        assert one.fileno() == number  # the lowest that is free
        loop.add_reader(one, heard.set)
        other.send(b"an answer of Docker")
        try:
            async with asyncio.timeout(10):
                await heard.wait()
        finally:
            loop.remove_reader(one)
            reading.cancel()
            await asyncio.wait({reading})


async def test_who_does_not_read_holds_no_memory() -> None:
    """What is said while they sleep is bounded; the end comes all the same."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    connection = Connection(ours)
    pumping = asyncio.ensure_future(connection.pump())
    await asyncio.sleep(0)
    for number in range(200):
        connection.send({"event": "said", "line": "x" * (1 << 20), "number": number})
    assert connection._queued_bytes < MAX_QUEUED_BYTES + (2 << 20)
    connection.send({"result": "the end"})
    lines, heard = Lines(), list[dict[str, Any]]()
    while not heard or "result" not in heard[-1]:
        heard += lines.feed(await asyncio.get_running_loop().sock_recv(theirs, 1 << 20))
    assert heard[-1] == {"result": "the end"}
    assert len(heard) < 64
    assert connection._queued_bytes == 0
    pumping.cancel()
    await asyncio.wait({pumping})
    connection.close()
    theirs.close()
