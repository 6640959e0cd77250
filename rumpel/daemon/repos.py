"""One repository of the host: its published pod branches, and its branches sent to gateways.

Two directions. Pod -> host: what the pods have is published as one view, under a lock, so that
names never clash. Host -> pods: the repository's own refs are watched, sent to the gateway of
each Docker host, and fetched in the pods from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rumpel import names
from rumpel.adapters import git, git_push, git_refs, git_seed, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.published import PREFIX, View, in_the_way, owner, view
from rumpel.adapters.watch import Watcher
from rumpel.daemon.large_files import GatewayFiles
from rumpel.daemon.sending import Seat, Sending
from rumpel.errors import RumpelError
from rumpel.model import RepoRef
from rumpel.tasks.world import Tips

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
PUSH_TIMEOUT_S = 300.0
CARRIED_S = 2.0
"""For so long a file that the configuration includes may have changed unseen."""

# receive-pack, then HEAD: one exec instead of two. $1 is a branch's full name or an oid, $2 the
# seed, $3 the configuration it is made with when it is missing, as that of a new submodule is.
RECEIVE = """
if [ ! -f "$2/HEAD" ] && [ -n "$3" ]; then
    mkdir -p "$2/refs/heads" "$2/objects/info" "$2/objects/pack" || exit
    printf %s "$3" >"$2/config" && echo 'ref: refs/heads/none' >"$2/HEAD" || exit
