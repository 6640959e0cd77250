"""`run`: an agent does one task in a pod, without a terminal, and ends.

The run belongs to the daemon: whoever asked may leave, and only a cancel ends it. What it has
committed is on the host when its end is told, also when it failed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Any

from rumpel import agents, protocol
from rumpel.agents import headless as events
from rumpel.agents.headless import Event, Headless, Task
from rumpel.agents.model import Agent
from rumpel.daemon import agent_start, at_work, enter, requests, sessions, sign_in
from rumpel.daemon import agents as agents_verb
from rumpel.daemon.agent_start import Start
from rumpel.daemon.agent_states import DONE, ENDED, FAILED, WORKING
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.sign_in import SignIn
from rumpel.engine.execute import RunResult
from rumpel.errors import Conflict, Interrupted, NotFound, RumpelError, UsageError
from rumpel.graphs.ids import address, node_id
from rumpel.graphs.run import run as run_graph
from rumpel.tasks import agent_home, arrived, headless, shell

log = logging.getLogger(__name__)

MOST_S = 86400.0
"""For one that was given no time."""
LIMITS = {"turns": "--max-turns", "dollars": "--max-cost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One run: whose, where, and what was there before."""

    begin: Start
    way: Headless
    where: shell.Where
    found: sessions.Look
    token: str
    signed: SignIn
    before: Mapping[str, str]


async def run(app: App, client: Client) -> dict[str, object]:
    args = client.request.args
    agent, target = agents.get(args["agent"]), await requests.lenient(client)
    way = way_of(agent, args)
    signed = sign_in.Once(app, client, agent, target.settings)
    await signed.found()  # before a pod is made for nothing
    if args["continue"] and app.pods.find(target.ref.repo_id, args["name"]) is None:
        raise NotFound(
            f"there is no pod {args['name']!r} of this repository, so nothing goes on in it",
            hint="without --continue it is made, and one begins",
        )
    pod = await enter.ready(app, client, target)
    client.tell_warnings()  # before it costs something
    where = sessions.where_of(app, pod)
    await agents_verb.give_home(app, pod, where)
    settings = (await requests.target(client)).settings  # wrong ones are no hint to what to start
    async with AsyncExitStack() as stack:
        stack.callback(app.lending.ended, pod.pod_id, agent.name)
        stack.enter_context(app.lending.starting(pod.pod_id, agent.name))
        async with app.links.agents.alone(pod.pod_id):
            token = await stack.enter_async_context(at_work.begun(app, pod, agent.name))
            found = await sessions.look(app, where, agent)
            if args["continue"] and not await sessions.has_conversation(app, where, agent):
                raise NotFound(
                    f"{agent.title} has no conversation in pod {pod.name} that could go on",
                    hint="without --continue one begins",
                )
            await refuse_session(app, pod, where)
        work = Work(
            begin=Start(app=app, client=client, pod=pod, agent=agent, settings=settings),
            way=way,
            where=where,
            found=found,
            token=token,
            signed=await signed.lent(pod),
            before=dict(app.links.branches(pod.pod_id)),
        )
        return await _work(work)


def way_of(agent: Agent, args: Mapping[str, Any]) -> Headless:
    """Raises UsageError for what the agent cannot do."""
    if agent.headless is None:
        raise UsageError(
            f"{agent.title} is not run without a terminal",
            hint=f"rumpel {agent.name} -d {args['name']} -- PROMPT   gives it a task",
        )
    for limit, option in LIMITS.items():
        if args[limit] is not None and limit not in agent.headless.limits:
            raise UsageError(f"{agent.title} has no limit in {limit}: {option} is not for it")
    return agent.headless


async def refuse_session(app: App, pod: Pod, where: shell.Where) -> None:
    """Raises Conflict when an agent has a terminal in the pod."""
    for name in await sessions.alive(app, where, list(agents.AGENTS)):
        await sessions.ending(app, pod, where, name)
        if await sessions.alive(app, where, [name]):
            raise Conflict(
                f"{agents.title(name)} has a terminal in pod {pod.name} already",
                hint=f"rumpel send {pod.name} TEXT   gives it the task there",
            )


