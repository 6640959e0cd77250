"""One repository of the host: its published pod branches, and its branches sent to gateways.

Two directions. Pod -> host: what the pods have is published as one view, under a lock, so that
names never clash. Host -> pods: the repository's own refs are watched, sent to the gateway of
each Docker host, and fetched in the pods from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rumpel import names
from rumpel.adapters import git, git_refs, git_wire, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.published import View, view
from rumpel.adapters.watch import Watcher
from rumpel.daemon.large_files import GatewayFiles
from rumpel.errors import RumpelError
from rumpel.model import RepoRef
from rumpel.tasks.world import Tips

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
PUSH_TIMEOUT_S = 300.0
CARRIED_S = 2.0
"""For so long a file that the configuration includes may have changed unseen."""
PUBLISHED_PREFIX = "refs/remotes/rumpelpod/"

# receive-pack, then HEAD: one exec instead of two. $1 is a branch's full name or an oid.
RECEIVE = f"""
git receive-pack {names.SEED_PATH} || exit
case $1 in
    refs/*) git --git-dir={names.SEED_PATH} symbolic-ref HEAD "$1" ;;
    ?*) git --git-dir={names.SEED_PATH} update-ref --no-deref HEAD "$1" ;;
esac
"""


class RepoSync:
    """Lives as long as the daemon knows a pod of the repository."""

    def __init__(
        self,
        repo: RepoRef,
        *,
        on_pushed: Callable[[str, str], None],
        on_published: Callable[[RepoSync], None],
    ) -> None:
        self.repo = repo
        self.branches: dict[str, dict[str, str]] = {}
        self.pod_names: dict[str, str] = {}
        self.notes: tuple[str, ...] = ()
        self._on_pushed, self._on_published = on_pushed, on_published
        self._published: dict[str, str] | None = None
        self._lock = asyncio.Lock()
        self._gateways: dict[str, tuple[DockerHost, str]] = {}
        self._large: dict[str, GatewayFiles] = {}
        self._sent: dict[str, Tips] = {}
        self._push_lock = asyncio.Lock()
        self._repo: git.Repo | None = None
        """Opened for publishing: people wait for that."""
        self._carrying = asyncio.Lock()
        self._carried: tuple[float, tuple[object, ...], git.Carried] | None = None

    async def carried(self) -> git.Carried:
        """What new pods take over of the configuration; read once for a batch of them."""
        repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
        async with self._carrying:
            state = await threads.call(git.config_state, repo)
            known = self._carried
            if known is not None and known[1] == state and time.monotonic() - known[0] < CARRIED_S:
                return known[2]
            found = await threads.call(git.carried, repo)
            self._carried = (time.monotonic(), state, found)
            return found

    async def publish(self, pod_id: str, pod: str, branches: Mapping[str, str]) -> None:
        """Make the host's refs show `branches` for this pod.

        Noted before the lock is had: who writes next writes for all that wait, so a batch of
        pods takes a few transactions, each of which is a process.
        """
        self.pod_names[pod_id] = pod
        self.branches[pod_id] = dict(branches)
        async with self._lock:
            await self._write()

    async def republish(self) -> None:
        """At start, after whatever became of the last daemon."""
        repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
        async with self._lock:
            await git_refs.clear_locks(repo)
            await self._write()

    async def withdraw(self, pod_id: str) -> None:
        """The pod is deleted: its refs go (`keep` holds the commits)."""
        async with self._lock:
            self.branches.pop(pod_id, None)
            self.pod_names.pop(pod_id, None)
            await self._write()

    async def _write(self) -> None:
        wanted = self._view()
        if self._published == wanted.refs:
            return  # another writer was here since
        repo, self._repo = self._repo, None  # had again when all went well
        is_cached = repo is not None
        if repo is None:
            repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
        if self._published is None:
            self._published = await threads.call(git.refs, repo, PUBLISHED_PREFIX)
            await self._keep_strange(repo, self._published)
        wanted = self._view()
        # Unknown until it went well: a cancelled writer may have written.
        current, self._published = self._published, None
        self._published = await git_refs.publish(repo, wanted.refs, current)
        if self._published != current:
            self._on_published(self)
        if self._published == wanted.refs:
            self._repo = repo
        elif is_cached:  # its worktree may be gone
            await self._write()

    def _view(self) -> View:
        """What should be there now; also tells which names had to change."""
        wanted = view(
            {
                name: (pod_id, self.branches.get(pod_id, {}))
                for pod_id, name in self.pod_names.items()
            }
        )
        self.notes = tuple(wanted.notes)
        return wanted

    def published(self) -> Mapping[str, str] | None:
        """Full name -> oid of what the host shows of its pods; None while that is not known."""
        return None if self._published is None else dict(self._published)

    async def _keep_strange(self, repo: git.Repo, found: Mapping[str, str]) -> None:
        """Refs of pods we do not know (the database was lost) go, but not the commits."""
        ours = set(self.pod_names.values())
        names_of = {ref: ref.removeprefix(PUBLISHED_PREFIX).rpartition("@")[2] for ref in found}
        strange = [oid for ref, oid in found.items() if names_of[ref] not in ours]
        if strange:
            await git_refs.keep_old(repo, "unknown", strange)

    def add_gateway(self, host: DockerHost, host_name: str, container_id: str) -> None:
        self._gateways[host_name] = (host, container_id)
        self._large.setdefault(container_id, GatewayFiles(host, container_id))

    def remove_gateway(self, host_name: str) -> None:
        _, container_id = self._gateways.pop(host_name, (None, ""))
        self._large.pop(container_id, None)
        self._sent.pop(host_name, None)

    def hosts(self) -> list[str]:
        return list(self._gateways)

    def gateway(self, host_name: str) -> tuple[DockerHost, str] | None:
        """The engine and the container that write the seed on that host."""
        return self._gateways.get(host_name)

    @property
    def has_gateways(self) -> bool:
        return bool(self._gateways)

    async def follow(self) -> None:
        """Send the host's branches to the gateways whenever they change, for ever."""
        common = Path(self.repo.common_dir)
        git_dir = (
            await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
        ).git_dir
        watcher = await threads.call(
            Watcher, roots=[str(common / "refs" / "heads")], flat=[str(common), str(git_dir)]
        )
        try:
            await self._push_all()
            async for _ in watcher.changes(LOOK_EVERY_S):
                await self._push_all()
        finally:
            watcher.close()

    async def _push_all(self) -> None:
        if not self._gateways:
            return
        try:
            repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
            heads = await threads.call(git.refs, repo, "refs/heads/")
            head = await threads.call(git.head, repo)
        except RumpelError as error:
            log.warning("repository %s cannot be read: %s", self.repo.work_tree, error.message)
            return
        for host_name in list(self._gateways):
            if self._sent.get(host_name) != (head, heads):
                try:
                    await self._push(repo, host_name, (head, heads))
                except RumpelError as error:
                    log.warning("branches of %s not sent: %s", self.repo.work_tree, error.message)

    async def _push(
        self, repo: git.Repo, host_name: str, tips: Tips, extra: Sequence[str] = ()
    ) -> None:
        head = tips[0]
        gateway = self._gateways.get(host_name)
        if gateway is None:
            return
        host, container_id = gateway
        target = f"refs/heads/{head.branch}" if head.branch else (head.oid or "")
        refspecs = ["+refs/heads/*:refs/heads/*"]
        refspecs += [f"+{oid}:refs/rumpel/wanted/{oid}" for oid in extra]
        if head.branch is None and head.oid is not None:
            refspecs.append("+HEAD:refs/rumpel/head")
        async with self._push_lock:
            at_head = () if head.oid is None else (head.oid,)
            await self._large[container_id].send(repo, [*tips[1].values(), *at_head, *extra])
            stream = await host.exec_stream(
                container_id, ["/bin/sh", "-c", RECEIVE, "sh", target], user="0"
            )
            try:
                await git_wire.push_from(
                    repo, stream, refspecs, prune=True, timeout_s=PUSH_TIMEOUT_S
                )
            finally:
                await stream.close()
        self._sent[host_name] = tips
        self._on_pushed(self.repo.repo_id, host_name)

    def mark_sent(self, host_name: str, tips: Tips | None) -> None:
        """What the gateway has; None = unknown, so the next look sends again."""
        if tips is None:
            self._sent.pop(host_name, None)
        else:
            self._sent[host_name] = tips

    async def ensure(self, host_name: str, oid: str | None, restore: Mapping[str, str]) -> None:
        """The gateway has `oid` and the commits to be restored; one push when it may not."""
        sent = self._sent.get(host_name)
        tips = set() if sent is None else {sent[0].oid, *sent[1].values()}
        wanted = {item for item in (oid, *restore.values()) if item is not None} - tips
        if not wanted:
            return
        repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
        heads = await threads.call(git.refs, repo, "refs/heads/")
        head = await threads.call(git.head, repo)
        await self._push(repo, host_name, (head, heads), sorted(wanted - {*heads.values()}))
