"""Passwords that git in a pod asks for, from the user's own git: setting `gitCredentials`.

Only for the servers named there, which no repository can do. The pod gets the password for the one
command that asks, and writes it nowhere; what it says of it afterwards is not heard.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rumpel.adapters import git_credential
from rumpel.adapters.pod_socket import Broken
from rumpel.daemon.nodes import subject
from rumpel.daemon.ssh_agents import Pace
from rumpel.errors import RumpelError

if TYPE_CHECKING:
    from rumpel.config import Settings
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.pods import Pod

log = logging.getLogger(__name__)

SOCKET = "git-passwords"
KEY = "git-passwords"
"""`git-passwords/<pod id>` in the store: the servers it may ask for."""


@dataclass(slots=True)
class Allowed:
    """What one pod may ask for, and whose git is asked."""

    pod_id: str
    servers: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    pace: Pace = field(default_factory=lambda: Pace(time.monotonic()))
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class GitPasswords:
    """Of all pods."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._allowed: dict[str, Allowed] = {}

    async def environment(
        self, client: Client, pod: Pod, settings: Settings, env: Mapping[str, str | None]
    ) -> dict[str, str]:
        """What a command in the pod has to know. As the settings are now: also for those before."""
        servers: tuple[str, ...] = settings.get("gitCredentials")
        if servers != self._servers(pod.pod_id):
            await self._app.store.kv_set(f"{KEY}/{pod.pod_id}", list(servers) or None)
        if not servers:
            self.forget(pod.pod_id)
            return {}
        try:
            path = await self._serve(pod, servers, client.request.env)
        except RumpelError as error:
            client.warn(f"git in pod {pod.name} gets no passwords: {error.message}")
            return {}
        return git_credential.settings(path, servers, env)

    def restore(self, pod: Pod) -> None:
        """A pod that may have asked for some before the daemon was started."""
        servers = self._servers(pod.pod_id)
        if servers and pod.pod_id not in self._allowed:
            serving = self._serve(pod, servers, os.environ)
            self._app.background.spawn(serving, f"git passwords of {pod.name}")

    def forget(self, pod_id: str) -> None:
        if self._allowed.pop(pod_id, None) is not None:
            self._app.sockets.end(pod_id, SOCKET)

    def _servers(self, pod_id: str) -> tuple[str, ...]:
        return tuple(self._app.store.kv_get(f"{KEY}/{pod_id}", None) or ())

    async def _serve(self, pod: Pod, servers: tuple[str, ...], env: Mapping[str, str]) -> str:
        allowed = self._allowed.get(pod.pod_id)
        if allowed is None:
            allowed = self._allowed[pod.pod_id] = Allowed(pod.pod_id, servers, dict(env))
        allowed.servers, allowed.env = servers, dict(env)
        return await self._app.sockets.serve(pod, SOCKET, lambda: Talk(self._app, allowed))


class Talk:
    """One git in the pod."""

    def __init__(self, app: App, allowed: Allowed) -> None:
        self._app, self._allowed = app, allowed
        self._held = b""

    def questions(self, data: bytes) -> Iterator[bytes]:
        """One, and the end."""
        self._held += data
        question, end, _ = self._held.partition(b"\n\n")
        if len(question) > git_credential.MAX_QUESTION_BYTES:
            raise Broken("git in the pod asked too much")
        if end:
            yield question
            yield b""

    async def answer(self, question: bytes) -> bytes | None:
        if not question:
            return None
        asked = git_credential.wanted(question)
        pod = self._app.pods.by_id(self._allowed.pod_id)
        if pod is None or asked.server not in self._allowed.servers:
            return None
        async with self._allowed.asking:
            await asyncio.sleep(self._allowed.pace.wait_s(time.monotonic()))
            repo = pod.spec.repo
            found = await git_credential.fill(asked, repo.common_dir, self._allowed.env)
        self._app.store.log.note(
            0,
            "git-password",
            subject=subject(repo.repo_id, pod.name),
            server=asked.server,
            user=None if found is None else found.username,
        )
        return git_credential.answer(found) or None
