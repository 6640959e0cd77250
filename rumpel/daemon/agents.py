"""`claude` and its like: pod ready, agent installed, session running, the client looks at it.

The agent's own files lie in a volume of the pod, its program in one of the engine. What signs it
in goes into the one exec that starts it, or is lent to it as a file in memory: never into an
image, a label, a container's configuration, an argument or a log.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from rumpel import agents, names
from rumpel.adapters.docker_exec import TOKEN_ENV
from rumpel.agents.model import Agent, Seat
from rumpel.daemon import agent_start, at_work, enter, requests, sessions, sign_in, terminal
from rumpel.daemon.agent_states import ENDED, WORKING
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.sign_in import SignIn
from rumpel.errors import Conflict, NotFound, RumpelError
from rumpel.graphs.ids import address, node_id
from rumpel.tasks import agent_home, headless, mountpoint, shell


async def run(app: App, client: Client) -> dict[str, object]:
    """`agent`: attach to the session of an agent in a pod; it is started when there is none."""
    args = client.request.args
    agent, target = agents.get(args["agent"]), await requests.lenient(client)
    signed = sign_in.Once(app, client, agent, target.settings)
    if app.pods.find(target.ref.repo_id, args["name"]) is None:
        await signed.found()  # before a pod is made for nothing
    pod = await enter.ready(app, client, target)
    where = sessions.where_of(app, pod)
    await give_home(app, pod, where)
    async with app.links.agents.alone(pod.pod_id):  # else two requests start two of them
        await _ensure(app, client, pod, where, signed)
    if not args["detach"]:
        await _attach(app, client, pod, where, agent.name)
    return await _ending(app, client, pod, where, agent.name)


async def _ensure(
    app: App, client: Client, pod: Pod, where: shell.Where, signed: sign_in.Once
) -> None:
    """Its session runs."""
    agent, args = signed.agent, client.request.args
    await sessions.ending(app, pod, where, agent.name)
    found = await sessions.look(app, where, agent)
    if found.is_alive:
        if args["argv"] and args["detach"]:
            raise Conflict(
                f"{agent.title} runs already in pod {pod.name}: what is behind -- is not for it",
                hint=f"rumpel send {pod.name} TEXT   gives it a task",
            )
        if args["argv"]:
            client.warn(f"{agent.title} runs already: what is behind -- was not used")
        return
    at_work.refuse(app, pod)
    settings = (await requests.target(client)).settings  # wrong ones are no hint to what to start
    with app.lending.starting(pod.pod_id, agent.name):
        seat = seat_of(client, pod, where, found.files, agent=agent, signed=await signed.lent(pod))
        begin = agent_start.Start(app=app, client=client, pod=pod, agent=agent, settings=settings)
        await agent_start.run(begin, where, seat, found)


def seat_of(
    client: Client,
    pod: Pod,
    where: shell.Where,
    found: Mapping[str, bytes],
    *,
    agent: Agent,
    signed: SignIn,
) -> Seat:
    return Seat(
        pod=pod.name,
        branch=pod.name,
        workspace=where.cwd,
        user=where.user,
        secrets=signed.secrets,
        is_lent=signed.lent is not None,
        given={name: value for name in agent.passed if (value := client.request.env.get(name))},
        found=found,
        asks=bool(client.request.args.get("asks")),
    )


async def attach(app: App, client: Client) -> dict[str, object]:
    pod, where, name = await _session(app, client)
    await _attach(app, client, pod, where, name)
    return await _ending(app, client, pod, where, name)


async def _ending(
    app: App, client: Client, pod: Pod, where: shell.Where, name: str
) -> dict[str, object]:
    """Was it left, or has it ended?"""
    alive = await sessions.alive(app, where, [name])
    if not alive:
        app.links.agents.said(address(pod.spec), name, ENDED)
    data = {"name": pod.name, "agent": name, "state": "running" if alive else "ended"}
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def send(app: App, client: Client) -> dict[str, object]:
    pod, where, name = await _session(app, client)
    args = client.request.args
    typed = args["text"].replace("\x1b", "") if args["enter"] else args["text"]
    states = app.links.agents
    async with states.alone(pod.pod_id):
        before = states.of(pod.pod_id).get(name)
        if args["enter"]:  # who waits next waits for the answer, which may come before we are back
            states.said(address(pod.spec), name, WORKING)
        try:
            await sessions.send(app, where, agents.get(name), typed.encode(), enter=args["enter"])
        except RumpelError:
            if args["enter"] and before is not None:
                states.said(address(pod.spec), name, before["state"])
            raise
    data = {"name": pod.name, "agent": name}
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def capture(app: App, client: Client) -> dict[str, object]:
    pod, where, name = await _session(app, client)
    with_history = client.request.args["all"]
    async with app.links.agents.alone(pod.pod_id):
        shown = await sessions.capture(app, where, name, with_history=with_history)
    data = {"name": pod.name, "agent": name, "text": shown}
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def _session(app: App, client: Client) -> tuple[Pod, shell.Where, str]:
    """The session that is meant. Raises NotFound when none runs, or several and none is named."""
    target, args = await requests.lenient(client), client.request.args
    pod = app.pods.get(target.ref.repo_id, args["name"])
    await app.host(pod.spec.host)
    where = sessions.where_of(app, pod)
    if app.world.running(pod.spec.host, where.container_id) is not None:
        raise NotFound(f"pod {pod.name} does not run", hint=f"rumpel enter {pod.name}   starts it")
    wanted = [agents.get(args["agent"]).name] if args["agent"] else list(agents.AGENTS)
    every = await sessions.alive(app, where, list(agents.AGENTS))
    alive = [name for name in every if name in wanted]
    if len(alive) == 1:
        return pod, where, alive[0]
    if alive:
        raise NotFound(
            f"several agents run in pod {pod.name}: {', '.join(alive)}", hint="--agent NAME"
        )
    if every:
        title, others = agents.get(wanted[0]).title, ", ".join(every)
        raise NotFound(
            f"{title} does not run in pod {pod.name}, but there is {others}",
            hint=f"rumpel {wanted[0]} {pod.name}   starts it",
        )
    at_work.refuse(app, pod)  # without a terminal
    hint = f"rumpel {wanted[0]} {pod.name}   starts one"
    if app.store.records.get(node_id(headless.KIND, pod.spec)) is not None:
        hint = f"rumpel logs {pod.name} run   is what the last run said; {hint}"
    raise NotFound(f"no agent runs in pod {pod.name}", hint=hint)


async def give_home(app: App, pod: Pod, where: shell.Where) -> None:
    """The engine gave the empty volume to root."""
    key = f"agent-home/{pod.pod_id}"
    if app.store.kv_get(key) == where.container_id:
        return
    host = app.world.host(where.host)
    await mountpoint.give_folders(host, where.container_id, [names.AGENT_HOME_PATH], where.user)
    await app.store.kv_set(key, where.container_id)


async def _attach(app: App, client: Client, pod: Pod, where: shell.Where, name: str) -> None:
    host, token = app.world.host(where.host), secrets.token_hex(8)
    env = {"TERM": client.request.args["term"] or "xterm-256color", TOKEN_ENV: token}
    stream = await host.exec_stream(
        where.container_id,
        agent_home.argv("attach", name),
        user=where.user,
        cwd="/",
        env=env,
        tty=True,
    )
    session = await terminal.hand_over(client, host, where, stream, token)
    with app.inside(pod.pod_id):
        await terminal.follow(client, session)
