"""What pods see of each other: published branches, as the remote `rumpelpod` in every pod.

The published refs of a repository go into its seed, below refs/rumpelpod/ (hidden from the remote
`host`); there the pods borrow the objects, so telling a pod which refs moved costs one process in
it. Changes are gathered for a moment that grows with the number of pods: nobody waits for them,
and a batch of pods that commit must not be slowed down by their neighbours' news. A pod that does
not share its branches is neither shown nor told. Best effort: what failed is unknown, and is made
equal as a whole the next time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Mapping

from rumpel import names
from rumpel.adapters import git, git_push, threads
from rumpel.adapters.published import PREFIX
from rumpel.cache.store import Store
from rumpel.daemon.background import Background
from rumpel.daemon.podsync import PodSync
from rumpel.daemon.repos import RepoSync
from rumpel.errors import RumpelError
from rumpel.tasks.world import PodAddress

log = logging.getLogger(__name__)

SEED_PREFIX = "refs/rumpelpod/"
POD_PREFIX = "refs/remotes/rumpelpod/"
GATHER_S = 0.1
PAUSE_S = 0.5
PAUSE_A_POD_S = 0.05
REST = 3.0
"""Rounds of what the last one took: on a busy machine they take a quarter of the time at most."""
MOST_PAUSE_S = 5.0
PATIENCE_S = 5.0
RETRY_S = 30.0
PUSH_TIMEOUT_S = 300.0
REQUEST_TIMEOUT_S = 60.0
MAX_REFS_A_PUSH = 400
"""They are words of a command line."""
MAX_LINES = 1000
PODS_AT_ONCE = 4

Refs = dict[str, str]
"""Published name (`fix`, `main@fix`) -> oid."""


class Peers:
    """Lives as long as the daemon; one round at a time for each repository."""

    def __init__(
        self,
        *,
        background: Background,
        idle: asyncio.Event,
        pods: Mapping[str, PodSync],
        store: Store,
    ) -> None:
        self._background, self._idle, self._pods = background, idle, pods
        self._store = store
        self._seeds: dict[tuple[str, str], Refs] = {}
        """What the seed of (repository, host) has; missing: unknown."""
        self._rounds: set[str] = set()
        self._again: set[str] = set()
        self._limit = asyncio.Semaphore(PODS_AT_ONCE)

    def shares(self, pod_id: str) -> bool:
        """As its pod was made; setting `shareBranches`."""
        row = self._store.pod(pod_id)
        return row is not None and row.definition.get("shares_branches") is not False

    def seeded(self, sync: RepoSync, host: str, *, is_new: bool) -> None:
        key = (sync.repo.repo_id, host)
        self._seeds.pop(key, None)
        if is_new:
            self._seeds[key] = {}
        self.changed(sync)

    def linked(self, pod: PodAddress, sync: RepoSync, *, is_new: bool) -> None:
        """A pod can be told from now on; what a new one has is known."""
        state = self._pods.get(pod.pod_id)
        if state is not None:
            state.told = {} if is_new else None
        self.changed(sync)

    def changed(self, sync: RepoSync) -> None:
        """Something of this repository was published, or somebody came who does not know it."""
        repo_id = sync.repo.repo_id
        self._again.add(repo_id)
        if repo_id not in self._rounds and sync.has_gateways:
            self._rounds.add(repo_id)
            self._background.spawn(self._follow(sync), f"other pods of {sync.repo.basename}")

    async def _follow(self, sync: RepoSync) -> None:
        """Rounds until nothing changes any more."""
        repo_id, pause_s = sync.repo.repo_id, GATHER_S
        try:
            while repo_id in self._again and sync.has_gateways:
                await asyncio.sleep(pause_s)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PATIENCE_S):
                        await self._idle.wait()
                self._again.discard(repo_id)
                begun = time.monotonic()
                try:
                    await self._round(sync)
                    rest_s = min(MOST_PAUSE_S, REST * (time.monotonic() - begun))
                    pause_s = max(PAUSE_S, PAUSE_A_POD_S * len(self._of(repo_id)), rest_s)
                except (RumpelError, OSError) as error:
                    log.info("branches of other pods of %s: %s", sync.repo.basename, error)
                    self._again.add(repo_id)
                    pause_s = RETRY_S
        finally:
            self._rounds.discard(repo_id)

    async def _round(self, sync: RepoSync) -> None:
        shown = {name for pod_id, name in sync.pod_names.items() if self.shares(pod_id)}
        published = sync.published()
        if published is None:  # a writer is at it
            self._again.add(sync.repo.repo_id)
            return
        wanted = {name: oid for name, oid in short(published).items() if owner(name) in shown}
        for host in sync.hosts():
            pods = [
                state
                for state in self._of(sync.repo.repo_id)
                if state.pod.host == host and state.told != others(state.pod.pod, wanted)
            ]
            if pods:  # a pod alone has nobody to show its commits to
                await self._send(sync, host, wanted)
                await asyncio.gather(*(self._tell(state, wanted) for state in pods))

    def _of(self, repo_id: str) -> list[PodSync]:
        return [
            state
            for state in self._pods.values()
            if state.pod.repo.repo_id == repo_id and state.is_live and self.shares(state.pod.pod_id)
        ]

    async def _send(self, sync: RepoSync, host: str, wanted: Mapping[str, str]) -> None:
        """Make the seed's refs equal to `wanted`. Raises RumpelError."""
        key = (sync.repo.repo_id, host)
        known = self._seeds.pop(key, None)  # unknown until it went well
        gateway = sync.gateway(host)
        if gateway is None:
            return
        engine, container_id = gateway.host, gateway.container_id
        if known is None:
            done = await engine.exec_run(container_id, LISTING, user="0")
            known = _read(done.stdout.decode("utf-8", "surrogateescape"))
        repo = await threads.call(git.reopen, sync.repo.work_tree, sync.repo.common_dir)
        await sync.send_large(container_id, repo, sorted({*wanted.values()} - {*known.values()}))
        # Deletions first: `fix` may have to go for `fix/login@bob`.
        for words in refspecs(known, wanted):
            stream = await engine.exec_stream(container_id, RECEIVE, user="0")
            try:
                await git_push.push_from(repo, stream, words, prune=False, timeout_s=PUSH_TIMEOUT_S)
            finally:
                await stream.close()
        self._seeds[key] = dict(wanted)

    async def _tell(self, state: PodSync, everything: Mapping[str, str]) -> None:
        pod, link = state.pod, state.link
        wanted = others(pod.pod, everything)
        known = state.told
        if known == wanted:
            return
        state.told = None  # unknown until it went well
        lines = None if known is None else changes(known, wanted)
        what = "all" if lines is None or len(lines) > MAX_LINES else "\n".join(lines)
        async with self._limit:
            if link is None or not link.is_open:
                return  # it will be told when it is linked again
            words = (pod.workspace_folder, pod.pod, what)
            try:
                await link.request("peers", *words, timeout_s=REQUEST_TIMEOUT_S)
            except RumpelError as error:
                log.info("pod %s was not told of the others: %s", pod.pod, error.message)
                if what != "all":
                    await link.request("peers", *words[:2], "all", timeout_s=REQUEST_TIMEOUT_S)
                else:
                    return  # its repository is not as we made it; other pods do not suffer
        state.told = wanted


