"""A task of a batch takes its place in its pod: signed in, alone, with all it is to be told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rumpel import agents
from rumpel.daemon import agent_start, at_work, batch_base, headless, lent, sessions
from rumpel.daemon import agents as agents_verb
from rumpel.daemon.agent_start import Start
from rumpel.daemon.agent_states import DONE, FAILED, WORKING
from rumpel.daemon.batch_state import SPENT
from rumpel.errors import RumpelError
from rumpel.graphs.ids import address
from rumpel.tasks import shell, task_verify, task_work
from rumpel.tasks.batching import Seated

if TYPE_CHECKING:
    from rumpel.batch.items import Item
    from rumpel.config import Settings
    from rumpel.daemon.app import App
    from rumpel.daemon.batch_run import BatchRun
    from rumpel.daemon.batch_state import State
    from rumpel.daemon.client import Client
    from rumpel.daemon.pods import Pod

LAST_LOOK_S = 5.0
"""For work whose time was over before this daemon began: it may have come to its end."""
MOST_TAIL_CHARS = 4000
AGAIN = """

You worked on this task before: see `git log`. It is not done, since this command fails:

{verify}

It printed at the end:

{tail}
"""
GO_ON = "Go on with your task: the machine you work on was restarted in between."


@contextlib.asynccontextmanager
async def seat(
    app: App,
    run: BatchRun,
    task: str,
    *,
    token: str,
    folder: str,
    goes_on: bool,
    is_anew: bool = False,
) -> AsyncIterator[Seated]:
    """`tasks.batching.Batches.seat`."""
    pod, item = run.pod(task), run.states[task].item
    limit_s = float(item.limits.time_s or headless.MOST_S)
    timeout_s = await _left(run, task, folder, limit_s)
    if not item.agent:
        seat = await shell_of(app, run, task)
        argv = ("/bin/sh", "-c", item.command)
        with app.inside(pod.pod_id):
            yield replace(seat, argv=argv, timeout_s=timeout_s, limit_s=limit_s)
        return
    async with AsyncExitStack() as stack:
        work = await _work(app, run, task, stack, token=token, goes_on=goes_on)
        version = await agent_start.installed(work.begin, work.found.platform, is_anew=is_anew)
        inputs = await headless.inputs_of(
            work, version, folder=f"{work.where.cwd}/{folder}", env=item.env
        )
        async with _telling(app, pod, item.agent):
            yield Seated(
                address=address(pod.spec),
                where=work.where,
                env=inputs.env,
                agent=replace(inputs, timeout_s=timeout_s, tokens=item.limits.tokens),
            )


async def _left(run: BatchRun, task: str, folder: str, limit_s: float) -> float:
    """Of the seconds it may take since its work in `folder` was begun, by whichever daemon."""
    state, now = run.states[task], time.time()
    if batch_base.token_of(state.claim.clock) != batch_base.token_of(folder):
        await batch_base.end_work(run, task, run.pod(task))
        _count(run, state)
    if state.claim.clock != folder:
        state.claim.clock, state.claim.clock_at = folder, now
        await run.write(state)
    gone_s = max(0.0, now - state.claim.clock_at)
    return max(limit_s - gone_s, LAST_LOOK_S)


async def _work(
    app: App, run: BatchRun, task: str, stack: AsyncExitStack, *, token: str, goes_on: bool
) -> headless.Work:
    pod, item = run.pod(task), run.states[task].item
    run.states[task].unspend()  # it is heard from its beginning
    agent, where = agents.get(item.agent), sessions.where_of(app, pod)
    args = {
        "name": pod.name,
        "agent": agent.name,
        "argv": ("--model", item.model) if item.model else (),
        "continue": goes_on,
        "prompt": GO_ON if goes_on else item.prompt + _why_again(run, item),
        "turns": item.limits.turns,
        "dollars": None if item.limits.dollars is None else f"{item.limits.dollars:g}",
        "timeout_s": item.limits.time_s,
    }
    way = headless.way_of(agent, args)
    client = run.client(task, "run", args)
    await agents_verb.give_home(app, pod, where)
    stack.callback(app.lending.ended, pod.pod_id, agent.name)
    stack.enter_context(app.lending.starting(pod.pod_id, agent.name))
    async with app.links.agents.alone(pod.pod_id):
        begun = at_work.begun(app, pod, agent.name, token=token)
        await stack.enter_async_context(begun)
        found = await sessions.look(app, where, agent)
    settings = run.where.settings
    return headless.Work(
        begin=Start(app=app, client=client, pod=pod, agent=agent, settings=settings),
        way=way,
        where=where,
        found=found,
        token=token,
        signed=await run.signed(agent.name).lent(pod),
        before={},
    )


def _count(run: BatchRun, state: State) -> None:
    """What the try before this one took, in money too, does not get lost with its record."""
    record = run.record(task_work.KIND, state.name)
    if record is None or not state.claim.clock:
        return
    said: Any = record.output or {}
    if record.failure is not None:
        said = ((record.failure.get("error") or {}).get("details") or {}).get("run") or {}
    spent = state.claim.spent
    for name in SPENT:
        if said.get(name) is not None:
            spent[name] = spent.get(name, 0) + said[name]


def _why_again(run: BatchRun, item: Item) -> str:
    """For one whose last work did not pass: else it would do the same."""
    work, verify = run.record(task_work.KIND, item.name), run.record(task_verify.KIND, item.name)
    if work is None or verify is None or work.failure is not None or verify.failure is None:
        return ""
    failure = verify.failure
    if failure.get("state") != "failed" or float(failure.get("at") or 0) < work.updated_at:
        return ""
    error = failure.get("error") or {}
    tail = str((error.get("details") or {}).get("tail") or error.get("message") or "")
    return AGAIN.format(verify=item.verify.strip(), tail=tail[-MOST_TAIL_CHARS:])


@contextlib.asynccontextmanager
async def _telling(app: App, pod: Pod, agent: str) -> AsyncIterator[None]:
    """`rumpel list` shows what it is doing."""
    states, where = app.links.agents, address(pod.spec)
    states.said(where, agent, WORKING, is_new=True)
    try:
        yield
    except RumpelError as error:
        if task_work.unfit(error):
            states.said(where, agent, FAILED)
        raise
    states.said(where, agent, DONE)


async def shell_of(app: App, run: BatchRun, task: str) -> Seated:
    """A command with the environment of a shell in the pod."""
    client = run.client(task, "enter", {"name": run.states[task].pod})
    item = run.states[task].item
    return await shell_in(app, client, run.where.settings, run.pod(task), item)


async def shell_in(app: App, client: Client, settings: Settings, pod: Pod, item: Item) -> Seated:
    """The same, outside of a batch that runs."""
    where = sessions.where_of(app, pod)
    env = await shell.environment(
        app.world, where, probe=pod.spec.env_probe, remote_env=pod.spec.remote_env
    )
    env = await lent.environment(app, client, pod, settings, env)
    return Seated(
        address=address(pod.spec),
        where=where,
        env={**env, **item.env},
        agent=None,
    )
