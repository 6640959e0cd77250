"""The pods of a batch: made once there is room, had again when their host is back, stopped."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from rumpel.adapters import pod_exclude, threads
from rumpel.batch import files
from rumpel.daemon import (
    batch_base,
    batch_claims,
    batch_move,
    batch_state,
    copied_in,
    create,
    initialize,
    pending,
    requests,
    sessions,
    stop,
)
from rumpel.daemon.batch_pool import Wish
from rumpel.daemon.requests import Base
from rumpel.errors import CommandFailed, HostUnreachable, NotFound, RumpelError
from rumpel.tasks.batching import Ready

if TYPE_CHECKING:
    from rumpel.batch.items import Item
    from rumpel.daemon.batch_run import BatchRun
    from rumpel.daemon.batch_state import State
    from rumpel.daemon.pods import Pod
    from rumpel.daemon.requests import Target

FILES_TIMEOUT_S = 300.0


async def agree(run: BatchRun) -> None:
    """To what the configuration of all pods does to this machine; its own command runs once."""
    first, client = next(iter(run.batch.items)), run.asked.client
    await initialize.before(run.app, client, run.where)
    await copied_in.agree(run.app, client, run.where)
    dev = await requests.dev_config(run.where, client, pod=first, pod_id="batch")
    await requests.consented(run.app.store, run.where, client, dev)


async def make(run: BatchRun, name: str, oid: str | None) -> Ready:
    """Its pod, running, once there is room for it; and its host, when that is away."""
    asked_at = time.time()
    while True:
        pod = own_pod(run, name)
        if pod is not None and run.hosts.why(pod.spec.host) is not None:
            oid = await _until_back(run, name, oid, run.hosts.why(pod.spec.host))
            continue
        host = await _room(run, name, pod)
        try:
            ready = await _made(run, name, oid, host)
            waited_s = max(0.0, run.states[name].began - asked_at)
            return replace(ready, waited_s=round(waited_s, 3))
        except HostUnreachable as error:
            run.hosts.lost(host, error)
            if own_pod(run, name) is None:  # nothing is there: another host will do
                run.pool.release(name)
                run.states[name].state = batch_state.QUEUED
                continue
            oid = await _until_back(run, name, oid, error)


async def _until_back(
    run: BatchRun, name: str, oid: str | None, problem: RumpelError | None
) -> str | None:
    """Of its pod's host; or its pod is let go. What the next one starts from."""
    pod = own_pod(run, name)
    if pod is None:
        return oid
    if problem is not None:
        run.states[name].say(f"{problem.message}: waiting for it")
        run.touch(name)
    may_move = run.states[name].item.host is None
    if await run.hosts.back(pod.spec.host, may_move=may_move):
        return oid
    return await batch_move.move(run, name, pod, oid)


async def _room(run: BatchRun, name: str, pod: Pod | None) -> str:
    """The host it gets room on."""
    item = run.states[name].item
    wanted = item.host if pod is None else pod.spec.host
    if wanted is not None:
        run.pool.admit(wanted, run.batch.concurrency.per_host)
    hosts = None if wanted is None else frozenset({wanted})
    wish = Wish(agent=item.agent, hosts=hosts, is_new=pod is None)
    return await run.pool.take(name, run.ranks[name], wish)


def hold(run: BatchRun) -> None:
    """Whoever was there when the last daemon ended is so still, and has its room."""
    for name, state in run.states.items():
        pod = None if state.claim.is_left else run.app.pods.find(run.repo.repo_id, state.pod)
        if pod is not None:
            run.pool.admit(pod.spec.host, run.batch.concurrency.per_host)
            run.pool.hold(name, pod.spec.host, state.item.agent)


