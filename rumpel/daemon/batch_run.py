"""A batch that runs: its graph, who follows it, and what becomes of each task.

It belongs to the daemon: whoever began it may leave. A daemon that is killed leaves the agents at
work; the same request finds them again (`tasks.task_work`).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rumpel import agents
from rumpel.batch import order
from rumpel.daemon import batch_claims, batch_file, batch_pods, batch_state, requests, sign_in
from rumpel.daemon.batch_client import TaskClient
from rumpel.daemon.batch_hosts import BatchHosts
from rumpel.daemon.batch_pool import Pool
from rumpel.daemon.batch_state import State
from rumpel.daemon.nodes import place_of
from rumpel.daemon.pods import Pod
from rumpel.daemon.requests import Base
from rumpel.daemon.times import iso
from rumpel.engine.events import Event, EventKind
from rumpel.engine.plan import Verdict
from rumpel.errors import RumpelError
from rumpel.graphs import batch as batch_graph
from rumpel.graphs.batch import Task, node_id
from rumpel.tasks import task_leave, task_verify, task_work
from rumpel.tasks.task_work import unfit

if TYPE_CHECKING:
    from rumpel.batch.items import Batch
    from rumpel.cache.records import Record
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target
    from rumpel.devcontainer.consent import Effect
    from rumpel.engine.graph import Graph

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a batch was begun with."""

    batch: Batch
    file: str
    client: Client
    where: Target
    cwd: str = ""  # of `file`
    retry: frozenset[str] = frozenset()
    """Tasks that failed, to be tried again."""
    effects: tuple[Effect, ...] = ()
    """Of the file, on this machine: to be agreed to."""


