"""Everything the daemon holds, made in order and taken down in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

from rumpel import names, paths
from rumpel.adapters import git
from rumpel.adapters.docker_api import DockerHost
from rumpel.cache.store import Store
from rumpel.daemon import (
    adopt,
    at_work,
    batch_move,
    later,
    lent,
    limits,
    prebuilds,
    replacing,
    seeds,
    trash,
)
from rumpel.daemon.background import Background
from rumpel.daemon.batches import Batches
from rumpel.daemon.by_hand import ByHandLook
from rumpel.daemon.compared import Compared
from rumpel.daemon.git_passwords import GitPasswords
from rumpel.daemon.hosts import LOCAL, Hosts
from rumpel.daemon.image_label import Labels
from rumpel.daemon.landed import Landed
from rumpel.daemon.lending import Lending
from rumpel.daemon.links import LinkManager
from rumpel.daemon.made_here import MadeHere
from rumpel.daemon.places import Places
from rumpel.daemon.pods import Pod, Pods, find_container, repo_ref
from rumpel.daemon.ports import PortKeeper
from rumpel.daemon.runner import Runner
from rumpel.daemon.sockets import Sockets
from rumpel.daemon.ssh_agents import SshAgents
from rumpel.daemon.works import WorkKeeper
from rumpel.engine.execute import Engine
from rumpel.errors import Conflict, HostUnreachable, RumpelError
from rumpel.graphs.ids import address
from rumpel.model import PodSpec, RepoRef
from rumpel.tasks import stand_in
from rumpel.tasks.world import Access, World

log = logging.getLogger(__name__)

HOME_ID = "home-id"
BORN = "born"
"""Since when this database is kept: what is older than it, it may have forgotten."""
FREEZES = ("keep", "restore")
"""Kinds of operations that stop what runs in a pod."""
RECONNECT_S, RECONNECT_MOST_S = 1.0, 30.0
"""The second one of hosts that are far away."""


class App:
    """Made by `running`; verbs get it with every request."""

    def __init__(self, *, state_dir: Path, store: Store, background: Background) -> None:
        self.state_dir, self.store, self.background = state_dir, store, background
        self.started_at = time.time()
        self.lost = adopt.Lost(is_likely=store.is_empty and (state_dir / HOME_ID).exists())
        self.home_id = home_id(state_dir)
        self.pods, self.places = Pods(store), Places(store)
        self.creating, self.later = dict[str, int](), dict[str, asyncio.Task[None]]()
        """Pods that are made now, and for how many requests; with commands nobody waits for."""
        self.repo_gates: dict[str, asyncio.Lock] = {}
        self.replacing: dict[str, asyncio.Event] = {}
        self.leaving: dict[str, list[asyncio.Event]] = {}
        """Pods that are deleted now: one event for each request that does it."""
        self.stopping = asyncio.Event()
        self.engines = Hosts(f"{names.LABEL_HOME}={self.home_id}", background, self._changed)
        self.hosts, self.snapshots = self.engines.open, self.engines.views
        self.requests, idle, parallel = 0, asyncio.Event(), max(2, 2 * (os.cpu_count() or 1))
        self.ports = self._port_keeper(idle)
        self.links = self._link_manager(idle)
        self.by_hand = ByHandLook(self.links.repo)
        self.world = World(
            home_id=self.home_id,
            hosts=self.hosts,
            snapshots=self.snapshots,
            links=self.links,
            ports=self.ports,
            works=self._work_keeper(),
            by_hand=self.by_hand,
            made_here=MadeHere(store, self.engines, lambda: self.engine.flights),
            extra_labels=limits.own_labels(),
            default_parallel=parallel,
            scratch_dir=fresh_folder(state_dir / "scratch"),
        )
        self.batches, self.engine = Batches(self), Engine(store, self.world, slots=slots(parallel))
        self.world.batches, self.runner = self.batches, Runner(self.engine, idle)
        self.landed, self.lending = Landed(background), Lending(self)
        self.links.agents.on_end = self.lending.ended
        self.sockets, self.ssh_agents = Sockets(self), SshAgents(self)
        self.git_passwords = GitPasswords(self)
        self._repos, self._refs = dict[str, git.Repo](), dict[str, RepoRef]()
        self.compared, self.labels = Compared(), Labels()

    def _work_keeper(self) -> WorkKeeper:
        return WorkKeeper(
            self._host,
            self.state_dir / "doors",
            limits.of_repo,
            self.links.modules.of,
            self.links.branches,
        )

    def _link_manager(self, idle: asyncio.Event) -> LinkManager:
        return LinkManager(
            background=self.background,
            host=self._host,
            doors_dir=self.state_dir / "doors",
            idle=idle,
            gateway_filter=self._gateway_filter,
            store=self.store,
            limits=limits.of_repo,
        )

    def _port_keeper(self, idle: asyncio.Event) -> PortKeeper:
        return PortKeeper(
            store=self.store,
            background=self.background,
            idle=idle,
            host=self._host,
            image_of=self._image_of,
            pod_name=self._pod_name,
        )

    async def host(self, name: str) -> DockerHost:
        """The connected host. Raises HostUnreachable with what to do."""
        return await self.engines.get(name)

    def _changed(self, host: str, container_id: str, action: str) -> None:
        """A container of ours was started or ended, by us or by hand; or the engine was."""
        if not container_id:
            if action == "live":
                self.background.spawn(self._came_alive(host), f"pods and seeds of {host}")
            return
        self.links.agents.wake()
        state = self.snapshots[host].containers.get(container_id)
        if state is None or state.status != "running":
            self.background.spawn(self.links.ended(container_id), "link ended")
            self.background.spawn(self.ports.ended(container_id), "ports ended")
            self.sockets.ended(container_id)
            return
        pod = self.pods.by_id(state.labels.get(names.LABEL_POD_ID, ""))
        if pod is None or pod.pod_id in self.creating:
            return
        cloned = self.pods.record("clone", pod.spec)
        access = self.pods.access(pod.spec)
        if access is not None and cloned is not None and cloned.output is not None:
            self._follow(pod, access)

    async def restore(self) -> None:
        """At start: recover what was interrupted, then link up with what runs."""
        await self.engine.recover()
        if self.store.kv_get(BORN) is None:
            await self.store.kv_set(BORN, time.time())
        for record in self.store.records.values():
            if record.failure is not None and record.failure["state"] == "crashed":
                self.world.crashed.add(record.node_id)
        for pod in self.pods.all():
            try:
                await self.places.note(pod.spec.repo)
                await self.links.restore(address(pod.spec))
            except RumpelError as error:  # one bad door must not keep the daemon from starting
                log.warning("pod %s: %s", pod.name, error.message)
        gates = replacing.close_gates(self)
        self.background.spawn(self.links.republish(), "published branches")
        self.background.spawn(trash.expire_for_ever(self), "trash")
        for host in self._in_use():
            own = {key: gate for key, gate in gates.items() if self._is_at(key, host)}
            self.background.spawn(self._reconnect(host, own), f"reconnect to {host}")

    def _in_use(self) -> list[str]:
        """Hosts with something of ours, as far as the database knows."""
        found = {pod.spec.host for pod in self.pods.all()}
        if self.lost.is_likely or seeds.is_known(self):
            found.add(LOCAL)
        return sorted(found)

    def _is_at(self, pod_id: str, host: str) -> bool:
        pod = self.pods.by_id(pod_id)
        return pod is not None and pod.spec.host == host

    async def until_known(self) -> None:
        """When the database may have been lost: until the engine told of its pods, or is silent."""
        if self.lost.is_likely:
            await self.lost.wait()

    async def _reconnect(self, host: str, gates: Mapping[str, asyncio.Event]) -> None:
        """Until the engine answers; then every running pod gets its link and one import."""
        pause_s = RECONNECT_S
        while True:
            try:
                await self.host(host)
                await replacing.settle_all(self, gates)
                await self._adopt(host)
                await at_work.settle(self, host)
                await self._link_up(host)
                later.restore(self, host)
                self.lending.restore()
                break
            except HostUnreachable as error:
                if host != LOCAL:
                    log.info("%s: %s", host, error.message)
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                if host != LOCAL:
                    pause_s = min(2 * pause_s, RECONNECT_MOST_S)
            except Conflict as error:
                log.warning("%s: %s", host, error.message)
                break

    async def _adopt(self, host: str) -> int:
        if host != LOCAL:
            return 0  # who has that engine could name any repository here, and get its branches
        async with self.lost.looking:
            found = await adopt.unknown(self, host)
            self.lost.looked.set()
        return found

    async def take_in(self, host: str) -> None:
        """Pods that only the engine knows."""
        if await self._adopt(host):
            await self._link_up(host)

    async def _came_alive(self, host: str) -> None:
        await self.take_in(host)
        own = [pod.spec.repo for pod in self.pods.all() if pod.spec.host == host]
        for repo in {repo.repo_id: repo for repo in own}.values():
            self.links.repo(repo).resend()  # what was committed here while it was away
        await prebuilds.sweep(self, host)
        await stand_in.sweep(self.world, host)
        await seeds.sweep(self, host)
        await batch_move.settle(self, host)

    async def _link_up(self, host: str) -> None:
        seen: set[str] = set()
        for pod in self.pods.all():
            spec = pod.spec
            if spec.host != host:
                continue
            if spec.repo.repo_id not in seen:
                seen.add(spec.repo.repo_id)
                await self.links.seeded(spec.repo, host, {})
            if any(self.pods.record(kind, spec) is not None for kind in FREEZES):
                access = self.access_if_running(pod)
                if access is not None:
                    await self._thaw(spec, access)
            self.link_up(pod)

    def _follow(self, pod: Pod, access: Access) -> None:
        self.links.follow(address(pod.spec), access)
        lent.follow(self, pod, access)
        if pod.spec.open_ports:
            self.background.spawn(self.ports.follow(pod.spec, access), f"ports of {pod.name}")

    def reopen_ports(self, pod_id: str) -> None:
        """Of a pod that runs again without a node that says so: a recreate was taken back."""
        pod = self.pods.by_id(pod_id)
        access = None if pod is None else self.pods.access(pod.spec)
        if pod is None or access is None or not pod.spec.open_ports:
            return
        state = self.snapshots[pod.spec.host].containers.get(access.container_id)
        if state is not None and state.status == "running":
            self.background.spawn(self.ports.follow(pod.spec, access), f"ports of {pod.name}")

    def link_up(self, pod: Pod) -> None:
        """With a pod that runs; an interrupted one has nothing to import yet."""
        access = self.access_if_running(pod)
        if access is not None:
            self._follow(pod, access)

    def access_if_running(self, pod: Pod) -> Access | None:
        access, view = self.pods.access(pod.spec), self.snapshots.get(pod.spec.host)
        if access is None or not access.is_set_up or view is None:
            return None
        state = find_container(view.containers.values(), pod.pod_id)
        return access if state is not None and state.status == "running" else None

    async def _thaw(self, spec: PodSpec, access: Access) -> None:
        """Who froze this pod may have been killed: what is frozen goes on."""
        try:
            await self.world.works.thaw(address(spec), access)
        except RumpelError as error:
            log.warning("pod %s: %s", spec.pod, error.message)

    def target_of(self, cwd: str) -> RepoRef:
        """The repository of a folder; asked anew when it moved or was deleted."""
        found = self._refs.get(cwd)
        if found is None or not Path(found.common_dir).exists():
            found = self._refs[cwd] = self.places.known(repo_ref(git.discover(cwd)))
        return found

    @contextlib.contextmanager
    def inside(self, pod_id: str) -> Iterator[None]:
        """Somebody works in the pod: `open_sessions` counts their shells and commands."""
        self.pods.open_sessions[pod_id] = self.pods.open_sessions.get(pod_id, 0) + 1
        try:
            yield
        finally:
            self.pods.open_sessions[pod_id] -= 1
            if not self.pods.open_sessions[pod_id]:
                del self.pods.open_sessions[pod_id]

    def forget_places(self) -> None:
        """A repository was moved: what was found by paths is looked for anew."""
        self._refs.clear()
        self._repos.clear()

    def opened(self, repo: RepoRef) -> git.Repo:
        """Cached: a repository's folders do not move while the daemon looks at it."""
        found = self._repos.get(repo.repo_id)
        if found is None or not Path(found.git_dir).exists():
            found = self._repos[repo.repo_id] = git.reopen(repo.work_tree, repo.common_dir)
        return found

    def gate(self, repo_id: str, host: str) -> asyncio.Lock:
        """Held while the last pod's seed is removed, and while new pods are announced."""
        return self.repo_gates.setdefault(f"{host}/{repo_id}", asyncio.Lock())

    async def close(self) -> None:
        await self.runner.stop()
        await self.engine.close()
        await self.links.close_all()
        await self.ports.close_all()
        await self.engines.close()

    def _host(self, name: str) -> DockerHost:
        return self.world.host(name)

    def _image_of(self, host: str, container_id: str) -> str:
        state = self.snapshots[host].containers.get(container_id)
        return "" if state is None else state.image_id

    def _pod_name(self, pod_id: str) -> str | None:
        pod = self.pods.by_id(pod_id)
        return None if pod is None else pod.name

    def _gateway_filter(self, repo: RepoRef) -> list[str]:
        return self.world.label_filter("gateway", repo=repo.repo_id)


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[App]:
    """The daemon's parts, from the state folder up."""
    state_dir = Path(paths.prepare_state())
    async with Store(state_dir / "state.db") as store, Background() as background:
        app = App(state_dir=state_dir, store=store, background=background)
        if store.was_reset:
            log.warning("the database was unreadable and was started anew")
        await app.restore()
        try:
            yield app
        finally:
            with contextlib.suppress(RumpelError):
                await app.close()


def home_id(state_dir: Path) -> str:
    """Which state folder an object belongs to; in a file, so that it survives the database."""
    path = state_dir / HOME_ID
    with contextlib.suppress(FileNotFoundError):
        found = path.read_text().strip()
        if found:
            return found
    made = secrets.token_hex(8)
    fresh = path.with_suffix(".new")
    fresh.write_text(made + "\n")
    fresh.replace(path)
    return made


def slots(parallel: int) -> dict[str, int]:
    """How many nodes of each class run at once; creating is bound by the engine's CPU."""
    return {"create": parallel, "build": 2, "stop": parallel, "sync": 8, "lifecycle": 16}


def fresh_folder(path: Path) -> Path:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700, parents=True)
    return path