async def _made(run: BatchRun, name: str, oid: str | None, host: str) -> Ready:
    app, state = run.app, run.states[name]
    state.state, state.host, state.began = batch_state.STARTING, host, time.time()
    run.touch(name)
    state.claim.at, state.claim.is_left = state.claim.at or time.time(), False
    await run.write(state)
    client = run.client(name, "create", {"names": (state.pod,)})
    start, where = Base(branch=state.claim.branch, oid=oid), _at(run, host)
    async with run.hosts.in_turn(host):
        outcome = await create.make(
            app, client, where, [state.pod], start=start, crowd=_crowd(run, name), work=_work(state)
        )
    for error in outcome.errors.values():
        raise error
    made = outcome.pods[state.pod]
    state.claim.pod_id = made.pod_id
    await run.write(state)
    access = app.pods.access(made.spec)
    if access is None:
        raise NotFound(f"pod {name!r} has no container")
    await batch_base.catch_up(run, name, oid, made)
    if state.item.files:
        await _bring(run, state.item, made)
    return Ready(host=made.spec.host, pod_id=made.pod_id, container_id=access.container_id)


async def _bring(run: BatchRun, item: Item, pod: Pod) -> None:
    """Its files, by the pod's own user: again each time, since it may be a new container."""
    where = sessions.where_of(run.app, pod)
    data = await threads.call(files.packed, item.files, where.cwd)
    lines = files.ignored(item.files).encode("utf-8", "surrogateescape")
    unpack = ["tar", "-x", "-o", "-f", "-", "-C", "/"]
    for argv, said in ((["sh", "-c", pod_exclude.IGNORE], lines), (unpack, data)):
        done = await run.app.world.host(where.host).exec_run(
            where.container_id,
            argv,
            user=where.user,
            cwd=where.cwd,
            input=said,
            timeout_s=FILES_TIMEOUT_S,
        )
        if done.code != 0:
            why = done.stderr.decode("utf-8", "replace").strip()[-300:]
            raise CommandFailed(f"task {item.name} could not be given its files: {why}")


async def back(run: BatchRun, name: str, oid: str | None, problem: RumpelError) -> None:
    """Its host was lost, or only its pod stopped: until that runs again."""
    state = run.states[name]
    if isinstance(problem, HostUnreachable):
        run.hosts.lost(state.host, problem)
    before = state.state
    state.say(f"{problem.message}: waiting for it")
    run.touch(name)
    await make(run, name, oid)
    state.state = before
    run.touch(name)


async def leave(run: BatchRun, name: str) -> None:
    """Its pod stops; the next one may come, also when it does not."""
    try:
        if not run.states[name].item.keep:
            pod = run.app.pods.find(run.repo.repo_id, run.states[name].pod)
            if pod is not None:
                client = run.client(name, "stop", {"names": (pod.name,)})
                client.cancelled = asyncio.Event()  # this is what a cancelled batch does last
                await stop.stopped(run.app, client, [pod], errors={})
        run.states[name].claim.is_left = True
        await run.write(run.states[name])
    finally:
        run.pool.release(name)


def _at(run: BatchRun, host: str) -> Target:
    """The repository, with new pods there."""
    settings = run.where.settings
    values = {**settings.values, "host": host}
    origins = {**settings.origins, "host": "batch file"} if run.batch.concurrency.hosts else {}
    moved = replace(settings, values=values, origins=origins or settings.origins)
    return replace(run.where, settings=moved)


def _work(state: State) -> pending.Taken | None:
    work = state.claim.work
    return pending.Taken(source_id=work[0], snapshot=work[1]) if work else None


def _crowd(run: BatchRun, name: str) -> int:
    """How many other pods are made from the host's commits, now or later."""
    early = (batch_state.WAITING, batch_state.QUEUED, batch_state.STARTING)
    others = (state for other, state in run.states.items() if other != name)
    return sum(state.state in early and not state.item.needs for state in others)


def own_pod(run: BatchRun, name: str) -> Pod | None:
    """Its pod, if there is one. Raises Conflict when it is somebody else's."""
    pod = run.app.pods.find(run.repo.repo_id, run.states[name].pod)
    if pod is not None and run.states[name].state != batch_state.DONE:
        batch_claims.check_own(run.states[name].claim, pod)
    return pod
