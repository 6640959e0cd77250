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
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rumpel import agents
from rumpel.adapters import credentials, threads
from rumpel.adapters.credentials import Renewal, SignedOut
from rumpel.agents import stored
from rumpel.agents.stored import Held
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
EARLY_S = 600.0
"""So long before its end a token is renewed: Claude Code's own program does it at 300."""
LOOK_S = 2.0
FIRST_RETRY_S, LAST_RETRY_S = 10.0, 600.0
HAND_TIMEOUT_S = 30.0
HAND_RETRY_S = 10.0
AT_ONCE = 8


@dataclass(slots=True, kw_only=True)
class Known:
    """A file of the user's as it was seen last."""

    stamp: tuple[int, int, int] | None = None
    held: Held | None = None
    content: bytes = b""
    """For pods."""
    mark: str = ""
    """Of the content."""
    early_s: float = EARLY_S
    tries: int = 0
    again_at: float = 0.0
    """When the next try to renew it may be."""
    failure: RumpelError | None = None

    def is_due(self, held: Held | None, now: float) -> bool:
        ends = None if held is None or not held.refresh else held.expires_at
        return ends is not None and ends - self.early_s <= now


class Lending:
    """One in a daemon. Memory holds access tokens of sign-ins in use, the store none."""

    def __init__(self, app: App) -> None:
        self._app, self._store = app, app.store
        self._known: dict[str, Known] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._given: dict[tuple[str, str], str] = {}
        """The mark of what an agent in a pod has."""
        self._not_before: dict[tuple[str, str], float] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._woken, self._is_kept = asyncio.Event(), False

    def restore(self) -> None:
        """At start: agents may have outlived the daemon."""
        self._wake()

    def is_spent(self, path: str, held: Held) -> bool:
        return bool(held.refresh) and self._marks(SPENT).get(path) == credentials.digest(
            held.refresh
        )

    def is_out(self, pod_id: str, agent: str) -> bool:
        """Whether an agent lives on a sign-in that has ended; what it holds may last a while."""
        at = self._of(pod_id).get(agent)
        known = None if at is None else self._known.get(at[0])
        if at is None or known is None or known.held is None:
            return at is not None and known is not None
        return self.is_spent(at[0], known.held)

    async def take(self, source: Source) -> Held | None:
        """What the file holds, renewed when it is time; None: nothing. Raises RumpelError."""
        known = await self._fresh(source)
        held = known.held
        if held is None or held.variable:
            return held
        is_over = held.expires_at is not None and held.expires_at <= time.time()
        if known.failure is not None and (is_over or isinstance(known.failure, SignedOut)):
            raise known.failure
        return held

    async def begin(self, pod: Pod, agent: str, source: Source) -> None:
        """Before an agent starts in a pod. Raises RumpelError; nothing is lent then."""
        known = await self._fresh(source)
        given = self._of(pod.pod_id) | {agent: [source.path, source.url]}
        await self._store.kv_set(f"{KEY}/{pod.pod_id}", given)
        await self._hand(pod, source, known, when="always")
        self._wake()

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
                    try:
                        await self._tend(source, pods)
                    except RumpelError as error:
                        log.warning("sign-in of %s: %s", source.agent, error.message)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._woken.wait()
        finally:
            self._is_kept = False

    def _users(self) -> dict[Source, list[Pod]]:
        users: dict[Source, list[Pod]] = {}
        for pod in self._app.pods.all():
            for agent, (path, url) in self._of(pod.pod_id).items():
                users.setdefault(Source(agent=agent, path=path, url=url), []).append(pod)
        return users

    async def _tend(self, source: Source, pods: list[Pod]) -> None:
        known = await self._seen(source)
        now = time.time()
        if known.is_due(known.held, now) and known.again_at <= now:
            pods = await self._with_agents(source.agent, pods)
            known = await self._fresh(source) if pods else known
        if known.held is None:
            return
        late = [pod for pod in pods if self._given.get((pod.pod_id, source.agent)) != known.mark]
        await asyncio.gather(*(self._hand_late(pod, source, known) for pod in late))

    async def _hand_late(self, pod: Pod, source: Source, known: Known) -> None:
        """Tried again soon when it fails."""
        key = pod.pod_id, source.agent
        if self._not_before.get(key, 0.0) > time.monotonic() or self._is_begun(pod):
            return
        if not self._runs(pod):
            await self._forget(pod, source.agent)
            return
        at_work = self._app.links.agents.running.get(pod.pod_id) == source.agent
        try:
            async with self._slots:
                await self._hand(pod, source, known, when="always" if at_work else "alive")
            self._not_before.pop(key, None)
        except RumpelError as error:
            self._not_before[key] = time.monotonic() + HAND_RETRY_S
            log.warning("pod %s: no new sign-in for %s: %s", pod.name, source.agent, error.message)

    async def _hand(self, pod: Pod, source: Source, known: Known, *, when: str) -> None:
        agent = agents.get(source.agent)
        if agent.stored is None or known.held is None:
            raise ConfigError(f"nothing signs {agent.title} in", hint=agent.to_sign_in)
        said = await self._in_pod(pod, ["lend", agent.name, agent.stored.file, when], known.content)
        if said.strip() == b"lent":
            self._given[pod.pod_id, agent.name] = known.mark
        else:
            await self._forget(pod, agent.name)

    async def _with_agents(self, agent: str, pods: list[Pod]) -> list[Pod]:
        """Those of them where it is alive, or nobody knows; the others need nothing any more."""

        async def lives(pod: Pod) -> bool:
            if self._app.links.agents.running.get(pod.pod_id) == agent or self._is_begun(pod):
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

    def _is_begun(self, pod: Pod) -> bool:
        """An agent is started there just now: that it is not alive yet says nothing."""
        return self._app.links.agents.alone(pod.pod_id).locked()

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
        known = self._known.setdefault(source.path, Known())
        stamp = await threads.call(credentials.stamp, source.path)
        if stamp is None or stamp != known.stamp:
            await self._read(source, known)
        return known

    async def _read(self, source: Source, known: Known) -> None:
        found, of = await threads.call(credentials.read, source.path), _stored(source)
        value = {} if found is None else stored.parsed(found.raw)
        held = of.read(value)
        known.stamp = None if found is None else found.stamp
        if known.held is None or held is None or held.refresh != known.held.refresh:
            known.tries, known.again_at, known.failure = 0, 0.0, None
        known.held = held
        known.content = b"" if held is None else stored.written(of.lent(value))
        known.mark = "" if held is None else credentials.digest(known.content.decode())

    async def _fresh(self, source: Source) -> Known:
        """Renewed when it is time; what failed is in `failure`."""
        async with self._locks.setdefault(source.path, asyncio.Lock()):
            known = await self._seen(source)
            held, now = known.held, time.time()
            if held is None or not known.is_due(held, now):
                return known
            if self.is_spent(source.path, held):
                known.failure, known.again_at = _out(source), math.inf
            elif known.again_at <= now:
                await self._renew(source, known, held)
            return known

    async def _renew(self, source: Source, known: Known, held: Held) -> None:
        mark = credentials.digest(held.refresh)
        was_cut = self._marks(RENEWING).get(source.path) == mark
        await self._mark(RENEWING, source.path, mark)
        try:
            await threads.call(credentials.renew, renewal(source, known))
        except SignedOut as error:
            log.warning("%s", error.message)
            await self._mark(SPENT, source.path, mark)
            known.failure, known.again_at = _out(source, was_cut=was_cut), math.inf
            self._tell_out(source)
        except RumpelError as error:
            known.tries += 1
            wait_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (known.tries - 1))
            known.failure, known.again_at = error, time.time() + wait_s
            log.warning("%s (again in %d s)", error.message, wait_s)
            return
        else:
            await self._read(source, known)
            ends = None if known.held is None else known.held.expires_at
            if ends is not None:
                known.early_s = min(EARLY_S, max(0.0, ends - time.time()) / 2)
            await self._mark(SPENT, source.path, None)
        await self._mark(RENEWING, source.path, None)

    def _tell_out(self, source: Source) -> None:
        for pod in self._users().get(source, ()):
            about = subject(pod.spec.repo.repo_id, pod.name)
            self._store.log.note(0, "agent", subject=about, agent=source.agent, state="signed-out")
        self._app.links.agents.wake()