class BatchRun:
    """From `begin` to `ended`."""

    def __init__(self, app: App, asked: Asked) -> None:
        self.app, self.asked = app, asked
        self.batch, self.where = asked.batch, asked.where
        self.repo = asked.where.ref
        self.states: dict[str, State] = {}
        self.cancelled = asyncio.Event()
        self.ended = asyncio.Event()
        self.changed = asyncio.Event()
        """Set at each change, and another one from then on."""
        self.version = 0
        self._touched: dict[str, int] = {}
        limits = asked.batch.concurrency
        self.pool = Pool(
            limits.hosts or {asked.where.host: limits.per_host}, limits.total, limits.agents
        )
        self.hosts = BatchHosts(self)
        self.ranks = {name: at for at, name in enumerate(asked.batch.items)}
        self._signed: dict[str, sign_in.Once] = {}
        self._passes: set[asyncio.Task[None]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._failures: set[tuple[str, int]] = set()
        """(task, try)."""
        self._left: set[str] = set()  # what an earlier daemon did not come to leave
        self.began = time.time()

    @property
    def name(self) -> str:
        return self.batch.name

    async def prepare(self) -> None:
        """Who is to be asked is asked now, and nothing is begun when something is missing.

        Raises RumpelError.
        """
        app, client = self.app, self.asked.client
        await requests.agreed(app.store, self.where, client, self.asked.effects)
        if not self.batch.concurrency.hosts:
            await requests.consented_host(app.store, self.where, client, may_ask=True)
        await self.look()
        for name in self.states:
            batch_pods.own_pod(self, name)
        for name in self.open_agents():
            await self.signed(name).found()
        await batch_pods.agree(self)
        await self.hosts.reach()
        self.hosts.limit_agents()
        batch_pods.hold(self)

    async def look(self) -> None:
        """What is known of each task. Raises NotFound for a base that is not there."""
        app = self.app
        bases: dict[str | None, Base] = {None: await requests.base(self.where, None)}
        for item in self.batch.items.values():
            claim = batch_claims.read(app.store, self.repo.repo_id, self.name, item.name)
            if claim.at == 0.0 or claim.wanted != item.base:
                if item.base not in bases:
                    bases[item.base] = await batch_file.base(self.where, item)
                own = bases[item.base]
                claim.base, claim.branch, claim.wanted = own.oid, own.branch, item.base
            if item.name in self.asked.retry:
                claim.attempt += 1
            self.states[item.name] = State(item=item, claim=claim)
            batch_state.judge(app.store, self.repo.repo_id, self.states[item.name])

    def open_agents(self) -> list[str]:
        found = (
            state.item.agent
            for state in self.states.values()
            if state.state != batch_state.DONE and state.item.agent
        )
        return list(dict.fromkeys(found))

    def signed(self, agent: str) -> sign_in.Once:
        once = self._signed.get(agent)
        if once is None:
            client, settings = self.asked.client, self.where.settings
            once = sign_in.Once(self.app, client, agents.get(agent), settings)
            self._signed[agent] = once
        return once

    async def run(self) -> None:
        """To its end; never raises for what becomes of a task."""
        watching = self.app.background.spawn(self.hosts.watch(), f"hosts of {self.name}")
        try:
            for state in self.states.values():
                if state.state == batch_state.DONE:
                    self._leave_if_there(state)
            if not self.cancelled.is_set():  # while somebody was asked
                self._begin_pass(self.batch.items)
            while self._passes or self._leaving:
                await asyncio.wait(self._passes | self._leaving)
            ended = [one for one in self.states.values() if one.state == batch_state.CANCELLED]
            await asyncio.gather(*(batch_pods.leave(self, one.name) for one in ended if one.host))
            if any(state.state == batch_state.FAILED for state in self.states.values()):
                await self.hosts.look()  # a full disk may be why
        finally:
            watching.cancel()
            for state in self.states.values():
                if state.state in batch_state.OPEN:
                    state.state = batch_state.INTERRUPTED
            self.ended.set()
            self._tell()

    def graph(self, names: Iterable[str] | None = None) -> Graph:
        """Of these tasks, with those that are done without their pods."""
        tasks = self._tasks(names)
        return batch_graph.batch(self.repo, self.name, tasks, done=self._done(tasks))

    def done(self) -> set[str]:
        """Those whose work and verification hold."""
        return self._done(self._tasks(None))

    def _done(self, tasks: list[Task]) -> set[str]:
        names = [task.name for task in tasks]
        plan = self.app.engine.plan(batch_graph.batch(self.repo, self.name, tasks, done=names))
        return {name for name in names if plan.nodes[self._last(name)].verdict is Verdict.FRESH}

    def _tasks(self, names: Iterable[str] | None) -> list[Task]:
        return [self._task(self.states[name]) for name in order.ordered(self.batch.items, names)]

    def settled(self) -> set[str]:
        """Those that failed, are not to be tried again, and say what they said then; with theirs:
        nothing is begun for them.
        """
        found: set[str] = set()
        for name in order.ordered(self.batch.items):
            state = self.states[name]
            if not found.isdisjoint(state.item.needs) or self._is_settled(state):
                found.add(name)
        return found

    def row(self) -> dict[str, Any]:
        rows = [state.row() for state in self.states.values()]
        return {
            "name": self.name,
            "file": self.asked.file,
            "is_running": not self.ended.is_set(),
            "started_at": iso(self.began),
            "hosts": self.hosts.rows(),
            "tasks": rows,
        }

    def news(self, since: int) -> list[dict[str, Any]]:
        """Rows of the tasks that changed after `since`."""
        return [self.states[name].row() for name, at in self._touched.items() if at > since]

    # What the steps ask for (`daemon.batches`).

    def pod(self, name: str) -> Pod:
        """Raises NotFound."""
        return self.app.pods.get(self.repo.repo_id, self.states[name].pod)

    def record(self, kind: str, name: str) -> Record | None:
        return self.app.store.records.get(self._id(kind, name))

    def client(self, name: str, verb: str, args: Mapping[str, Any]) -> TaskClient:
        return TaskClient(
            self.asked.client,
            verb,
            args,
            hear=functools.partial(self._told, name),
            on_event=functools.partial(self._inner, name),
            cancelled=self.cancelled,
        )

    def cancel(self) -> None:
        self.cancelled.set()
        for one in self._passes:
            one.cancel()

    # The passes: one over all of it, one more for each task that is tried again.

    def _begin_pass(self, names: Iterable[str]) -> None:
        task = self.app.background.spawn(self._pass(list(names)), f"batch {self.name}")
        self._passes.add(task)
        task.add_done_callback(self._passes.discard)

    async def _pass(self, names: list[str]) -> None:
        settled = self.settled()
        for name in settled:
            if self.states[name].state != batch_state.FAILED:
                self.states[name].state = batch_state.SKIPPED
                self.touch(name)
            self._leave_if_there(self.states[name])
        graph = self.graph([name for name in names if name not in settled])
        if not graph.nodes:
            return
        handle = self.app.engine.open_run()
        tries = {name: state.claim.attempt for name, state in self.states.items()}
        hear = functools.partial(self._hear, tries)
        await self.app.runner.follow(graph, handle, emit=hear)

    def _hear(self, tries: Mapping[str, int], event: Event) -> None:
        """`tries`: which try of each task the pass is about. Several have a task that is needed
        by what each is for, and each tells how it ended: it has failed once all the same.
        """
        place = place_of(event.node_id)
        state = self.states.get(place.pod or "")
        if state is None or tries[state.name] != state.claim.attempt:
            return
        kind, is_open = event.kind, state.state in batch_state.OPEN
        if kind is EventKind.RUNNING:
            state.began_step(place.kind)
        elif kind in (EventKind.OK, EventKind.CACHED):
            self._ok(place.kind, state, is_cached=kind is EventKind.CACHED)
        elif kind in (EventKind.FAILED, EventKind.BLOCKED) and event.error is not None:
            self._failed(place.kind, state, event.error)
        elif kind is EventKind.UPSTREAM_FAILED and is_open:
            state.state = batch_state.SKIPPED
            self._leave_if_there(state)
        elif kind is EventKind.CANCELLED and is_open:
            by_user = self.cancelled.is_set()
            state.state = batch_state.CANCELLED if by_user else batch_state.INTERRUPTED
        elif kind is EventKind.LOG and not state.item.agent:
            state.say(event.text)
        else:
            return
        self.touch(state.name)

    def _ok(self, kind: str, state: State, *, is_cached: bool) -> None:
        if kind == task_work.KIND:
            record = self.app.store.records[self._id(kind, state.name)]
            state.worked(record.output or {}, record.updated_at if is_cached else None)
            self.pool.worked(state.name)
        if kind == task_verify.KIND:
            state.verify = "passed"
        if kind == (task_verify.KIND if state.item.verify else task_work.KIND):
            state.done(is_cached=is_cached)

    def _failed(self, kind: str, state: State, error: RumpelError) -> None:
        if kind == task_leave.KIND:  # its work is done all the same
            log.warning("batch %s: pod %s: %s", self.name, state.name, error.message)
            return
        state.failed(kind, error)
        this = (state.name, state.claim.attempt)
        if not self._may_retry(state):
            self._later(batch_pods.leave(self, state.name))
        elif this not in self._failures:
            self._failures.add(this)
            self._later(self._again(state.name))

    def _leave_if_there(self, state: State) -> None:
        """The last daemon did not come to it."""
        if not state.claim.is_left and state.name not in self._left:
            self._left.add(state.name)
            self._later(batch_pods.leave(self, state.name))

    def _may_retry(self, state: State) -> bool:
        is_left = state.claim.attempt <= state.item.retries and not self.cancelled.is_set()
        return is_left and state.error is not None and unfit(state.error)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """The batch ends after it."""
        task = self.app.background.spawn(work, "end of a task")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _again(self, name: str) -> None:
        state = self.states[name]
        state.claim.attempt += 1
        await self.write(state)
        state.again()
        behind = order.behind(self.batch.items, name)
        for other in (self.states[one] for one in behind):
            if other.state == batch_state.SKIPPED:
                other.state = batch_state.WAITING
                self.touch(other.name)
        self.touch(name)
        self._begin_pass([name, *behind])

    # What it is told.

    def _told(self, name: str, message: Mapping[str, object]) -> None:
        state, said = self.states[name], message.get("said")
        if message.get("event") == "said" and isinstance(said, dict):
            if said.get("kind") == "usage":
                state.spend(said)
            state.say(str(message.get("line") or ""))
            self.touch(name)

    def _inner(self, name: str, event: Event) -> None:
        """A step of its pod."""
        if event.kind in (EventKind.RUNNING, EventKind.LOG) and event.node_id:
            self.states[name].say(event.text or event.title)
            self.touch(name)

    def touch(self, name: str) -> None:
        self.version += 1
        self._touched[name] = self.version
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    # Which tasks, and what of them.

    def _task(self, state: State) -> Task:
        item, claim = state.item, state.claim
        return Task(
            name=item.name,
            digest=batch_claims.work_digest(item),
            around=batch_claims.around_digest(item),
            base=claim.base,
            agent=item.agent,
            title=f"Running {agents.title(item.agent)}" if item.agent else "Running the command",
            needs=item.needs,
            verify=item.verify,
            attempt=claim.attempt,
        )

    def _last(self, name: str) -> str:
        kind = task_verify.KIND if self.batch.items[name].verify else task_work.KIND
        return self._id(kind, name)

    def _id(self, kind: str, name: str) -> str:
        return node_id(kind, self.repo.repo_id, name)

    def _is_settled(self, state: State) -> bool:
        store, repo_id = self.app.store, self.repo.repo_id
        is_asked = state.name in self.asked.retry or state.state != batch_state.FAILED
        return not is_asked and batch_claims.is_settled(store, repo_id, state.item, state.claim)

    async def write(self, state: State) -> None:
        state.claim.said = batch_claims.work_digest(state.item)
        store, repo_id = self.app.store, self.repo.repo_id
        await batch_claims.write(store, repo_id, self.name, state.name, state.claim)
