"""`claude` and its like: pod ready, agent installed, session running, the client looks at it.

The agent's own files lie in a volume of the pod, its program in one of the engine. What signs it
in comes from the caller's environment and goes into the one exec that starts it: never into an
image, a label, a container's configuration, an argument or a log.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from rumpel import agents, names
from rumpel.adapters.docker_exec import TOKEN_ENV
from rumpel.agents.model import Agent, Seat
from rumpel.daemon import agent_start, at_work, enter, requests, sessions, terminal
from rumpel.daemon.agent_states import ENDED, WORKING
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.errors import ConfigError, NotFound
from rumpel.graphs.create import address
from rumpel.tasks import agent_home, mountpoint, shell


async def run(app: App, client: Client) -> dict[str, object]:
    """`agent`: attach to the session of an agent in a pod; it is started when there is none."""
    args = client.request.args
    agent, target = agents.get(args["agent"]), await requests.lenient(client)
    if app.pods.find(target.ref.repo_id, args["name"]) is None:
        signs_in(agent, client.request.env)  # before a pod is made for nothing
    pod = await enter.ready(app, client, target)
    where = sessions.where_of(app, pod)
    await give_home(app, pod, where)
    async with app.links.agents.alone(pod.pod_id):  # else two requests start two of them
        await _ensure(app, client, agent, pod, where)
    if not args["detach"]:
        await _attach(app, client, pod, where, agent.name)
    return await _ending(app, client, pod, where, agent.name)


async def _ensure(app: App, client: Client, agent: Agent, pod: Pod, where: shell.Where) -> None:
    """Its session runs."""
    args = client.request.args
    found = await sessions.look(app, where, agent)
    if found.is_alive:
        if args["argv"]:
            client.warn(f"{agent.title} runs already: what is behind -- was not used")
        return
    at_work.refuse(app, pod)
    settings = (await requests.target(client)).settings  # wrong ones are no hint to what to start
    seat = seat_of(client, agent, pod, where, found.files)
    begin = agent_start.Start(app=app, client=client, pod=pod, agent=agent, settings=settings)
    await agent_start.run(begin, where, seat, found)


def seat_of(
    client: Client, agent: Agent, pod: Pod, where: shell.Where, found: Mapping[str, bytes]
) -> Seat:
    """Raises ConfigError when nothing signs it in."""
    return Seat(
        pod=pod.name,
        branch=pod.name,
        workspace=where.cwd,
        user=where.user,
        secrets=signs_in(agent, client.request.env),
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
    async with app.links.agents.alone(pod.pod_id):
        await sessions.send(app, where, name, typed.encode(), enter=args["enter"])
    if args["enter"]:  # who waits next waits for the answer
        app.links.agents.said(address(pod.spec), name, WORKING)
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
    alive = await sessions.alive(app, where, wanted)
    if len(alive) == 1:
        return pod, where, alive[0]
    if alive:
        raise NotFound(
            f"several agents run in pod {pod.name}: {', '.join(alive)}", hint="--agent NAME"
        )
    at_work.refuse(app, pod)  # without a terminal
    raise NotFound(
        f"no agent runs in pod {pod.name}", hint=f"rumpel {wanted[0]} {pod.name}   starts one"
    )


def signs_in(agent: Agent, env: Mapping[str, str]) -> dict[str, str]:
    """Raises ConfigError saying what to set: an agent that asks for a login helps nobody."""
    found = {name: env[name] for name in agent.signs_in if env.get(name)}
    if not found:
        raise ConfigError(f"nothing signs {agent.title} in", hint=agent.to_sign_in)
    first = next(iter(found))
    return {first: found[first]}


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
