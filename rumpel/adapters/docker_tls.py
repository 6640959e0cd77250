"""The way to a Docker engine that listens on TCP behind TLS, as the docker CLI goes it.

Each connection is carried between a unix socket of ours and the engine, so that everything else,
also a terminal that is handed to another process, stays a plain socket. TLS is spoken by hand,
because a half-closed stream must be one on the other side, too: asyncio's streams cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_context import Address, Tls
from rumpel.adapters.docker_wire import RECV_BYTES, Endpoint, parse_endpoint
from rumpel.errors import HostUnreachable

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 10.0
MAX_SPARE = 8
"""Connections that were made for a caller who gave up."""


@dataclass(slots=True)
class Line:
    """One connection: what TLS says, and the bytes on their way."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    tls: ssl.SSLObject
    has_spoken: bool = False


async def open_host(address: Address, path: Path) -> DockerHost:
    """Connect; the socket will be at `path`, in a folder of ours. Raises HostUnreachable."""
    way = TlsWay(address, path)
    try:
        return await DockerHost.open(endpoint=way.endpoint, on_close=way.close)
    except HostUnreachable as error:
        await way.close()
        # Since TLS 1.3 the other side refuses a certificate after everything seems to be well.
        raise way.said or error from error
    except BaseException:
        await way.close()
        raise


class TlsWay:
    """Before each dial a connection is made, so that who dials hears why there is none."""

    def __init__(self, address: Address, path: Path) -> None:
        self.endpoint = Endpoint(address.url, path=str(path), ready=self.ready)
        self._address, self._path = address, path
        self.said: HostUnreachable | None = None
        """Why TLS ended a connection, the last time that it did."""
        self._spare: deque[Line] = deque()
        self._server: asyncio.Server | None = None
        self._starting = asyncio.Lock()
        self._carried: set[asyncio.Task[None]] = set()

    async def ready(self) -> None:
        """Raises HostUnreachable."""
        async with self._starting:
            if self._server is None:
                self._path.unlink(missing_ok=True)  # of a daemon that was killed
                self._server = await asyncio.start_unix_server(self._accept, str(self._path))
        self._spare.append(await self._dial())
        while len(self._spare) > MAX_SPARE:
            self._spare.popleft().writer.close()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._carried:
            task.cancel()
        for line in self._spare:
            line.writer.close()
        self._path.unlink(missing_ok=True)

    async def _dial(self) -> Line:
        url = self._address.url
        target, tls = parse_endpoint(url).address, self._address.tls
        if target is None or tls is None:
            raise HostUnreachable(f"cannot speak TLS with {url!r}", hint="use tcp://host:port")
        try:
            context = await threads.call(_context, tls)
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await _shaken(*target, context)
        except TimeoutError as error:
            raise HostUnreachable(
                f"Docker at {url} did not answer within {CONNECT_TIMEOUT_S:g} s", hint="docker info"
            ) from error
        except (OSError, ValueError) as error:  # ssl's errors are OSError
            raise _refusal(self._address, error) from error

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = None
        try:
            while self._spare and line is None:
                line = self._spare.pop()
                if line.reader.at_eof():  # it waited too long
                    line.writer.close()
                    line = None
            line = line or await self._dial()
            up = asyncio.ensure_future(_copy_up(reader, line))
            try:
                await _copy_down(line, writer)
            finally:
                up.cancel()
            if not line.has_spoken:
                self.said = _unknown(self._address)
        except (OSError, HostUnreachable) as error:
            log.info("%s: %s", self._address.url, error)
            if isinstance(error, HostUnreachable):
                self.said = error
            elif isinstance(error, ssl.SSLError) or (line is not None and not line.has_spoken):
                self.said = _refusal(self._address, error)
        finally:
            if line is not None:
                line.writer.close()
            writer.close()


async def _shaken(host: str, port: int, context: ssl.SSLContext) -> Line:
    reader, writer = await asyncio.open_connection(host, port, limit=RECV_BYTES)
    try:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
        line = Line(reader, writer, incoming, outgoing, tls)
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await _flush(line)
                await _feed(line)
            else:
                await _flush(line)
                return line
    except BaseException:
        writer.close()
        raise


async def _feed(line: Line) -> None:
    """More of what the other side says. Raises EOFError."""
    data = await line.reader.read(RECV_BYTES)
    if not data:
        raise ConnectionResetError("the engine hung up")
    line.incoming.write(data)


async def _flush(line: Line) -> None:
    line.writer.write(line.outgoing.read())
    await line.writer.drain()


async def _copy_up(reader: asyncio.StreamReader, line: Line) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(RECV_BYTES):
            line.tls.write(data)
            await _flush(line)
        with contextlib.suppress(ssl.SSLWantReadError):  # its own goodbye comes later
            line.tls.unwrap()
        await _flush(line)


async def _copy_down(line: Line, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            data = line.tls.read(RECV_BYTES)
        except ssl.SSLWantReadError:
            await _flush(line)  # an answer of TLS itself
            try:
                await _feed(line)
            except ConnectionError:
                return
            continue
        except ssl.SSLZeroReturnError:
            return
        if not data:
            return
        line.has_spoken = True
        writer.write(data)
        await writer.drain()


def _context(tls: Tls) -> ssl.SSLContext:
    """Reads files. Raises OSError."""
    context = ssl.create_default_context(cafile=tls.ca or None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    return context


def _unknown(address: Address) -> HostUnreachable:
    """Its reason is often lost: a reset overtakes it."""
    return HostUnreachable(
        f"Docker at {address.url} ({address.origin}) ended the TLS connection: "
        "it may not know your certificate",
        hint="check cert.pem and key.pem in DOCKER_CERT_PATH",
    )


def _refusal(address: Address, error: Exception) -> HostUnreachable:
    url, origin = address.url, address.origin
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or "it is not signed by a known authority"
        return HostUnreachable(
            f"Docker at {url} ({origin}) shows a certificate that is not trusted: {why}",
            hint="docker info   with the same settings says whether docker trusts it",
        )
    if isinstance(error, ssl.SSLError):
        return HostUnreachable(
            f"no TLS connection to Docker at {url} ({origin}): {error.reason or error}",
            hint="check ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH",
        )
    if isinstance(error, FileNotFoundError | PermissionError):
        return HostUnreachable(
            f"cannot read the certificates for Docker at {url} ({origin}): {error.strerror}",
            hint="they are ca.pem, cert.pem and key.pem in DOCKER_CERT_PATH",
        )
    if isinstance(error, ConnectionResetError | BrokenPipeError):  # there, and then no more
        return _unknown(address)
    return HostUnreachable(f"cannot reach Docker at {url} ({origin}): {error}", hint="docker info")
