"""Carrying a connection into a container by whatever the image has, and leaving nothing there."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from rumpel.adapters import port_relay
from rumpel.adapters.docker_api import DockerHost
from rumpel.daemon.background import Background
from rumpel.daemon.relays import Relays
from rumpel.errors import NotFound
from tests.support.engine import DEV_IMAGE, MINI_IMAGE, Engine
from tests.support.home import Home

PORT = 39_500
BULK = 4 << 20
# Both answer at the client's end, with how much it sent.
MINI_SERVICE = ["nc", "-l", "-p", str(PORT), "-e", "wc", "-c"]
HIDE = "cd /usr/bin && for one in perl bash; do mv $one $one.hidden; done"
SHOW = "cd /usr/bin && for one in perl bash; do mv $one.hidden $one; done"
SERVICE = """
use strict; use Socket; socket(my $l, PF_INET, SOCK_STREAM, 0);
setsockopt($l, SOL_SOCKET, SO_REUSEADDR, 1);
bind($l, pack_sockaddr_in(%d, INADDR_LOOPBACK)) or die; listen($l, 9);
while (accept(my $c, $l)) { my $n = 0; my $b;
    while (my $got = sysread $c, $b, 65536) { $n += $got; syswrite $c, $b if $b =~ /^now/ }
    syswrite $c, $n; close $c }
"""


@pytest.fixture(scope="module")
def containers(docker_engine: Engine) -> Iterator[dict[str, str]]:
    """A container of each image, for all tests here."""
    label = f"rumpel.test={secrets.token_hex(8)}"
    key, _, value = label.partition("=")
    found = {}
    try:
        for image in (MINI_IMAGE, DEV_IMAGE):
            if not docker_engine.has_image(image):
                pytest.skip(f"no image {image}: run scripts/images")
            found[image] = docker_engine.run(image, "sleep", "600", labels={key: value})
        made = docker_engine.api.exec_create(found[DEV_IMAGE], ["perl", "-e", SERVICE % PORT])
        docker_engine.api.exec_start(made["Id"], detach=True)
        yield found
    finally:
        docker_engine.remove_labelled(label)


@pytest.fixture
async def host(home: Home) -> AsyncIterator[DockerHost]:
    async with await DockerHost.open() as found:
        yield found


@pytest.fixture
async def relays(
    host: DockerHost, containers: dict[str, str]
) -> AsyncIterator[Callable[[str, str], Relays]]:
    """Relays into the container of an image, of a kind or of the best there is."""
    idle, made = asyncio.Event(), list[Relays]()
    idle.set()
    async with Background() as background:

        def make(image: str, kind: str = "") -> Relays:
            made.append(
                Relays(
                    background=background,
                    idle=idle,
                    host=host,
                    container_id=containers[image],
                    user="",
                    image_id=image,
                    kinds={image: kind} if kind else {},
                )
            )
            return made[-1]

        yield make
        for one in made:
            await one.close()


@contextlib.asynccontextmanager
async def carried(
    relays: Relays, relay: port_relay.Relay
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client whose connection `relay` carries."""
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    one = port_relay.Carried(relay, theirs)
    task = asyncio.create_task(one.run("localhost", PORT, relays.exit_code))
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    try:
        yield reader, writer
    finally:
        writer.close()
        async with asyncio.timeout(20):
            await task
        await relays.put_away(relay)


async def relays_in(host: DockerHost, container: str, token: str) -> int:
    script = f"grep -ls RUMPEL_EXEC={token} /proc/[0-9]*/environ | wc -l"
    return int((await host.exec_run(container, ["sh", "-c", script])).stdout)


async def until_gone(host: DockerHost, container: str, token: str) -> None:
    async with asyncio.timeout(20):
        while await relays_in(host, container, token):  # each look takes an exec
            pass


Make = Callable[[str, str], Relays]


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["perl", "bash"])
async def test_a_connection(
    containers: dict[str, str], host: DockerHost, relays: Make, kind: str
) -> None:
    """Whoever ends it, and however it ends, nothing of it stays in the pod."""
    own = relays(DEV_IMAGE, kind)
    relay = await own.take()
    assert relay.kind == kind
    async with carried(own, relay) as (reader, writer):
        writer.write(b"now" + bytes(BULK))
        assert (await reader.readexactly(3)) == b"now"
        if kind == "perl":  # bash cannot tell the service of the end
            writer.write_eof()
            rest = await reader.read()
            assert rest.endswith(str(BULK + 3).encode())
    await until_gone(host, containers[DEV_IMAGE], relay.token)


@pytest.mark.docker
async def test_what_is_found(containers: dict[str, str], host: DockerHost, relays: Make) -> None:
    """perl where it is; in an image of busybox its nc."""
    for image, kind in ((DEV_IMAGE, "perl"), (MINI_IMAGE, "nc")):
        own = relays(image, "")
        relay = await own.take()
        assert relay.kind == kind
        await own.put_away(relay)
        await until_gone(host, containers[image], relay.token)


@pytest.mark.docker
async def test_by_nc_of_busybox(containers: dict[str, str], host: DockerHost, relays: Make) -> None:
    container = containers[MINI_IMAGE]
    service = asyncio.create_task(host.exec_run(container, MINI_SERVICE))
    listens = ["grep", "-qs", f":{PORT:04X} 0*:0000 0A", "/proc/net/tcp", "/proc/net/tcp6"]
    async with asyncio.timeout(10):
        while (await host.exec_run(container, listens)).code:
            assert not service.done(), service.result()
    own = relays(MINI_IMAGE, "")
    relay = await own.take()
    async with carried(own, relay) as (reader, writer):
        writer.write(b"hello")
        writer.write_eof()
        assert (await reader.read()).strip() == b"5"
    await until_gone(host, container, relay.token)
    await service


@pytest.mark.docker
@pytest.mark.parametrize("kind", ["perl", "bash", "nc"])
async def test_nobody_listens(relays: Make, kind: str) -> None:
    """The client sees its connection broken off, not ended."""
    own = relays(MINI_IMAGE if kind == "nc" else DEV_IMAGE, kind)
    relay = await own.take()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        conn, _ = listener.accept()
    client.setblocking(False)
    conn.setblocking(False)
    one = port_relay.Carried(relay, conn)
    await one.run("localhost", 9, own.exit_code)
    with client, pytest.raises(ConnectionResetError):
        await asyncio.get_running_loop().sock_recv(client, 1)
    assert kind != "perl" or "refused" in (one.failure or "")


@pytest.mark.docker
async def test_an_image_without_any_program(
    docker_engine: Engine, host: DockerHost, relays: Make, containers: dict[str, str]
) -> None:
    docker_engine.exec(containers[DEV_IMAGE], "sh", "-c", HIDE, user="0")
    try:
        own = relays(DEV_IMAGE, "")
        with pytest.raises(NotFound, match="install one of perl, python3, socat, nc or bash"):
            await own.take()
        assert own.problem is not None
    finally:
        docker_engine.exec(containers[DEV_IMAGE], "sh", "-c", SHOW, user="0")