LISTING = [
    *("git", f"--git-dir={names.SEED_PATH}", "for-each-ref"),
    *("--format=%(objectname) %(refname)", SEED_PREFIX),
]
RECEIVE = ["git", "receive-pack", names.SEED_PATH]


def owner(name: str) -> str:
    """The pod a published name belongs to: no pod's name has an `@`."""
    return name.rpartition("@")[2]


def others(pod: str, everything: Mapping[str, str]) -> Refs:
    """What `pod` is shown: all but its own."""
    return {name: oid for name, oid in everything.items() if owner(name) != pod}


def short(refs: Mapping[str, str]) -> Refs:
    return {name.removeprefix(PREFIX): oid for name, oid in refs.items()}


def changes(known: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """For `git update-ref --stdin` in a pod."""
    gone = [f"delete {POD_PREFIX}{name}" for name in known if name not in wanted]
    moved = [(name, oid) for name, oid in wanted.items() if known.get(name) != oid]
    return [*gone, *(f"update {POD_PREFIX}{name} {oid}" for name, oid in moved)]


def _read(listing: str) -> Refs:
    pairs = (line.partition(" ") for line in listing.splitlines())
    return {name.removeprefix(SEED_PREFIX): oid for oid, _, name in pairs}


def refspecs(known: Mapping[str, str], wanted: Mapping[str, str]) -> Iterable[list[str]]:
    gone = [f":{SEED_PREFIX}{name}" for name in known if name not in wanted]
    moved = [
        f"+{oid}:{SEED_PREFIX}{name}" for name, oid in wanted.items() if known.get(name) != oid
    ]
    for words in (gone, moved):
        for start in range(0, len(words), MAX_REFS_A_PUSH):
            yield words[start : start + MAX_REFS_A_PUSH]
