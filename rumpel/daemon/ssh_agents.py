"""An ssh agent for each pod that was given keys: it shows these, and signs with them.

Keys are in memory only, and end with the daemon; a pod sees public keys and signatures. What it
asks for else is refused. Each signature is an event, and they are paced, so that neither the keys
nor the log can be worn out by a pod that asks for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rumpel.adapters import ssh_keys, ssh_wire, threads
from rumpel.adapters.pod_socket import Broken
from rumpel.adapters.ssh_keys import Key
from rumpel.adapters.ssh_wire import FAILURE, SUCCESS, Messages, Purpose
from rumpel.daemon.nodes import subject
from rumpel.errors import RumpelError, UsageError

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.pods import Pod

log = logging.getLogger(__name__)

SOCKET = "ssh-agent"
VARIABLE = "SSH_AUTH_SOCK"
MOST_KEYS = 32
MOST_BINDS = 16
BURST, PER_S = 50.0, 5.0
"""Signatures of one pod: so many at once, then so many a second; they wait, none is refused."""


class Pace:
    """How long the next one has to wait."""

    def __init__(self, now: float) -> None:
        self._left, self._at = BURST, now

    def wait_s(self, now: float) -> float:
        self._left = min(BURST, self._left + (now - self._at) * PER_S) - 1.0
        self._at = now
        return max(0.0, -self._left / PER_S)


class PodAgent:
    """Of one pod."""

    def __init__(self, pod_id: str, app: App) -> None:
        self._pod_id, self._app = pod_id, app
        self._held: list[Key] = []
        self._pace, self._proofs = Pace(time.monotonic()), Pace(time.monotonic())
        self._signing, self._proving = asyncio.Lock(), asyncio.Lock()

    def held(self) -> list[Key]:
        """Those that have not expired."""
        now = time.time()
        self._held = [key for key in self._held if key.expires_at is None or key.expires_at > now]
        return list(self._held)

    def add(self, key: Key) -> None:
        """Instead of what there was for the same public key. Raises UsageError."""
        others = [one for one in self.held() if one.blob != key.blob]
        if len(others) >= MOST_KEYS:
            raise UsageError(f"a pod has at most {MOST_KEYS} keys")
        self._held = [*others, key]
        if key.expires_at is not None:  # not only unseen then, but gone
            asyncio.get_running_loop().call_later(key.expires_at - time.time() + 1, self.held)

    def remove(self, blob: bytes | None) -> list[Key]:
        """Those that went; all with None."""
        gone = [key for key in self.held() if blob is None or key.blob == blob]
        self._held = [key for key in self._held if key not in gone]
        return gone

    def talk(self) -> Talk:
        return Talk(self)

    async def sign(self, asked: ssh_wire.SignRequest, purpose: Purpose, server: str) -> bytes:
        """Raises RumpelError."""
        async with self._signing:
            await asyncio.sleep(self._pace.wait_s(time.monotonic()))
            key = next((key for key in self.held() if key.blob == asked.blob), None)
            if key is None:
                raise RumpelError("no such key")
            try:
                signature = await key.signer.sign(asked.blob, asked.data, asked.flags)
            except RumpelError as error:
                self._note(key, purpose, server, failure=error.message)
                raise
            self._note(key, purpose, server)
            return signature

    async def proves(self, bind: ssh_wire.Bind) -> bool:
        """One at a time: a proof that is none costs as much as a signature (30 ms of a core)."""
        async with self._proving:
            await asyncio.sleep(self._proofs.wait_s(time.monotonic()))
            return await threads.call(ssh_keys.verify, bind)

    def _note(self, key: Key, purpose: Purpose, server: str, failure: str | None = None) -> None:
        pod = self._app.pods.by_id(self._pod_id)
        if pod is None:
            return
        more = {"server": server} if server else {}
        self._app.store.log.note(
            0,
            "ssh-key",
            subject=subject(pod.spec.repo.repo_id, pod.name),
            comment=key.comment,
            fingerprint=key.fingerprint,
            use=purpose.what,
            name=purpose.name,
            failure=failure,
            **more,
        )


class Talk:
    """One client of it."""

    def __init__(self, agent: PodAgent) -> None:
        self._agent, self._messages, self._binds = agent, Messages(), 0
        self._bound: dict[bytes, str] = {}
        """Session -> fingerprint of the host key that it was proven to be with."""

    def questions(self, data: bytes) -> Iterator[bytes]:
        return self._messages.feed(data)

    async def answer(self, question: bytes) -> bytes | None:
        try:
            said = await self._answer(question[0], question[1:])
        except Broken:
            said = FAILURE
        except RumpelError as error:
            log.info("an ssh agent did not sign: %s", error.message)
            said = FAILURE
        return ssh_wire.message(said)

    async def _answer(self, kind: int, body: bytes) -> bytes:
        if kind == ssh_wire.ASK_IDENTITIES and not body:
            return ssh_wire.identities([(key.blob, key.comment) for key in self._agent.held()])
        if kind == ssh_wire.EXTENSION:
            return await self._bind(body)
        if kind != ssh_wire.ASK_SIGN:
            return FAILURE
        asked = ssh_wire.sign_request(body)
        purpose = ssh_wire.purpose(asked.data)
        server = self._bound.get(purpose.session, "")
        if purpose.host_key and server not in ("", ssh_wire.fingerprint(purpose.host_key)):
            return FAILURE
        return ssh_wire.signed(await self._agent.sign(asked, purpose, server))

    async def _bind(self, body: bytes) -> bytes:
        """Where ssh proves who is at the other end, an event can say so."""
        bind = ssh_wire.bind(body)
        self._binds += 1
        if bind is None or self._binds > MOST_BINDS or not await self._agent.proves(bind):
            return FAILURE
        self._bound[bind.session] = ssh_wire.fingerprint(bind.host_key)
        return SUCCESS


class SshAgents:
    """Of all pods."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._agents: dict[str, PodAgent] = {}

    def of(self, pod_id: str) -> PodAgent | None:
        """None without any key."""
        found = self._agents.get(pod_id)
        if found is not None and not found.held():
            self.forget(pod_id)
            return None
        return found

    async def add(self, pod: Pod, key: Key) -> str:
        """The socket in the pod. Raises RumpelError."""
        agent = self._agents.get(pod.pod_id) or PodAgent(pod.pod_id, self._app)
        path = await self._app.sockets.serve(pod, SOCKET, agent.talk)
        self._agents[pod.pod_id] = agent
        agent.add(key)
        return path

    def forget(self, pod_id: str) -> None:
        self._agents.pop(pod_id, None)
        self._app.sockets.end(pod_id, SOCKET)

    def environment(self, pod_id: str) -> dict[str, str]:
        """What a command in the pod has to know."""
        path = self._app.sockets.path(pod_id, SOCKET) if self.of(pod_id) is not None else None
        return {} if path is None else {VARIABLE: path}
