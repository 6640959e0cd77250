"""What a client's connection leaves to the event loop."""

from __future__ import annotations

import asyncio
import socket

from rumpel.daemon.connection import Connection


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