def _stored(source: Source) -> stored.Stored:
    found = agents.get(source.agent).stored
    if found is None:
        raise ConfigError(f"{source.agent} has no sign-in that could be lent")
    return found


def _out(source: Source, *, was_cut: bool = False) -> SignedOut:
    why = " (rumpel was ended while it renewed it)" if was_cut else ""
    return SignedOut(
        f"your sign-in with {agents.get(source.agent).title} in {source.path} has ended{why}",
        hint=f"{_stored(source).sign_in}   in a terminal of this machine",
    )


def renewal(source: Source, known: Known) -> Renewal:
    of, early_s = _stored(source), known.early_s

    def refresh(raw: bytes) -> str:
        held = of.read(stored.parsed(raw))
        return "" if held is None else held.refresh

    def is_due(raw: bytes) -> bool:
        return Known(early_s=early_s).is_due(of.read(stored.parsed(raw)), time.time())

    def renewed(raw: bytes, answer: Any, now: float) -> bytes | None:
        made = of.renewed(stored.parsed(raw), answer, now)
        return None if made is None else stored.written(made)

    return Renewal(
        path=source.path,
        url=source.url,
        locks=of.locks,
        refresh=refresh,
        is_due=is_due,
        asked=lambda raw: of.asked(stored.parsed(raw)),
        renewed=renewed,
        is_spent=stored.is_spent,
    )
