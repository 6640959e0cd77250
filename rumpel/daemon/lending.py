"""The user's own sign-ins, lent to agents in pods: renewed here and nowhere else.

A refresh token is good for one use, so no pod is given one: pods get a file with the access token,
and a new one before the old one ends. Level-triggered: whatever a pod was given that is not what
the user's file holds now is replaced, also when the user's own program renewed it, when a pod was
out of reach, or when the daemon was another. Before a token is used, which one is written down; its
digest, that is, so that a daemon that was killed meanwhile is known to have been.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rumpel import agents
from rumpel.adapters import credentials, threads
from rumpel.adapters.credentials import SignedOut
from rumpel.agents import stored
from rumpel.agents.stored import Held
from rumpel.daemon.agent_states import ENDED
from rumpel.daemon.lent_file import (
    FIRST_RETRY_S,
    LAST_RETRY_S,
    Known,
    check_server,
    renewal,
    signed_out,
    stored_of,
)
from rumpel.daemon.nodes import subject
from rumpel.daemon.pods import Pod, find_container
from rumpel.daemon.sign_in import Source
from rumpel.errors import ConfigError, RumpelError
from rumpel.tasks import agent_home

if TYPE_CHECKING:
    from rumpel.daemon.app import App

log = logging.getLogger(__name__)

KEY = "lent"
"""`lent/<pod id>` in the store: agent -> [path, url]."""
SPENT, RENEWING = "sign-ins-spent", "sign-ins-renewing"
"""In the store: path -> digest of a refresh token."""
LOOK_S, LAST_LOOK_S = 2.0, 60.0
HAND_TIMEOUT_S = 30.0
HAND_RETRY_S = 10.0
AT_ONCE = 8


class Lending:
    """One in a daemon. Memory holds access tokens of sign-ins in use, the store none."""

    def __init__(self, app: App) -> None:
        self._app, self._store = app, app.store
        self._real: dict[str, str] = {}
        """Path -> where it lies: two links to one file are one sign-in."""
        self._known: dict[str, Known] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._given: dict[tuple[str, str], str] = {}
        """The mark of what an agent in a pod has."""
        self._starting: dict[tuple[str, str], int] = {}
        """Agents that are about to start: their script would say that nobody lives there."""
        self._late: dict[str, tuple[int, float]] = {}
        """Path -> how often looking after it failed in a row, and when it is tried again."""
        self._handing: set[tuple[str, str]] = set()
        self._not_before: dict[tuple[str, str], float] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._woken, self._is_kept = asyncio.Event(), False

    def restore(self) -> None:
        """At start: agents may have outlived the daemon."""
        self._wake()

    def is_spent(self, path: str, held: Held) -> bool:
        mark = self._marks(SPENT).get(self._real.get(path, path))
        return bool(held.refresh) and mark == credentials.digest(held.refresh)

    def is_out(self, pod_id: str, agent: str) -> bool:
        """Whether an agent lives on a sign-in that has ended; what it holds may last a while."""
        at = self._of(pod_id).get(agent)
        known = None if at is None else self._known.get(self._real.get(at[0], at[0]))
        if at is None or known is None or known.held is None:
            return at is not None and known is not None
        return self.is_spent(at[0], known.held)

    async def take(self, source: Source) -> Held | None:
        """What the file holds, renewed when it is time; None: nothing. Raises RumpelError."""
        check_server(source)
        for other in self._users():
            if other.path == source.path and other.url != source.url:
                raise ConfigError(
                    f"{source.path} is renewed elsewhere for agents that run",
                    hint=f"end them, or let this one have the same server: {other.url}",
                )
        known = await self._fresh(source)
        held = known.held
        if held is None or held.variable:
            return held
        is_over = held.expires_at is not None and held.expires_at <= time.time()
        if known.failure is not None and (is_over or isinstance(known.failure, SignedOut)):
            raise known.failure
        return held

    @contextlib.contextmanager
    def starting(self, pod_id: str, agent: str) -> Iterator[None]:
        """From before it is lent something until it lives, or does not."""
        key = pod_id, agent
        self._starting[key] = self._starting.get(key, 0) + 1
        try:
            yield
        except BaseException:
            self._given.pop(key, None)  # so it is looked after, and goes
            raise
        finally:
            self._starting[key] -= 1
            if not self._starting[key]:
                del self._starting[key]
            self._wake()

    def _is_at_work(self, pod_id: str, agent: str) -> bool:
        is_one = self._app.links.agents.running.get(pod_id) == agent
        return is_one or (pod_id, agent) in self._starting

    async def begin(self, pod: Pod, agent: str, source: Source) -> bool:
        """Before an agent starts in a pod; False: it has a sign-in of its own there.

        Raises RumpelError; nothing is lent then.
        """
        known = await self._fresh(source)
        given = self._of(pod.pod_id) | {agent: [source.path, source.url]}
        await self._store.kv_set(f"{KEY}/{pod.pod_id}", given)
        is_lent = await self._hand(pod, source, known, when="always")
        self._wake()
        return is_lent

    def ended(self, pod_id: str, agent: str) -> None:
        """An agent did: if it has, what it was lent is looked after, and goes."""
        if self._given.pop((pod_id, agent), None) is not None:
            self._wake()

    def _wake(self) -> None:
        self._woken.set()
        if not self._is_kept:
            self._is_kept = True
            self._app.background.spawn(self._keep(), "sign-ins that are lent")

    async def _keep(self) -> None:
        try:
            while users := self._users():
                self._woken.clear()
                for source, pods in users.items():
                    await self._tend_or_tell(source, pods)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._woken.wait()
        finally:
            self._is_kept = False

    async def _tend_or_tell(self, source: Source, pods: list[Pod]) -> None:
        """What is wrong with one file is no reason to leave the others; it is told once."""
        tries, again_at = self._late.get(source.path, (0, 0.0))
        if again_at > time.monotonic():
            return
        try:
            await self._tend(source, pods)
            self._late.pop(source.path, None)
        except Exception as error:  # noqa: BLE001 - the others live on
            wait_s = min(LAST_RETRY_S, LOOK_S * 2**tries)
            self._late[source.path] = min(tries + 1, 20), time.monotonic() + wait_s
            if tries == 0:
                log.warning(
                    "sign-in of %s: %s",
                    source.agent,
                    error.message if isinstance(error, RumpelError) else type(error).__name__,
                )

    def _users(self) -> dict[Source, list[Pod]]:
        users: dict[Source, list[Pod]] = {}
        for pod in self._app.pods.all():
            for agent, (path, url) in self._of(pod.pod_id).items():
                users.setdefault(Source(agent=agent, path=path, url=url), []).append(pod)
        return users

    async def _tend(self, source: Source, pods: list[Pod]) -> None:
        known = await self._seen(source)
        if known.is_due(known.held, time.time()) and known.again_at <= time.monotonic():
            pods = await self._with_agents(source.agent, pods)
            known = await self._fresh(source) if pods else known
        if known.held is None or known.held.variable:
            return  # a key of theirs is nothing that a running agent could be lent
        late = [pod for pod in pods if self._given.get((pod.pod_id, source.agent)) != known.mark]
        for pod in late:  # each on its own: a pod that hangs holds no other
            key = pod.pod_id, source.agent
            if key not in self._handing:
                self._handing.add(key)
                self._app.background.spawn(
                    self._hand_late(pod, source, known), f"a sign-in for pod {pod.name}"
                )

    async def _hand_late(self, pod: Pod, source: Source, known: Known) -> None:
        """Tried again soon when it fails; told once."""
        key = pod.pod_id, source.agent
        try:
            await self._handed(pod, source, known)
        except RumpelError as error:
            if key not in self._not_before:
                log.warning(
                    "pod %s: no new sign-in for %s: %s", pod.name, source.agent, error.message
                )
            self._not_before[key] = time.monotonic() + HAND_RETRY_S
        finally:
            self._handing.discard(key)

    async def _handed(self, pod: Pod, source: Source, known: Known) -> None:
        key = pod.pod_id, source.agent
        if self._not_before.get(key, 0.0) > time.monotonic():
            return
        at_work = self._is_at_work(pod.pod_id, source.agent)
        if not at_work and not self._runs(pod):
            await self._forget(pod, source.agent)
            return
        async with self._slots:
            is_lent = await self._hand(pod, source, known, when="always" if at_work else "alive")
        self._not_before.pop(key, None)
        if at_work and not self._is_at_work(pod.pod_id, source.agent):
            self._given.pop(key, None)  # it ended meanwhile, and what it was lent is there again
        elif is_lent and not at_work:
            self._doubt(key)

    def _doubt(self, key: tuple[str, str]) -> None:
        """An agent says that it ends while it lives, and lives a while: it is looked after again,
        the more rarely the longer it does.
        """
        said = self._app.links.agents.of(key[0]).get(key[1])
        if said is not None and said["state"] == ENDED:
            self._given.pop(key, None)
            wait_s = min(max(time.time() - said["at"], 0.0), LAST_LOOK_S)
            self._not_before[key] = time.monotonic() + wait_s

    async def _hand(self, pod: Pod, source: Source, known: Known, *, when: str) -> bool:
        agent = agents.get(source.agent)
        if agent.stored is None or known.held is None:
            raise ConfigError(f"nothing signs {agent.title} in", hint=agent.to_sign_in)
        said = await self._in_pod(pod, ["lend", agent.name, agent.stored.file, when], known.content)
        if said.strip() == b"lent":
            self._given[pod.pod_id, agent.name] = known.mark
            return True
        await self._forget(pod, agent.name)
        return False

    async def _with_agents(self, agent: str, pods: list[Pod]) -> list[Pod]:
        """Those of them where it is alive, or nobody knows; the others need nothing any more."""

        async def lives(pod: Pod) -> bool:
            if self._is_at_work(pod.pod_id, agent):
                return True
            if self._runs(pod):
                try:
                    async with self._slots:
                        said = await self._in_pod(pod, ["alive", agent], b"")
                except RumpelError:
                    return True
                if agent.encode() in said.split():
                    return True
            await self._forget(pod, agent)
            return False

        found = await asyncio.gather(*(lives(pod) for pod in pods))
        return [pod for pod, is_alive in zip(pods, found, strict=True) if is_alive]

    def _runs(self, pod: Pod) -> bool:
        """False when it certainly does not."""
        view = self._app.snapshots.get(pod.spec.host)
        if view is None or view.state != "live":
            return True
        state = find_container(view.containers.values(), pod.pod_id)
        return state is not None and state.status in ("running", "paused", "restarting")

    async def _in_pod(self, pod: Pod, words: list[str], given: bytes) -> bytes:
        access = self._app.pods.access(pod.spec)
        if access is None:
            raise RumpelError(f"pod {pod.name} has no container")
        done = await self._app.world.host(pod.spec.host).exec_run(
            access.container_id,
            agent_home.argv(*words),
            user=access.user,
            cwd="/",
            input=given,
            timeout_s=HAND_TIMEOUT_S,
            max_output_bytes=4096,
        )
        if done.code != 0:
            raise RumpelError(f"its script ended with {done.code}")
        return done.stdout

    async def _forget(self, pod: Pod, agent: str) -> None:
        left = {name: at for name, at in self._of(pod.pod_id).items() if name != agent}
        self._given.pop((pod.pod_id, agent), None)
        await self._store.kv_set(f"{KEY}/{pod.pod_id}", left or None)

    def _of(self, pod_id: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = self._store.kv_get(f"{KEY}/{pod_id}", None) or {}
        return found

    def _marks(self, key: str) -> dict[str, str]:
        found: dict[str, str] = self._store.kv_get(key, None) or {}
        return found

    async def _mark(self, key: str, path: str, mark: str | None) -> None:
        known = {at: one for at, one in self._marks(key).items() if at != path}
        if mark is not None:
            known[path] = mark
        await self._store.kv_set(key, known or None)

    async def _seen(self, source: Source) -> Known:
        """As the file is now. Raises ConfigError when it cannot be read."""
        known = self._known.setdefault(await self._place(source), Known())
        stamp = await threads.call(credentials.stamp, source.path)
        if stamp is None or stamp != known.stamp:
            await self._read(source, known)
        return known

    async def _place(self, source: Source) -> str:
        place = self._real[source.path] = await threads.call(os.path.realpath, source.path)
        return place

    async def _read(self, source: Source, known: Known) -> None:
        found, of = await threads.call(credentials.read, source.path), stored_of(source)
        value = {} if found is None else stored.parsed(found.raw)
        held = of.read(value)
        known.stamp = None if found is None else found.stamp
        if known.held is None or held is None or held.refresh != known.held.refresh:
            known.tries, known.again_at, known.failure = 0, 0.0, None
            known.renewals = 0
        known.held = held
        known.content = b"" if held is None else stored.written(of.lent(value))
        known.mark = "" if held is None else credentials.digest(known.content.decode())

    async def _fresh(self, source: Source) -> Known:
        """Renewed when it is time; what failed is in `failure`."""
        async with self._locks.setdefault(await self._place(source), asyncio.Lock()):
            known = await self._seen(source)
            held = known.held
            if held is None or not known.is_due(held, time.time()):
                return known
            if self.is_spent(source.path, held):
                known.failure, known.again_at = signed_out(source), math.inf
            elif known.again_at <= time.monotonic():
                await self._renew(source, known, held)
            return known

    async def _renew(self, source: Source, known: Known, held: Held) -> None:
        mark = credentials.digest(held.refresh)
        place = await self._place(source)
        was_cut = self._marks(RENEWING).get(place) == mark
        await self._mark(RENEWING, place, mark)
        try:
            await threads.call(credentials.renew, renewal(source, known))
        except SignedOut as error:
            log.warning("%s", error.message)
            await self._mark(SPENT, place, mark)
            known.failure, known.again_at = signed_out(source, was_cut=was_cut), math.inf
            self._tell_out(source)
        except RumpelError as error:
            known.tries += 1
            wait_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (known.tries - 1))
            known.failure, known.again_at = error, time.monotonic() + wait_s
            log.warning("%s (again in %d s)", error.message, wait_s)
            return
        else:
            renewals = known.renewals
            await self._read(source, known)
            known.paced(renewals)
            await self._mark(SPENT, place, None)
        await self._mark(RENEWING, place, None)

    def _tell_out(self, source: Source) -> None:
        for pod in self._users().get(source, ()):
            about = subject(pod.spec.repo.repo_id, pod.name)
            self._store.log.note(0, "agent", subject=about, agent=source.agent, state="signed-out")
        self._app.links.agents.wake()
