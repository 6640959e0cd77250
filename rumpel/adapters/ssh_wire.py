"""The ssh agent protocol as far as a pod may speak it: which keys there are, and sign with one.

Pure: no key is here. Everything that is read may be hostile, so every length is checked against
what is there, and a message that is longer than OpenSSH's own limit ends the connection.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rumpel.adapters.pod_socket import Broken

MAX_MESSAGE_BYTES = 256 << 10
FAILURE, SUCCESS = b"\x05", b"\x06"
ASK_IDENTITIES, IDENTITIES = 11, 12
ASK_SIGN, SIGNED = 13, 14
EXTENSION = 27
BIND = b"session-bind@openssh.com"
USERAUTH = 50
SIGNATURE_MAGIC = b"SSHSIG"
METHOD, HOSTBOUND = b"publickey", b"publickey-hostbound-v00@openssh.com"
MAX_WORD = 64


class Messages:
    """Cuts what one client says into messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Raises Broken for one that is empty or too long."""
        self._held += data
        while len(self._held) >= 4:
            size = int.from_bytes(self._held[:4], "big")
            if not 0 < size <= MAX_MESSAGE_BYTES:
                raise Broken("a message to the ssh agent is too long, or empty")
            if len(self._held) < 4 + size:
                return
            message = bytes(self._held[4 : 4 + size])
            del self._held[: 4 + size]
            yield message


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def message(data: bytes) -> bytes:
    """As it goes over the wire."""
    return string(data)


class Reader:
    """Fields of a message, in order. Raises Broken when one is not whole."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise Broken("a message to the ssh agent is cut off")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def string(self) -> bytes:
        return self.take(self.number())

    def end(self) -> None:
        if self._at != len(self._data):
            raise Broken("a message to the ssh agent goes on too long")


@dataclass(frozen=True, slots=True)
class SignRequest:
    blob: bytes
    data: bytes
    flags: int


@dataclass(frozen=True, slots=True)
class Bind:
    """What ssh tells an agent of the connection it is about: who proved to be at its other end."""

    host_key: bytes
    session: bytes
    signature: bytes
    is_forwarded: bool


def sign_request(body: bytes) -> SignRequest:
    """`body`: without the number of the message. Raises Broken."""
    fields = Reader(body)
    found = SignRequest(fields.string(), fields.string(), fields.number())
    fields.end()
    return found


def bind(body: bytes) -> Bind | None:
    """None for another extension. Raises Broken."""
    fields = Reader(body)
    if fields.string() != BIND:
        return None
    found = Bind(fields.string(), fields.string(), fields.string(), fields.take(1) != b"\0")
    fields.end()
    return found


def identities(keys: Sequence[tuple[bytes, str]]) -> bytes:
    """(public key, comment) of each."""
    rows = b"".join(string(blob) + string(comment.encode()) for blob, comment in keys)
    return bytes([IDENTITIES]) + struct.pack(">I", len(keys)) + rows


def signed(signature: bytes) -> bytes:
    return bytes([SIGNED]) + string(signature)


def fingerprint(blob: bytes) -> str:
    """As ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return f"SHA256:{digest.rstrip('=')}"


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a signature is good for, as far as what is signed says so."""

    what: str
    """`login`, `signature` or `data`."""
    name: str = ""
    """The user at the other end; what kind of thing is signed (`git`)."""
    session: bytes = b""
    host_key: bytes = b""


def purpose(data: bytes) -> Purpose:
    """Of what a client wants to be signed. Never raises."""
    try:
        if data.startswith(SIGNATURE_MAGIC):
            return Purpose("signature", _word(Reader(data[len(SIGNATURE_MAGIC) :]).string()))
        return _login(Reader(data))
    except Broken:
        return Purpose("data")


def _login(fields: Reader) -> Purpose:
    session = fields.string()
    if fields.take(1)[0] != USERAUTH:
        return Purpose("data")
    user, _service, method = fields.string(), fields.string(), fields.string()
    fields.take(1)
    fields.string()  # the algorithm
    fields.string()  # the key
    host_key = fields.string() if method == HOSTBOUND else b""
    fields.end()
    if method not in (METHOD, HOSTBOUND):
        return Purpose("data")
    return Purpose("login", _word(user), session, host_key)


def _word(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")[:MAX_WORD]
