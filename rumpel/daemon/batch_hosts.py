"""The hosts of a batch: which are away, and until they are back; which have no room left."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from rumpel import text
from rumpel.adapters import docker_room, task_group
from rumpel.adapters.docker_room import Room
from rumpel.batch.items import MAX_TASKS
from rumpel.daemon import batch_snapshots, batch_state
from rumpel.daemon.batch_pool import AWAY, LOW
from rumpel.daemon.hosts import LOCAL
from rumpel.errors import HostUnreachable, RumpelError

if TYPE_CHECKING:
    from rumpel.daemon.batch_run import BatchRun

RECONNECT_S, RECONNECT_MOST_S = 1.0, 30.0
BEGINS_S = 2.0
LOOK_S, LOOK_SOON_S = 30.0, 5.0
"""How often a host is asked for its room; one that has none, or has not told yet, sooner."""


class BatchHosts:
    """One look at each that is away, for all tasks that wait for it."""

    def __init__(self, run: BatchRun) -> None:
        self._run = run
        self._away: dict[str, asyncio.Event] = {}
        """Set once it is back."""
        self._since: dict[str, tuple[float, RumpelError]] = {}
        self.rooms: dict[str, Room] = {}
        self._begun_here, self._made_here = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def in_turn(self, host: str) -> AsyncIterator[None]:
        """While a pod is made there: the first one of this machine goes before those elsewhere.

        Its image is then moved to them; all at once, each host would build it.
        """
        if host == LOCAL:
            self._begun_here.set()
            try:
                yield
            finally:
                self._made_here.set()
            return
        if self._run.pool.load().get(LOCAL) and not self._made_here.is_set():
            try:
                async with asyncio.timeout(BEGINS_S):
                    await self._begun_here.wait()
            except TimeoutError:  # who has room here has a pod already
                self._made_here.set()
            await self._made_here.wait()
        yield

    async def reach(self) -> None:
        """Those that answer get the tasks. Raises HostUnreachable when none does."""
        run, hosts = self._run, list(self._run.pool.load())
        tries = await asyncio.gather(*map(run.app.host, hosts), return_exceptions=True)
        problems = [one for one in tries if isinstance(one, BaseException)]
        if len(problems) == len(hosts):
            raise problems[0]
        for host, problem in zip(hosts, tries, strict=True):
            if isinstance(problem, BaseException):
                if not isinstance(problem, RumpelError):
                    raise problem
                self.lost(host, problem)
                run.asked.client.warn(f"{problem.message}: it gets no tasks")
        await self.look()

    def lost(self, host: str, problem: RumpelError) -> None:
        """It gets no tasks until it answers again."""
        if host not in self._away:
            run = self._run
            self._away[host] = asyncio.Event()
            self._since[host] = (asyncio.get_running_loop().time(), problem)
            run.pool.close_host(host, AWAY, problem.message)
            run.app.background.spawn(self._until_back(host), f"host {host} of batch {run.name}")

    def why(self, host: str) -> RumpelError | None:
        """It is away."""
        return self._since[host][1] if host in self._since else None

    async def back(self, host: str, *, may_move: bool) -> bool:
        """Until it is, if it is away. False: its tasks may go on elsewhere."""
        found = self._away.get(host)
        if found is None:
            return True
        move_s = self._run.batch.concurrency.rule_of(host).move_s
        if move_s is None or not may_move:
            await found.wait()
            return True
        try:
            async with asyncio.timeout_at(self._since[host][0] + move_s):
                await found.wait()
        except TimeoutError:
            return False
        return True

    async def watch(self) -> None:
        """While the batch runs."""
        async with task_group.opened() as both:
            both.create_task(batch_snapshots.watch(self._run))
            both.create_task(self._watch_room())

    async def _watch_room(self) -> None:
        """Hosts that are low get no new tasks until they have room again."""
        while True:
            unknown = any(room == Room() for room in self.rooms.values())
            await asyncio.sleep(LOOK_SOON_S if unknown or self._run.pool.closed() else LOOK_S)
            if self._run.pool.is_waited_for():
                await self.look()

    async def look(self) -> None:
        hosts = [host for host in self._run.pool.load() if not self._run.pool.is_away(host)]
        rooms = await asyncio.gather(*map(self._room, hosts))
        for host, room in zip(hosts, rooms, strict=True):
            self.rooms[host] = room
            if why := self._lacking(host, room):
                self._run.pool.close_host(host, LOW, why)
            else:
                self._run.pool.open_host(host, LOW)
        self._tell_waiting()

    async def _room(self, name: str) -> Room:
        run = self._run
        try:
            host = await run.app.host(name)
        except RumpelError:
            return Room()
        gateway = run.app.links.repo(run.repo).gateway(name)
        return await docker_room.of(host, None if gateway is None else gateway.container_id)

    def _lacking(self, host: str, room: Room) -> str:
        """Empty where nobody knows: `rooms` says so."""
        rule = self._run.batch.concurrency.rule_of(host)
        pairs = (("disk", room.disk, rule.min_disk), ("memory", room.memory, rule.min_memory))
        return "; ".join(
            f"{host} has {text.size(free)} of {what} free, less than min_{what} {text.size(least)}"
            for what, free, least in pairs
            if free is not None and free < least
        )

    def rows(self) -> list[dict[str, Any]]:
        """For `status` and `check`: what is known of each."""
        closed = self._run.pool.closed()
        return [
            {
                "host": host,
                "pods": pods,
                "slots": self._run.pool.slots(host),
                "free_disk": self.rooms.get(host, Room()).disk,
                "free_memory": self.rooms.get(host, Room()).memory,
                "gets_tasks": host not in closed,
                "why": closed.get(host),
            }
            for host, pods in self._run.pool.load().items()
        ]

    async def _until_back(self, host: str) -> None:
        run, pause_s = self._run, RECONNECT_S
        while not run.ended.is_set():
            await asyncio.sleep(pause_s)  # also the first time: it may fail again at once
            try:
                await run.app.host(host)
            except HostUnreachable:
                pause_s = min(2 * pause_s, RECONNECT_MOST_S)
                continue
            del self._since[host]
            self._away.pop(host).set()
            run.pool.open_host(host, AWAY)
            return

    def _tell_waiting(self) -> None:
        """Those that wait for room learn why some host gives none."""
        why = "; ".join(self._run.pool.closed().values())
        for state in self._run.states.values():
            said = f"waiting for room: {why}" if why else "waiting for room"
            is_told = state.said.startswith("waiting for room")
            if state.state == batch_state.QUEUED and state.said != said and (why or is_told):
                state.say(said)
                self._run.touch(state.name)

    def limit_agents(self) -> None:
        """As the file says; an agent that it says nothing of, as other batches do that run."""
        run = self._run
        limits, runs = run.batch.concurrency.agents, run.app.batches.runs.values()
        others = any(one is not run and not one.ended.is_set() for one in runs)
        for name in {state.item.agent for state in run.states.values()}:
            if name and (name in limits or not others):
                run.app.engine.resize(f"agent:{name}", limits.get(name, MAX_TASKS))
