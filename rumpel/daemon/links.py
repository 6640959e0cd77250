"""Links into running pods: control channel, parked upload-pack, import of commits.

One link per running pod. A commit in the pod makes a notice on the link; notices are hints, so
they are coalesced, and each connect and each few minutes everything is imported anyway. The
exec that serves the next import is started ahead of time, when no graph runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from rumpel.adapters import git, git_door, git_refs, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.git_limits import Limits, Refused
from rumpel.adapters.git_trash import DeletedModule
from rumpel.adapters.pod_link import Ask, PodLink
from rumpel.adapters.stream import Stream
from rumpel.cache.store import Store
from rumpel.daemon import near, notify, setups
from rumpel.daemon.agent_states import AgentStates
from rumpel.daemon.background import Background
from rumpel.daemon.bare import Bare
from rumpel.daemon.dirty import Dirty
from rumpel.daemon.doors import Doors
from rumpel.daemon.gateways import Gateways
from rumpel.daemon.imports import Imports, Pace
from rumpel.daemon.large_files import LargeFiles
from rumpel.daemon.modules import Modules
from rumpel.daemon.parking import Parking
from rumpel.daemon.peers import Peers
from rumpel.daemon.podsync import PodSync
from rumpel.daemon.repos import RepoSync
from rumpel.errors import Conflict, HostUnreachable, RumpelError
from rumpel.model import RepoRef
from rumpel.resources import resource_text
from rumpel.tasks.world import Access, ModuleWork, PodAddress, Poured, Setup, SyncReport

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 60.0
SETUP_TIMEOUT_S = 1500.0
LOOK_EVERY_S = 300.0
RETRY_MAX_S = 30.0
FIRST_RETRY_S = 0.5


class LinkManager:
    """Implements `tasks.world.Links`."""

    def __init__(
        self,
        *,
        background: Background,
        host: Callable[[str], DockerHost],
        doors_dir: Path,
        idle: asyncio.Event,
        gateway_filter: Callable[[RepoRef], list[str]],
        store: Store,
        limits: Callable[[RepoRef], Limits],
    ) -> None:
        self._store = store
        self._background, self._host, self._idle = background, host, idle
        self._pods: dict[str, PodSync] = {}
        self._repos: dict[str, RepoSync] = {}
        self.gateways = Gateways(
            background=background, host=host, gateway_filter=gateway_filter, repo=self.repo
        )
        self._peers = Peers(background=background, idle=idle, pods=self._pods, store=store)
        self.dirty, self._bare = Dirty(store, self.request), Bare(store, self.request)
        self.lacks_files, self.bring_files = self._bare.has, self._bare.fill
        self.agents = AgentStates(store, background, self.dirty.refresh, notify.run)
        self.large = LargeFiles(host)
        doors = Doors(
            folder=doors_dir, limits=limits, repo=self.repo, upload_pack=self._upload_pack
        )
        self.modules = Modules(
            store=store, doors=doors, repo=self.repo, gateways=self.gateways, large=self.large
        )
        self.imports = Imports(
            doors=doors, repo=self.repo, modules=self.modules, large=self.large, events=store.log
        )
        self._parking = Parking(
            idle=idle, pods=self._pods, imports=self.imports, upload_pack=self._upload_pack
        )

    # What the operations use (tasks.world.Links).

    def is_live(self, pod_id: str, container_id: str) -> bool:
        found = self._pods.get(pod_id)
        return found is not None and found.is_live and found.access.container_id == container_id

    async def prepare(self, pod: PodAddress, access: Access) -> None:
        state = self._state(pod, access)
        if access.as_main:
            await self._drop(state)
            with contextlib.suppress(Conflict):  # Podman does not, of one that is stopped
                state.pending = await self._host(pod.host).attach(access.container_id)

    async def connect(self, pod: PodAddress, access: Access) -> None:
        state = self._state(pod, access)
        async with state.connecting:
            if state.is_live:
                return
            stream, state.pending = state.pending, None
            if stream is None:
                stream = await self._open_stream(pod, access)
            state.is_told = False
            link = await PodLink.open(stream, state.noticed.set, partial(self.agents.heard, pod))
            try:
                if access.is_set_up:  # else the set-up begins the watch
                    await link.request("watch", pod.workspace_folder, timeout_s=REQUEST_TIMEOUT_S)
            except BaseException:  # also when cancelled: a live link that tells nothing is worse
                await link.close()
                raise
            state.link, state.is_main = link, access.as_main
            if access.is_set_up:
                self._peers.linked(pod, self.repo(pod.repo), is_new=False)
        if state.loop is None or state.loop.done():
            state.loop = self._background.spawn(self._import_loop(state), f"sync of {pod.pod}")

    async def request(self, pod_id: str, verb: str, *args: str, timeout_s: float) -> str:
        state = self._pods.get(pod_id)
        if state is None or state.link is None or not state.link.is_open:
            raise HostUnreachable("no link into the pod")
        return await state.link.request(verb, *args, timeout_s=timeout_s)

    def near(self, pod: PodAddress, container_id: str) -> Ask | None:
        return near.ask(self._host(pod.host), self._pods.get(pod.pod_id), container_id)

    async def set_up(self, pod: PodAddress, setup: Setup) -> str:
        state = self._pods.get(pod.pod_id)
        if state is not None:
            state.is_new = True
        await self.repo(pod.repo).ensure(pod.host, setup.oid, setup.restore)
        carried = await self.repo(pod.repo).carried()
        arguments = [
            f"pod_id={pod.pod_id}",
            f"workspace={pod.workspace_folder}",
            "watch=yes",
            f"share={'yes' if self._peers.shares(pod.pod_id) else ''}",
            *setups.words(setup, carried),
            *await self.modules.set_up(pod, setup),
        ]
        if setup.leaves_files:
            await self._bare.note(pod.pod_id, is_bare=True)
        answer = await self.request(pod.pod_id, "setup", *arguments, timeout_s=SETUP_TIMEOUT_S)
        await self._bare.note(pod.pod_id, is_bare=setup.leaves_files)
        if state is not None:
            state.access = replace(state.access, is_set_up=True)
        if not setup.restore:
            self.dirty.made(pod.pod_id)
        self._peers.linked(pod, self.repo(pod.repo), is_new=True)
        return answer

    async def setup_words(self, repo: RepoRef, host: str, setup: Setup) -> list[str]:
        await self.repo(repo).ensure(host, setup.oid, setup.restore)
        return setups.words(setup, await self.repo(repo).carried())

    async def publish_fresh(self, pod: PodAddress, branch: str, oid: str) -> None:
        """Remembered in the database: the door stays empty until the first import."""
        repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
        if await threads.call(git.missing, repo, [oid]):
            await self.sync(pod)  # only the pod has it
            return
        await asyncio.gather(
            self.repo(pod.repo).publish(pod.pod_id, pod.pod, {branch: oid}),
            self._store.kv_set(f"fresh/{pod.pod_id}", {branch: oid}),
            self.modules.publish_fresh(pod, branch),
        )

    async def sync(self, pod: PodAddress) -> SyncReport:
        state = self._pods.get(pod.pod_id)
        if state is None:
            raise HostUnreachable(f"no link into pod {pod.pod!r}")
        return await self.imports.run(state, is_asked_for=True)

    async def catch_up(self, pod: PodAddress) -> bool:
        state = self._pods.get(pod.pod_id)
        return state is not None and state.is_live and await self.imports.catch_up(state)

    async def look(self, pod: PodAddress, access: Access) -> SyncReport:
        await self.close(pod.pod_id)
        state = self._state(pod, access)
        try:
            if self.modules.of(pod.pod_id):  # the pod has to say which of them there are
                stream = await self._open_stream(pod, replace(access, as_main=False))
                state.link = await PodLink.open(stream, state.noticed.set)
                state.is_main = False
            return await self.imports.run(state, is_asked_for=True)
        finally:
            await self.close(pod.pod_id)

    async def refresh_dirty(self, pod: PodAddress) -> int:
        return await self.dirty.refresh(pod)

    def branches(self, pod_id: str) -> Mapping[str, str]:
        for repo in self._repos.values():
            if pod_id in repo.branches and pod_id not in repo.guests:
                return repo.branches[pod_id]
        return {}

    async def unmerged_in_submodules(self, pod: PodAddress) -> list[ModuleWork]:
        return await self.modules.unmerged(pod)

    async def keep(self, pod: PodAddress) -> int:
        repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
        kept = await git_refs.keep(repo, pod.pod_id, self.branches(pod.pod_id))
        return kept + await self.modules.keep(pod)

    def deleted_modules(self, pod: PodAddress) -> tuple[DeletedModule, ...]:
        return self.modules.of_trash(pod)

    async def close(self, pod_id: str) -> None:
        state = self._pods.pop(pod_id, None)
        if state is None:
            return
        if state.loop is not None:
            state.loop.cancel()
        await state.end()
        await self._drop(state)

    async def forget(self, pod: PodAddress) -> None:
        await self.close(pod.pod_id)
        await self.repo(pod.repo).withdraw(pod.pod_id)
        await self.modules.forget(pod)
        await git_door.remove(self.imports.doors.path(pod))
        self.imports.refused.pop(pod.pod_id, None)
        for keeper in (self.dirty, self.agents, self.large):
            keeper.forget(pod.pod_id)

    async def seeded(self, repo: RepoRef, host: str, poured: Poured) -> None:
        """Also called at start, for gateways that run already."""
        await self.gateways.seeded(repo, host, poured)
        self._peers.seeded(self.repo(repo), host, is_new=repo in poured)

    async def unseeded(self, repo: RepoRef, host: str) -> None:
        await self.gateways.unseeded(repo, host)

    # What the daemon uses.

    def repo(self, repo: RepoRef) -> RepoSync:
        found = self._repos.get(repo.repo_id)
        if found is None:
            found = RepoSync(repo, on_pushed=self._pushed, on_published=self._peers.changed)
            self._repos[repo.repo_id] = found
        return found

    def follow(self, pod: PodAddress, access: Access) -> None:
        """Link up with a pod that runs already, in the background, and import once."""
        state = self._state(pod, access)
        if state.loop is None or state.loop.done():
            state.noticed.set()
            state.loop = self._background.spawn(self._import_loop(state), f"sync of {pod.pod}")

    async def ended(self, container_id: str) -> None:
        """A container does not run any more: nobody waits for its link."""
        for pod_id, state in list(self._pods.items()):
            if state.access.container_id == container_id and state.pending is None:
                await self.close(pod_id)

    async def restore(self, pod: PodAddress) -> None:
        """At start: what the door holds is what the host knows of the pod."""
        await threads.call(git_door.sweep, self.imports.doors.path(pod))
        branches = await threads.call(git_door.branches, self.imports.doors.path(pod))
        sync = self.repo(pod.repo)
        sync.pod_names[pod.pod_id] = pod.pod
        fresh: Mapping[str, str] = self._store.kv_get(f"fresh/{pod.pod_id}", {})
        sync.branches[pod.pod_id] = dict(branches or fresh)
        await self.modules.restore(pod)

    async def republish(self) -> None:
        """At start: what was imported just before a kill, also of pods that do not run now."""
        for repo in list(self._repos.values()):
            try:
                await repo.republish()
            except RumpelError as error:
                log.warning("branches of %s not published: %s", repo.repo.basename, error.message)

    def notes(self, pod_id: str) -> list[str]:
        own = [repo for repo in self._repos.values() if pod_id in repo.branches]
        found = [note for repo in own if pod_id not in repo.guests for note in repo.notes]
        return [*found, *self.modules.notes(pod_id), *self.large.notes(pod_id)]

    async def close_all(self) -> None:
        await self.dirty.close()
        for pod_id in list(self._pods):
            await self.close(pod_id)

    def _state(self, pod: PodAddress, access: Access) -> PodSync:
        state = self._pods.get(pod.pod_id)
        if state is None:
            state = self._pods[pod.pod_id] = PodSync(pod, access)
        if state.access.container_id != access.container_id:
            # The streams lead into a container that is no more; closing them has to wait.
            old = PodSync(pod, state.access)
            old.link, old.parked, old.pending = state.link, state.parked, state.pending
            state.link, state.parked, state.pending = None, None, None
            old.ready, state.ready = state.ready, None
            self._background.spawn(self._drop(old), f"old streams of {pod.pod}")
        state.pod, state.access = pod, access  # its repository may have been moved
        return state

    async def _open_stream(self, pod: PodAddress, access: Access) -> Stream:
        host = self._host(pod.host)
        # Podman shuts the main process's input behind the first who was attached to it.
        if access.as_main and host.info.kind != "podman":
            return await host.attach(access.container_id)
        return await host.exec_stream(
            access.container_id,
            ["/bin/sh", "-c", resource_text("pod_boot.sh"), "rumpel", "exec"],
            user=access.user,
            cwd="/",
        )

    async def _drop(self, state: PodSync) -> None:
        link, state.link = state.link, None  # first: what is not live parks nothing any more
        parked, state.parked = state.parked, None
        pending, state.pending = state.pending, None
        for stream in (parked, pending):
            if stream is not None:
                await stream.close()
        await self.imports.unready(state)
        if link is not None:
            await link.close()

    async def _import_loop(self, state: PodSync) -> None:
        """Import after each notice; reconnect while the container runs."""
        wait_s, pace = FIRST_RETRY_S, Pace()
        while self._pods.get(state.pod.pod_id) is state:
            try:
                if not state.is_live:
                    await self.connect(state.pod, state.access)
                    state.noticed.set()
                await self._parking.park(state)
                await self._wait(state)
                if state.noticed.is_set() and state.is_new:
                    await self._parking.let_others_be_made()
                    state.is_new = False
                if state.noticed.is_set():
                    await asyncio.sleep(pace.rest_s())
                    before = self.branches(state.pod.pod_id)
                    report = await self.imports.run(state, is_asked_for=False)
                    pace.note(is_new=report.branches != before)
                    wait_s = FIRST_RETRY_S
            except (RumpelError, OSError) as error:  # a full disk must not end this for ever
                log.info("pod %s: %s", state.pod.pod, error)
                if not isinstance(error, Refused):
                    state.noticed.set()  # what could not be imported is still to be imported
                await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
                wait_s = min(wait_s * 2, RETRY_MAX_S)

    async def _wait(self, state: PodSync) -> None:
        """Until a notice, the end of the link, or a while without either."""
        link = state.link
        if link is None:
            return
        noticed = asyncio.ensure_future(state.noticed.wait())
        ended = asyncio.ensure_future(link.wait_closed())
        idle = None if state.is_parked else asyncio.ensure_future(self._idle.wait())
        try:
            waits = {noticed, ended} | ({idle} if idle is not None else set())
            done, _ = await asyncio.wait(
                waits, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                state.noticed.set()
        finally:
            for future in (noticed, ended, idle):
                if future is not None:
                    future.cancel()

    async def _upload_pack(self, state: PodSync, git_dir: str = ".git") -> Stream:
        host = self._host(state.pod.host)
        return await near.upload_pack(host, state, git_dir, is_idle=self._idle.is_set())

    def _pushed(self, repo_id: str, host_name: str) -> None:
        """New host branches lie behind `host`: the running pods fetch them."""
        for state in self._pods.values():
            is_own = state.pod.repo.repo_id == repo_id
            if state.pod.host == host_name and (
                is_own or self.modules.has(state.pod.pod_id, repo_id)
            ):
                fetch = self._fetch(state) if is_own else self.modules.fetch(state, repo_id)
                self._background.spawn(fetch, f"fetch in {state.pod.pod}")

    async def _fetch(self, state: PodSync) -> None:
        if state.is_live:
            folder, pod_id = state.pod.workspace_folder, state.pod.pod_id
            with contextlib.suppress(*() if state.access.is_set_up else (RumpelError,)):
                await self.request(pod_id, "fetch", folder, timeout_s=REQUEST_TIMEOUT_S)
