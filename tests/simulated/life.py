"""A daemon over a fleet: the real parts, and what stands for those that touch a host."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from rumpel import config, protocol
from rumpel.adapters import (
    detached,
    docker_room,
    git,
    git_content,
    git_join,
    git_snapshot,
    git_trash,
    threads,
)
from rumpel.batch import reading, unroll
from rumpel.cache.store import Store
from rumpel.daemon import (
    batch_pods,
    batch_run,
    batch_state,
    create,
    initialize,
    requests,
    sign_in,
    stop,
)
from rumpel.daemon.app import slots
from rumpel.daemon.background import Background
from rumpel.daemon.batch_run import Asked, BatchRun
from rumpel.daemon.batches import Batches
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod, Pods
from rumpel.daemon.requests import Base
from rumpel.daemon.runner import Runner
from rumpel.engine.execute import Engine
from rumpel.engine.operation import OK, Probe, changed, unknown
from rumpel.errors import HostUnreachable, NotRunning, RumpelError
from rumpel.graphs.create import create as create_graph
from rumpel.graphs.ids import address
from rumpel.graphs.stop import stop as stop_graph
from rumpel.model import ContainerSpec, ImageSpec, PodSpec, RepoRef
from rumpel.tasks import clone, container, image, seed, shell, sync, task_work, tools
from rumpel.tasks import stop as stop_task
from rumpel.tasks.batching import Seated, TaskKey
from tests.engine.sim import Disk, Loop
from tests.simulated.fleet import CLONE_S, CONTAINER_S, STOP_S, VERIFY_S, Fleet

REPO = RepoRef(repo_id="f" * 32, common_dir="/r/.git", work_tree="/r")
PARALLEL, EPOCH = 8, 1e9
MOST_S = 40 * 86400.0
"""Of the clock: a batch that takes longer is one that hangs."""


class SimBatches(Batches):
    """Seats without a container."""

    @contextlib.asynccontextmanager
    async def seat(self, ctx: Any, key: TaskKey, **more: Any) -> AsyncIterator[Seated]:
        yield await self.shell(key)

    async def shell(self, key: TaskKey) -> Seated:
        pod = self._run(key).pod(key.task)
        access = self._app.pods.access(pod.spec)
        if access is None:
            raise RumpelError(f"pod {key.task} has no container")
        where = shell.Where(
            host=pod.spec.host, container_id=access.container_id, user="dev", cwd="/w"
        )
        return Seated(
            address=address(pod.spec), where=where, env={}, agent=None, argv=("x",), timeout_s=1e9
        )


class Life:
    """A daemon, from its start to its end or its death; `database` is what it is left with."""

    def __init__(self, fleet: Fleet, database: sqlite3.Connection, *, origin: float = 0.0) -> None:
        self.fleet, self.loop = fleet, Loop()
        self.loop.now = origin
        fleet.now = self.loop.time
        LIFE[:] = [self]
        self.store = Store(
            Path("simulated"),
            now=self.clock,
            writer=Disk(database, random.Random(7)),
        )
        self.background = Background()
        self.run: BatchRun | None = None
        self.app: Any = None
        self.taken: dict[str, list[git_trash.Snapshot]] = {}
        """Snapshots of pods, by id, newest first."""
        self.given: dict[str, Any] = {}
        """Work that new pods got, by their name."""

    def clock(self) -> float:
        return EPOCH + self.loop.now

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def begin(self, tasks: list[dict[str, Any]], **settings: Any) -> None:
        """`batch run`."""
        self.wait(self._begin(tasks, settings))

    async def _begin(self, tasks: list[dict[str, Any]], settings: dict[str, Any]) -> None:
        await self.store.__aenter__()
        works = SimpleNamespace(take=self.take)
        world: Any = SimpleNamespace(
            life=self, links=Links(self), host=lambda name: name, works=works
        )
        engine = Engine(self.store, world, slots=slots(PARALLEL))
        await engine.recover()
        app: Any = SimpleNamespace(
            store=self.store,
            engine=engine,
            world=world,
            pods=Pods(self.store),
            background=self.background,
            runner=Runner(engine, asyncio.Event()),
            host=self.host,
            access_if_running=lambda pod: self.app.pods.access(pod.spec),
            links=world.links,
            life=self,
        )
        batches = SimBatches(app)
        self.app, app.batches, world.batches = app, batches, batches
        value = {"tasks": tasks, "hosts": self.hosts(), **settings}
        parsed = reading.read(json.dumps(value).encode(), "b.json")
        batch = unroll.load(parsed, name="b", read=str)
        said = config.Settings({"host": "local"}, {"host": "default"})
        where = requests.Target(repo=cast("Any", None), ref=REPO, root="/r", settings=said)
        asked = Asked(batch=batch, file="b.json", client=client(), where=where)
        self.run = BatchRun(self.app, asked)
        self.app.batches.runs[REPO.repo_id, "b"] = self.run
        self.fleet.agent_of = lambda task: batch.items[task].agent
        await self.run.prepare()
        self.ending = asyncio.ensure_future(self.run.run())

    def hosts(self) -> list[dict[str, Any]]:
        fleet = self.fleet
        return [
            {"host": one.name, "slots": one.slots, "move": fleet.move}
            for one in fleet.hosts.values()
        ]

    async def host(self, name: str) -> str:
        await asyncio.sleep(0.02)
        if not self.fleet.hosts[name].is_reachable:
            raise HostUnreachable(f"no connection to {name}")
        return name

    async def take(self, pod: Any, _: Any, kind: str) -> None:
        """`Works.take`."""
        await asyncio.sleep(0.2)
        self.reach(pod.host)
        at = int(self.clock())
        taken = git_trash.Snapshot(
            oid=oid("work", pod.pod_id),
            pod_id=pod.pod_id,
            kind=kind,
            at=at,
            ref=f"{pod.pod_id}/{at}",
        )
        self.taken.setdefault(pod.pod_id, []).insert(0, taken)

    def rest(self, seconds: float = MOST_S) -> bool:
        """Let it go on for so long; whether it has ended."""

        async def wait() -> None:
            await asyncio.wait({self.ending}, timeout=seconds)

        self.wait(wait())
        if self.ending.done():
            self.ending.result()
        return self.ending.done()

    def end(self) -> float:
        """As a daemon that is told to stop."""

        async def close() -> None:
            await self.app.engine.close()
            await self.background.__aexit__(None, None, None)

        self.wait(close())
        self.loop.close()
        return self.loop.now

    def kill(self) -> tuple[float, set[asyncio.Task[Any]]]:
        """The time, and what must be kept, or its `finally` runs."""
        self.fleet.at_work.clear()
        return self.loop.now, self.loop.kill()

    def states(self) -> dict[str, str]:
        assert self.run is not None
        return {name: state.state for name, state in self.run.states.items()}

    def reach(self, host: str) -> None:
        """Raises HostUnreachable."""
        if not self.fleet.hosts[host].is_reachable:
            raise HostUnreachable(f"no connection to {host}")


def client() -> Client:
    message = {
        "verb": "batch",
        "args": {"action": "run", "file": "b.json"},
        "version": "0",
        "cwd": "/r",
        "proto": protocol.PROTO,
    }
    connection: Any = SimpleNamespace(send=lambda _: None)
    return Client(connection, protocol.Request(message), cast("Any", None))


class Links:
    """Of pods whose branches are made up."""

    def __init__(self, life: Life) -> None:
        self.life = life

    async def catch_up(self, pod: Any) -> bool:
        await asyncio.sleep(0.05)
        self.life.reach(pod.host)
        return True

    async def refresh_dirty(self, pod: Any) -> int:
        self.life.reach(pod.host)
        return 0

    def repo(self, _: RepoRef) -> Any:
        return SimpleNamespace(gateway=lambda host: None)

    def branches(self, pod_id: str) -> dict[str, str]:
        name = pod_id.removeprefix("id-")
        return {name: oid(name)}


def oid(*words: str) -> str:
    return hashlib.blake2b(repr(words).encode(), digest_size=20).hexdigest()


async def inline(fn: Callable[..., Any], *args: Any, limiter: Any = None, **more: Any) -> Any:
    """A thread, in no time."""
    await asyncio.sleep(0.001)
    return fn(*args, **more)


# Instead of what talks to Docker and git.


async def make(app: Any, _: Client, where: Any, wanted: list[str], **more: Any) -> Any:
    """`create.make`: announced, then made by the real graph."""
    (name,), start = wanted, more["start"]
    app.life.fleet.given(app.life.run.pool.load())
    await app.host(where.host)
    pod = app.pods.find(REPO.repo_id, name)
    if pod is None:
        spec = PodSpec(
            repo=REPO,
            host=where.host,
            pod=name,
            pod_id=f"id-{name}",
            base_branch=start.branch,
            base_oid=start.oid,
            image=ImageSpec(ref="image:1"),
            container=ContainerSpec(workspace_folder="/w"),
        )
        pod = await app.pods.put(spec, created_at=app.life.clock())
        app.life.given[name] = more["work"]
    outcome = create.Outcome(where)
    result = await app.runner.run(create_graph([pod.spec]), client())
    outcome.pods[name] = pod
    for failed, error in result.errors.items():
        if failed in result.errors:
            outcome.errors.setdefault(name, error)
    return outcome


async def stopped(app: Any, _: Client, pods: list[Pod], *, errors: Any) -> list[Any]:
    for pod in pods:
        await app.host(pod.spec.host)
        access = app.pods.access(pod.spec)
        if access is not None:
            result = await app.runner.run(stop_graph([(pod.spec, access)]), client())
            for error in result.errors.values():
                errors[pod.name] = error
    return []


async def image_run(ctx: Any, inputs: Any) -> image.Output:
    life = ctx.world.life
    await asyncio.sleep(life.fleet.image_s(inputs.host))
    life.reach(inputs.host)
    return image.Output(image_id=f"sha256:{inputs.host}", user="dev", tag="i", bases={})


async def tools_run(ctx: Any, inputs: Any) -> tools.Output:
    return tools.Output(image_id=inputs.image_id, user="dev", tag="i")


async def seed_run(ctx: Any, inputs: Any) -> seed.Output:
    await asyncio.sleep(0.5)
    ctx.world.life.reach(inputs.host)
    return seed.Output(volume="v", gateway_id="g")


async def container_run(ctx: Any, inputs: Any) -> container.Output:
    life = ctx.world.life
    await asyncio.sleep(life.fleet.quick(CONTAINER_S))
    life.reach(inputs.host)
    known = f"c-{inputs.pod}"
    task = next(name for name, one in life.run.states.items() if one.pod == inputs.pod)
    life.fleet.started(inputs.host, task, known)
    return container.Output(container_id=known, started_at="t", user="dev", as_main=True)


async def clone_run(ctx: Any, inputs: Any) -> clone.Output:
    life = ctx.world.life
    await asyncio.sleep(life.fleet.quick(CLONE_S))
    life.reach(inputs.address.host)
    return clone.Output(container_id=inputs.container_id, oid=str(inputs.base_oid))


async def sync_run(ctx: Any, inputs: Any) -> sync.Output:
    return sync.Output(container_id=inputs.container_id)


async def stop_run(ctx: Any, inputs: Any) -> stop_task.Output:
    life, where = ctx.world.life, inputs.address
    await asyncio.sleep(life.fleet.quick(STOP_S))
    life.reach(where.host)
    life.fleet.stopped(where.host, inputs.access.container_id)
    return stop_task.Output(container_id=inputs.access.container_id)


def fresh(world: Any, inputs: Any, output: Any) -> Probe:
    return OK


def of_container(world: Any, inputs: Any, output: Any) -> Probe:
    where = getattr(inputs, "address", inputs)
    far = world.life.fleet.hosts[where.host]
    if not far.is_reachable:
        return unknown("no connection")
    return OK if output.container_id in far.running else changed("container is exited")


def of_stop(world: Any, inputs: Any, output: Any) -> Probe:
    found = of_container(world, inputs, output)
    return changed("container runs") if found is OK else OK


async def program(host: str, container: str, given: Any, **more: Any) -> int:
    """`detached.run`."""
    life = LIFE[0]
    fleet = life.fleet
    await asyncio.sleep(0.1)
    life.reach(host)
    if container not in fleet.hosts[host].running:
        raise NotRunning("container is not running")
    found = fleet.begin(host, container, given.folder)
    fleet.enter(found)
    try:
        while life.loop.now < found.ends and not found.is_cut:
            await asyncio.sleep(min(60.0, found.ends - life.loop.now))
            life.reach(host)
    finally:
        fleet.leave(found)
    if found.is_cut:
        raise detached.Cut("it was killed from outside")
    return found.code


async def verified(world: Any, where: Any, *args: Any, **more: Any) -> int:
    """`shell.run`, of a verify."""
    await asyncio.sleep(world.life.fleet.rng.uniform(*VERIFY_S))
    world.life.reach(where.host)
    return 0


async def room(host: str, _: object) -> docker_room.Room:
    return docker_room.Room(disk=LIFE[0].fleet.hosts[host].free_disk)


async def joined(_: Any, oids: Any, *, message: str) -> str:
    await asyncio.sleep(0.03)
    return oid(*oids)


LIFE: list[Life] = []
"""The one that goes on."""


async def base(*_: Any) -> Base:
    return Base(branch="main", oid=oid("main"))


async def snapshots(_: Any, pod_id: str) -> list[git_trash.Snapshot]:
    return LIFE[0].taken.get(pod_id, [])


async def made_on(_: Any, snapshot: str) -> dict[str, str]:
    return {"tip": oid("tip", snapshot)}


async def nothing(*args: Any, **more: Any) -> None:
    return None


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """Inside, the outermost parts are those of this module."""
    clock = SimpleNamespace(time=lambda: LIFE[0].clock(), monotonic=lambda: LIFE[0].loop.now)
    with pytest.MonkeyPatch.context() as patch:
        for module in (batch_run, batch_pods, batch_state, task_work):
            patch.setattr(module, "time", clock)
        patch.setattr(threads, "call", inline)
        patch.setattr(git, "reopen", lambda *_: None)
        patch.setattr(git, "is_ancestor", lambda *_: True)
        patch.setattr(git, "ahead_behind", lambda *_: (1, 0))
        patch.setattr(git_content, "tree_of", lambda _, commit: oid("tree", commit))
        patch.setattr(git_join, "join", joined)
        patch.setattr(git_trash, "snapshots", snapshots)
        patch.setattr(git_snapshot, "about", made_on)
        patch.setattr(requests, "base", base)
        patch.setattr(initialize, "before", nothing)
        patch.setattr(requests, "dev_config", nothing)
        patch.setattr(requests, "consented", nothing)
        patch.setattr(sign_in.Once, "found", nothing)
        patch.setattr(create, "make", make)
        patch.setattr(stop, "stopped", stopped)
        patch.setattr(docker_room, "of", room)
        patch.setattr(detached, "run", program)
        patch.setattr(shell, "run", verified)
        steps: dict[Any, tuple[Any, Any]] = {
            image: (image_run, fresh),
            tools: (tools_run, fresh),
            seed: (seed_run, fresh),
            container: (container_run, of_container),
            clone: (clone_run, of_container),
            sync: (sync_run, of_container),
            stop_task: (stop_run, of_stop),
        }
        for module, (run, check) in steps.items():
            patch.setattr(module, "run", run)
            patch.setattr(module, "check", check)
        yield