async def _work(work: Work) -> dict[str, object]:
    app, client, pod = work.begin.app, work.begin.client, work.begin.pod
    states, name = app.links.agents, work.begin.agent.name
    client.connection.is_patient = True  # who reads slowly misses some of what is said, not the end
    state = ENDED
    states.said(address(pod.spec), name, WORKING, is_new=True)
    try:
        result = await _ran(work)
        is_done = node_id(headless.KIND, pod.spec) in result.outputs
        state = DONE if is_done else FAILED
    except Interrupted as error:
        raise Interrupted(
            f"{work.begin.agent.title} was ended in pod {pod.name}; what it did so far is there",
            hint=f"rumpel review {pod.name}",
        ) from error
    finally:
        states.said(address(pod.spec), name, state)
    return await _answer(work, result)


async def _ran(work: Work) -> RunResult:
    """Once more from its installation when the record says it is there, and it is not."""
    app, client, spec = work.begin.app, work.begin.client, work.begin.pod.spec
    for is_anew in (False, True):
        version, installed = await agent_start.installing(work.begin, work.found.platform)
        graph = run_graph(spec, installed, await inputs_of(work, version), work.before)
        refresh = list(installed.nodes) if is_anew else []
        result = await app.runner.run(graph, client, refresh=refresh, is_long=True)
        error = result.errors.get(node_id(headless.KIND, spec))
        if not isinstance(error, agent_home.NotInstalled):
            break
    return result


async def inputs_of(
    work: Work, version: str, *, folder: str = "", env: Mapping[str, str] | None = None
) -> headless.Inputs:
    """`folder`: it goes on without us (`adapters.detached`). `env`: more variables."""
    begin, where = work.begin, work.where
    agent, pod, args = begin.agent, begin.pod, begin.client.request.args
    seat = agents_verb.seat_of(
        begin.client, pod, where, work.found.files, agent=agent, signed=work.signed
    )
    context = begin.context(seat)
    task = Task(goes_on=bool(args["continue"]), turns=args["turns"], dollars=args["dollars"])

    def tell(event: Event) -> None:
        begin.client.send(protocol.said(events.told(event), events.shown(event)))

    return headless.Inputs(
        host=where.host,
        container_id=where.container_id,
        user=where.user,
        cwd=where.cwd,
        pod=pod.name,
        agent=agent.name,
        title=agent.title,
        argv=(
            *agent.command(version, work.found.platform),
            *work.way.argv(seat, context, task),
            *args["argv"],
        ),
        env=await agent_start.environment(begin, where, seat) | {**work.way.env, **(env or {})},
        files=agent_start.home_files(agent, seat, work.found, context),
        prompt=args["prompt"].encode("utf-8", "surrogateescape"),
        token=work.token,
        timeout_s=float(args["timeout_s"] or MOST_S),
        way=work.way,
        tell=tell,
        folder=folder,
    )


async def _answer(work: Work, result: RunResult) -> dict[str, object]:
    app, client, pod = work.begin.app, work.begin.client, work.begin.pod
    order = (headless.KIND, arrived.KIND)
    names = [*result.states.keys() - {node_id(kind, pod.spec) for kind in order}]
    names += [node_id(kind, pod.spec) for kind in order]
    error = next((result.errors[name] for name in names if name in result.errors), None)
    done = result.outputs.get(node_id(headless.KIND, pod.spec))
    said: Any = asdict(done) if done is not None else {}
    if error is not None:
        said = error.details.pop("run", said)
    came = result.outputs.get(node_id(arrived.KIND, pod.spec)) or await _late(work)
    data = {
        "kind": "result",
        "name": pod.name,
        "agent": work.begin.agent.name,
        "state": DONE if done is not None else FAILED,
        **said,
        **arrived_rows(came),
    }
    if error is None:
        return {"result": data, "warnings": client.warnings, "exit_code": 0}
    if error.details.pop("needs_login", False):
        error.hint = work.begin.agent.to_sign_in
    enter.tell_of_ending(app, client, pod)
    return protocol.failure(error.to_json(), data=data, warnings=client.warnings)


async def _late(work: Work) -> arrived.Output | None:
    """What it committed before it failed."""
    app, spec = work.begin.app, work.begin.pod.spec
    try:
        return await arrived.look(app.world, address(spec), dict(work.before))
    except RumpelError as error:
        log.info("pod %s: its last commits come later: %s", spec.pod, error.message)
        return None


def arrived_rows(came: arrived.Output | None) -> dict[str, Any]:
    rows = () if came is None else came.branches
    return {
        "arrived": [{"branch": name, "commit": oid, "commits": n} for name, oid, n in rows],
        "dirty": None if came is None else came.files,
        "refused": []
        if came is None
        else [{"branch": name, "reason": why} for name, why in came.refused],
    }