fi
git receive-pack "$2" || exit
case $1 in
    refs/*) git --git-dir="$2" symbolic-ref HEAD "$1" ;;
    ?*) git --git-dir="$2" update-ref --no-deref HEAD "$1" ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A seed of the repository: where it lies, and the container that writes it."""

    host: DockerHost
    host_name: str
    container_id: str
    path: str = names.SEED_PATH

    @property
    def seat(self) -> tuple[str, str]:
        """What it takes the place of, when it is another container."""
        return self.host_name, self.path


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
        self.guests: set[str] = set()
        """Pods of a superproject, of which this is a submodule; own pods have the right of way."""
        self.notes: tuple[str, ...] = ()
        self._on_pushed, self._on_published = on_pushed, on_published
        self._names: set[str] = set()
        """Pods whose refs are, or were, ours: those of any other name are left alone."""
        self._checks = 0
        self._published: dict[str, str] | None = None
        self._lock = asyncio.Lock()
        self._gateways: dict[tuple[str, str], Gateway] = {}
        self._large: dict[tuple[str, str], GatewayFiles] = {}
        """By container and seed."""
        self._sent: dict[tuple[str, str], Tips] = {}
        self._wanted: dict[tuple[str, str], set[str]] = {}
        self._pushing: dict[str, asyncio.Lock] = {}
        self._sending = Sending(self._send_news)
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

    async def check(self) -> None:
        """Refs that somebody moved or removed by hand come back. Raises RumpelError."""
        if self._checks > 1:
            return  # one that has not begun will see it, too
        self._checks += 1
        try:
            async with self._lock:
                if self._published is not None:
                    at = (self.repo.work_tree, self.repo.common_dir)
                    self._published = await self._look(await threads.call(git.reopen, *at))
                await self._write()
        finally:
            self._checks -= 1

    async def moved_by_hand(self) -> dict[str, str]:
        """Pod id -> which of its refs is not what was published last."""
        repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
        async with self._lock:
            shown, owners = self._published or {}, self._shown_names()
            found = await threads.call(git.refs, repo, PREFIX)
        said: dict[str, str] = {}
        for ref in sorted(ref for ref in shown if found.get(ref) != shown[ref]):
            pod_id, done = owners.get(owner(ref)), "moved" if ref in found else "removed"
            if pod_id is not None:
                said.setdefault(pod_id, f"{ref.removeprefix('refs/remotes/')} was {done} by hand")
        return said

    def moved(self, repo: RepoRef) -> None:
        """It lies somewhere else now; what it shows is not known."""
        self.repo = repo
        self._published, self._repo, self._carried = None, None, None

    async def withdraw(self, pod_id: str) -> None:
        """The pod is deleted: its refs go (`keep` holds the commits)."""
        async with self._lock:
            self.branches.pop(pod_id, None)
            self.pod_names.pop(pod_id, None)
            self.guests.discard(pod_id)
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
            self._published = await self._look(repo)
        wanted = self._view()
        # Unknown until it went well: a cancelled writer may have written.
        current, self._published = self._published, None
        self._published = await git_refs.publish(repo, wanted.refs, current, look=self._look)
        if self._published != current:
            self._on_published(self)
        if self._published == wanted.refs:
            self._repo = repo
        elif is_cached:  # its worktree may be gone
            await self._write()

    def _view(self) -> View:
        """What should be there now; also tells which names had to change."""
        shown = self._shown_names()
        self._names.update(shown)
        wanted = view(
            {name: (pod_id, self.branches.get(pod_id, {})) for name, pod_id in shown.items()}
        )
        self.notes = tuple(wanted.notes)
        return wanted

    def published(self) -> Mapping[str, str] | None:
        """Full name -> oid of what the host shows of its pods; None while that is not known."""
        return None if self._published is None else dict(self._published)

    def shown_name(self, pod_id: str) -> str:
        """As what a pod's branches are published here."""
        found = {owner: name for name, owner in self._shown_names().items()}
        return found.get(pod_id, self.pod_names.get(pod_id, pod_id))

    def _shown_names(self) -> dict[str, str]:
        """Name -> pod id; no two pods of one repository share a name, but guests may."""
        shown: dict[str, str] = {}
        for pod_id, name in sorted(
            self.pod_names.items(), key=lambda item: (item[0] in self.guests, item)
        ):
            shown[name if name not in shown else f"{name}.{pod_id}"] = pod_id
        return shown

    async def _look(self, repo: git.Repo) -> dict[str, str]:
        """The refs that are ours to replace; first, what would go with that is held.

        Refs of pods nobody here knows (another daemon has them, the database was lost, or this is
        a copy) stay, unless one of ours cannot be written beside them.
        """
        wanted = self._view().refs
        found = await threads.call(git.refs, repo, PREFIX)
        strange = [ref for ref in found if owner(ref) not in self._names]
        blocking = in_the_way(strange, wanted)
        ours = {ref: oid for ref, oid in found.items() if ref not in strange or ref in blocking}
        lost = await threads.call(_dropped, repo, wanted, ours)
        if lost:
            await git_refs.keep_old(repo, "unknown", lost)
        return ours

    def add_gateway(self, gateway: Gateway) -> None:
        self._gateways[gateway.seat] = gateway
        files = GatewayFiles(gateway.host, gateway.container_id, gateway.path)
        self._large.setdefault((gateway.container_id, gateway.path), files)

    def gateway(self, host_name: str, path: str = names.SEED_PATH) -> Gateway | None:
        return self._gateways.get((host_name, path))

    def remove_gateway(self, host_name: str, path: str = names.SEED_PATH) -> None:
        gateway = self._gateways.pop((host_name, path), None)
        if gateway is not None:
            self._large.pop((gateway.container_id, path), None)
        self._sent.pop((host_name, path), None)
        self._wanted.pop((host_name, path), None)

    def hosts(self) -> list[str]:
        """Those with a seed of its own, where the repository is no submodule."""
        return [host_name for host_name, path in self._gateways if path == names.SEED_PATH]

    @property
    def has_gateways(self) -> bool:
        return bool(self._gateways)

    async def follow(self) -> None:
        """Send the host's branches to the gateways whenever they change, for ever."""
        common = Path(self.repo.common_dir)
        repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
        watcher = await threads.call(
            Watcher, roots=[str(common / "refs" / "heads")], flat=[str(common), str(repo.git_dir)]
        )
        try:
            self.resend()
            async for _ in watcher.changes(LOOK_EVERY_S):
                self.resend()
        finally:
            watcher.close()
            self._sending.close()

    def resend(self) -> None:
        """Look whether the seeds have what is here; also when a host is back."""
        self._sending.wake(list(self._gateways))

    def push_lock(self, host_name: str) -> asyncio.Lock:
        return self._pushing.setdefault(host_name, asyncio.Lock())

    async def _send_news(self, seat: Seat) -> None:
        try:
            repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
            if self._sent.get(seat) != await threads.call(_tips, repo):
                await self._push(repo, seat)
        except RumpelError as error:
            log.warning("branches of %s not sent: %s", self.repo.work_tree, error.message)

    async def _push(
        self, repo: git.Repo, seat: tuple[str, str], wanted: Iterable[str] = ()
    ) -> set[str]:
        """Send the branches, and those of the commits `wanted` that no branch is at: answers them.

        What is noted as sent is what was sent: the user may commit at any moment of this.
        """
        async with self.push_lock(seat[0]):
            gateway = self._gateways.get(seat)
            if gateway is None:
                return set()
            head, heads = tips = await threads.call(_tips, repo)
            extra = sorted({*wanted} - {*heads.values()})
            at_head = () if head.oid is None else (head.oid,)
            commits = [*heads.values(), *at_head, *extra]
            await self.send_large(gateway.container_id, repo, commits, gateway.path)
            before = self._sent.get(seat)
            exact = None if before is None else git_push.moves(before[1], heads, head.branch)
            refspecs = list(git_push.EVERY_BRANCH if exact is None else exact)
            refspecs += [f"+{oid}:refs/rumpel/wanted/{oid}" for oid in extra]
            if head.branch is None and head.oid is not None:
                refspecs.append(f"+{head.oid}:refs/rumpel/head")
            is_known = False
            try:
                await self._send(repo, gateway, head, refspecs)
                is_known = exact is not None or await threads.call(_tips, repo) == tips
            finally:
                if self._gateways.get(seat) == gateway:
                    self._sent.pop(seat, None)
                    self._sent |= {seat: tips} if is_known else {}
        self._on_pushed(self.repo.repo_id, gateway.host_name)
        return {*extra}

    async def _send(
        self, repo: git.Repo, gateway: Gateway, head: git.Head, refspecs: Sequence[str]
    ) -> None:
        target = f"refs/heads/{head.branch}" if head.branch else (head.oid or "")
        made_with = git_seed.config(repo.object_format) if gateway.path != names.SEED_PATH else ""
        stream = await gateway.host.exec_stream(
            gateway.container_id,
            ["/bin/sh", "-c", RECEIVE, "sh", target, gateway.path, made_with],
            user="0",
        )
        try:
            await git_push.push_from(repo, stream, refspecs, prune=True, timeout_s=PUSH_TIMEOUT_S)
        finally:
            await stream.close()

    async def send_large(
        self,
        container_id: str,
        repo: git.Repo,
        commits: Sequence[str],
        path: str = names.SEED_PATH,
    ) -> None:
        """Content of large files that a checkout of `commits` needs, before they can be seen."""
        large = self._large.get((container_id, path))
        if large is not None:
            await large.send(repo, commits)

    def sent(self, host_name: str) -> Tips | None:
        """What the seed has, if that is known; while `push_lock` is held it does not change."""
        return self._sent.get((host_name, names.SEED_PATH))

    def mark_sent(self, host_name: str, tips: Tips | None, path: str = names.SEED_PATH) -> None:
        """What the gateway has; None = unknown, so the next look sends again.

        A seed that was poured anew lacks what `ensure` had sent to the one before.
        """
        self._wanted.pop((host_name, path), None)
        if tips is None:
            self._sent.pop((host_name, path), None)
        else:
            self._sent[host_name, path] = tips

    async def ensure(
        self,
        host_name: str,
        oid: str | None,
        restore: Mapping[str, str],
        path: str = names.SEED_PATH,
    ) -> None:
        """The gateway has `oid` and the commits to be restored; one push when it may not."""
        seat = (host_name, path)
        sent = self._sent.get(seat)
        held = self._wanted.setdefault(seat, set())
        tips = set() if sent is None else {sent[0].oid, *sent[1].values(), *held}
        wanted = {item for item in (oid, *restore.values()) if item is not None} - tips
        if sent is not None and not wanted:
            return
        repo = await threads.call(git.reopen, self.repo.work_tree, self.repo.common_dir)
        held |= await self._push(repo, seat, wanted)


def _tips(repo: git.Repo) -> Tips:
    """Blocking."""
    return git.head(repo), git.refs(repo, "refs/heads/")


def _dropped(repo: git.Repo, wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    """Commits that no ref would hold any more. Blocking."""
    shown = set(wanted.values())
    moved = {ref: oid for ref, oid in found.items() if oid not in shown}
    lost = git.missing(repo, sorted(set(moved.values())))
    return sorted(
        {
            oid
            for ref, oid in moved.items()
            if oid not in lost
            and (ref not in wanted or not git.is_ancestor(repo, oid, wanted[ref]))
        }
    )
