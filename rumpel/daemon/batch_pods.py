"""The pods of a batch: made once there is room, had again when their host is back, stopped."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rumpel.adapters import threads
from rumpel.batch import files
from rumpel.daemon import batch_claims, batch_state, create, sessions, stop
from rumpel.daemon.requests import Base
from rumpel.errors import CommandFailed, HostUnreachable, NotFound, RumpelError
from rumpel.tasks.batching import Ready

if TYPE_CHECKING:
    from rumpel.batch.items import Item
    from rumpel.daemon.batch_run import BatchRun
    from rumpel.daemon.pods import Pod
    from rumpel.daemon.requests import Target

RECONNECT_S, RECONNECT_MOST_S = 1.0, 30.0
FILES_TIMEOUT_S = 300.0


async def reach(run: BatchRun) -> None:
    """The hosts that answer get the tasks. Raises HostUnreachable when none does."""
    hosts = list(run.pool.load())
    tries = await asyncio.gather(*map(run.app.host, hosts), return_exceptions=True)
    problems = [one for one in tries if isinstance(one, BaseException)]
    if len(problems) == len(hosts):
        raise problems[0]
    for host, problem in zip(hosts, tries, strict=True):
        if isinstance(problem, BaseException):
            if not isinstance(problem, RumpelError):
                raise problem
            run.pool.close_host(host)
            run.app.background.spawn(_reopen(run, host), f"host {host} of batch {run.name}")
            run.asked.client.warn(f"{problem.message}: it gets no tasks")


async def _reopen(run: BatchRun, host: str) -> None:
    while not run.ended.is_set():
        await asyncio.sleep(RECONNECT_MOST_S)
        try:
            await run.app.host(host)
        except HostUnreachable:
            continue
        run.pool.close_host(host, is_closed=False)
        return


async def make(run: BatchRun, name: str, oid: str | None) -> Ready:
    app, state = run.app, run.states[name]
    pod = own_pod(run, name)
    wanted = state.item.host if pod is None else pod.spec.host
    hosts = None if wanted is None else frozenset({wanted})
    if wanted is not None:
        run.pool.admit(wanted, run.batch.concurrency.per_host)
    host = await run.pool.take(name, run.ranks[name], hosts)
    state.state, state.host, state.began = batch_state.STARTING, host, time.time()
    run.touch(name)
    state.claim.at = state.claim.at or time.time()
    await run.write(state)
    client = run.client(name, "create", {"names": (name,)})
    start, where = Base(branch=state.claim.branch, oid=oid), _at(run, host)
    outcome = await create.make(app, client, where, [name], start=start, crowd=_crowd(run))
    for error in outcome.errors.values():
        raise error
    made = outcome.pods[name]
    state.claim.pod_id = made.pod_id
    await run.write(state)
    access = app.pods.access(made.spec)
    if access is None:
        raise NotFound(f"pod {name!r} has no container")
    if state.item.files:
        await _bring(run, state.item, made)
    return Ready(host=made.spec.host, pod_id=made.pod_id, container_id=access.container_id)


async def _bring(run: BatchRun, item: Item, pod: Pod) -> None:
    """Its files, by the pod's own user: again each time, since it may be a new container."""
    where = sessions.where_of(run.app, pod)
    data = await threads.call(files.packed, item.files, where.cwd)
    done = await run.app.world.host(where.host).exec_run(
        where.container_id,
        ["tar", "-x", "-o", "-f", "-", "-C", "/"],
        user=where.user,
        cwd="/",
        input=data,
        timeout_s=FILES_TIMEOUT_S,
    )
    if done.code != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise CommandFailed(f"the files of task {item.name} could not be put into its pod: {said}")


async def back(run: BatchRun, name: str, oid: str | None) -> None:
    """Its host was lost: until it answers again, and its pod runs."""
    pause_s, host = RECONNECT_S, run.states[name].host
    while True:
        await asyncio.sleep(pause_s)  # also the first time: it may fail again at once
        try:
            await run.app.host(host)
            await make(run, name, oid)
            return
        except HostUnreachable as error:
            run.states[name].say(f"{error.message}: waiting for it")
            run.touch(name)
            pause_s = min(2 * pause_s, RECONNECT_MOST_S)


async def leave(run: BatchRun, name: str) -> None:
    """Its pod stops; the next one may come, also when it does not."""
    try:
        if not run.states[name].item.keep:
            pod = run.app.pods.find(run.repo.repo_id, name)
            if pod is not None:
                client = run.client(name, "stop", {"names": (name,)})
                client.cancelled = asyncio.Event()  # this is what a cancelled batch does last
                await stop.stopped(run.app, client, [pod], errors={})
    finally:
        run.pool.release(name)


def _at(run: BatchRun, host: str) -> Target:
    """The repository, with new pods there."""
    settings = run.where.settings
    values = {**settings.values, "host": host}
    origins = {**settings.origins, "host": "batch file"} if run.batch.concurrency.hosts else {}
    moved = replace(settings, values=values, origins=origins or settings.origins)
    return replace(run.where, settings=moved)


def _crowd(run: BatchRun) -> int:
    """How many more pods are still to be made from the host's commits."""
    early = (batch_state.WAITING, batch_state.QUEUED)
    return sum(state.state in early and not state.item.needs for state in run.states.values())


def own_pod(run: BatchRun, name: str) -> Pod | None:
    """Its pod, if there is one. Raises Conflict when it is somebody else's."""
    pod = run.app.pods.find(run.repo.repo_id, name)
    if pod is not None and run.states[name].state != batch_state.DONE:
        batch_claims.check_own(run.states[name].claim, pod)
    return pod
