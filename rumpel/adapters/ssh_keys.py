"""Keys that sign for a pod: read from a file into memory, or at the user's own agent."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from rumpel.adapters import ssh_wire, threads
from rumpel.adapters.pod_socket import Broken
from rumpel.errors import ConfigError, HostUnreachable, NotFound, RumpelError, TimedOut

MAX_COMMENT = 200
AGENT_TIMEOUT_S = 60.0
"""Somebody may have to be asked, or to touch a key."""
LIST_TIMEOUT_S = 10.0
RSA_SHA256, RSA_SHA512 = 2, 4


class PassphraseNeeded(ConfigError):
    """The key is locked, and what was given does not open it."""

    code = "passphrase"


class Signer(Protocol):
    async def sign(self, blob: bytes, data: bytes, flags: int) -> bytes:
        """The signature in ssh's own form. Raises RumpelError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key that is shown to a pod, and what signs with it."""

    blob: bytes
    comment: str
    source: str
    """`file` or `agent`."""
    signer: Signer = field(repr=False)
    expires_at: float | None = None

    @property
    def fingerprint(self) -> str:
        return ssh_wire.fingerprint(self.blob)


class _Loaded:
    """Of a key in memory."""

    def __init__(self, key: Any) -> None:
        self._key = key

    async def sign(self, blob: bytes, data: bytes, flags: int) -> bytes:
        algorithm = self._key.algorithm
        if algorithm == b"ssh-rsa":
            if not flags & (RSA_SHA256 | RSA_SHA512):
                raise RumpelError("signatures with SHA-1 are not made")
            algorithm = b"rsa-sha2-512" if flags & RSA_SHA512 else b"rsa-sha2-256"
        return bytes(await threads.call(self._key.sign, data, algorithm))


class _AtAgent:
    """Of the user's agent."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def sign(self, blob: bytes, data: bytes, flags: int) -> bytes:
        body = ssh_wire.string(blob) + ssh_wire.string(data) + flags.to_bytes(4, "big")
        answer = await _asked(self._path, bytes([ssh_wire.ASK_SIGN]) + body, AGENT_TIMEOUT_S)
        if answer[0] != ssh_wire.SIGNED:
            raise RumpelError("your ssh agent did not sign")
        return ssh_wire.Reader(answer[1:]).string()


def load(text: str, passphrase: str | None, comment: str) -> Key:
    """A private key. Blocking. Raises PassphraseNeeded, ConfigError; never with a word of it."""
    import asyncssh

    try:
        key = asyncssh.import_private_key(text.encode(), passphrase)
    except asyncssh.KeyEncryptionError:
        raise PassphraseNeeded("that is not its passphrase") from None
    except asyncssh.KeyImportError as error:
        if any(word in str(error).lower() for word in ("passphrase", "decrypt")):
            raise PassphraseNeeded("the key has a passphrase") from None
        raise ConfigError("it is no private key that can be read") from None
    except (ValueError, TypeError):
        raise ConfigError("it is no private key that can be read") from None
    own = key.get_comment() or comment
    return Key(blob=key.public_data, comment=own[:MAX_COMMENT], source="file", signer=_Loaded(key))


def verify(bind: ssh_wire.Bind) -> bool:
    """Whether who is at the other end proved to have that host key. Blocking."""
    import asyncssh
    from asyncssh.public_key import decode_ssh_public_key

    try:
        key = decode_ssh_public_key(bind.host_key)
        return bool(key.verify(bind.session, bind.signature))
    except (asyncssh.Error, ValueError, TypeError):
        return False


async def at_agent(path: str | None, wanted: str) -> Key:
    """The key with this fingerprint, or of this line of a `.pub` file, at the user's agent."""
    if not path:
        raise NotFound("you have no ssh agent", hint="rumpel ssh-add POD FILE   takes a key file")
    keys = await _held(path)
    words = wanted.split()
    for blob, comment in keys:
        encoded = base64.b64encode(blob).decode()
        if ssh_wire.fingerprint(blob) in words or encoded in words:
            signer = _AtAgent(path)
            return Key(blob=blob, comment=comment[:MAX_COMMENT], source="agent", signer=signer)
    raise NotFound("your ssh agent does not have that key", hint="ssh-add -l   shows what it has")


async def _held(path: str) -> list[tuple[bytes, str]]:
    answer = await _asked(path, bytes([ssh_wire.ASK_IDENTITIES]), LIST_TIMEOUT_S)
    if answer[0] != ssh_wire.IDENTITIES:
        raise RumpelError("your ssh agent does not say which keys it has")
    fields = ssh_wire.Reader(answer[1:])
    return [
        (fields.string(), fields.string().decode("utf-8", "replace"))
        for _ in range(min(fields.number(), 1000))
    ]


async def _asked(path: str, question: bytes, timeout_s: float) -> bytes:
    """One question, over a connection of its own."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(ssh_wire.message(question))
                size = int.from_bytes(await reader.readexactly(4), "big")
                if not 0 < size <= ssh_wire.MAX_MESSAGE_BYTES:
                    raise Broken("your ssh agent gave no answer")
                return await reader.readexactly(size)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as error:
        raise TimedOut("your ssh agent did not answer") from error
    except (OSError, EOFError) as error:
        raise HostUnreachable("your ssh agent cannot be reached") from error
