"""An agent is installed, given what it needs, and started in a session of its pod."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rumpel.adapters import npm
from rumpel.agents.model import STATUS_FILE, Agent, Platform, Seat
from rumpel.agents.told import told
from rumpel.config import Settings
from rumpel.daemon import lent, sessions
from rumpel.daemon.agent_states import WAITING, WORKING
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.engine.graph import Graph
from rumpel.errors import NotFound, RumpelError
from rumpel.graphs.agent import install, node_id, terminals
from rumpel.graphs.ids import address
from rumpel.resources import resource_text
from rumpel.tasks import agent_home, shell

NEWEST = "latest"
NEWEST_FOR_S = 86400.0
"""So long a version that was the newest is taken for the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Which agent, where, and for whom."""

    app: App
    client: Client
    pod: Pod
    agent: Agent
    settings: Settings

    @property
    def wanted(self) -> str:
        """A version, or `latest`."""
        return str(self.settings.get("agentVersions").get(self.agent.name, NEWEST))

    def context(self, seat: Seat) -> str:
        """What it is told about the pod; empty: nothing."""
        if not self.settings.get("tellAgents"):
            return ""
        return told(workspace=seat.workspace, branch=seat.branch)


async def run(begin: Start, where: shell.Where, seat: Seat, found: sessions.Look) -> None:
    """Raises RumpelError; nothing runs then."""
    if not found.has_terminals:
        await _add_terminals(begin, where)
    try:
        await _begun(begin, where, seat, found, is_anew=False)
    except agent_home.NotInstalled:  # the record says it is there, and it is not
        await _begun(begin, where, seat, found, is_anew=True)
    app, agent, args = begin.app, begin.agent, begin.client.request.args
    # Its hooks tell what follows; a task that it was given must not look done before it begins.
    given = args["argv"]
    is_told = bool(given) and not given[-1].startswith("-")
    state = WORKING if is_told else WAITING
    app.links.agents.said(address(begin.pod.spec), agent.name, state, is_new=True)


async def _add_terminals(begin: Start, where: shell.Where) -> None:
    """Whatever the record says: it was looked for just now."""
    graph = terminals(begin.pod.spec, where.container_id)
    result = await begin.app.runner.run(graph, begin.client, refresh=list(graph.nodes))
    for error in result.errors.values():
        raise error


async def _begun(
    begin: Start, where: shell.Where, seat: Seat, found: sessions.Look, *, is_anew: bool
) -> None:
    app, agent, args = begin.app, begin.agent, begin.client.request.args
    version = await installed(begin, found.platform, is_anew=is_anew)
    context = begin.context(seat)
    command = agent.command(version, found.platform)
    size = args["rows"], args["cols"]
    files = home_files(agent, seat, found, context)
    await sessions.start(
        app,
        where,
        agent.name,
        [*command, *agent.argv(seat, context), *args["argv"]],
        env={
            **await environment(begin, where, seat),
            "RUMPEL_FIFO": f"{where.cwd}/.git/rumpel/fifo",  # where the pod's watcher listens
            "TERM": args["term"] or "xterm-256color",
        },
        files=files,
        size=size if all(size) else None,
    )


def home_files(agent: Agent, seat: Seat, found: sessions.Look, context: str) -> dict[str, bytes]:
    """What has to lie below the home of agents."""
    files = agent.files(seat, found.files) | agent.told_files(context)
    own = {f"{agent.name}/{path}": text for path, text in files.items()}
    return {STATUS_FILE: resource_text("pod_status.sh").encode(), **own}


async def environment(begin: Start, where: shell.Where, seat: Seat) -> dict[str, str | None]:
    """That of a shell in the pod, what the caller sets for the agent, and what signs it in."""
    spec, agent = begin.pod.spec, begin.agent
    env = await shell.environment(
        begin.app.world, where, probe=spec.env_probe, remote_env=spec.remote_env
    )
    env = await lent.environment(begin.app, begin.client, begin.pod, begin.settings, env)
    env |= {**seat.given, **agent.env, agent.home_variable: agent.home}
    return env | {agent.key_variable or name: value for name, value in seat.secrets.items()}


async def installing(begin: Start, platform: Platform) -> tuple[str, Graph]:
    """The version, and what makes it be there."""
    version, spec = await _version(begin, platform), begin.pod.spec
    made_of = begin.app.pods.made_of(spec)
    if made_of is None:
        raise NotFound(f"pod {spec.pod!r} has no container")
    return version, install(begin.agent, spec.host, version, platform, made_of.image_id)


async def installed(begin: Start, platform: Platform, *, is_anew: bool) -> str:
    """The version that is there now."""
    app = begin.app
    version, graph = await installing(begin, platform)
    if is_anew or not app.engine.plan(graph).is_fresh:
        refresh = list(graph.nodes) if is_anew else []
        result = await app.runner.run(graph, begin.client, refresh=refresh)
        for error in result.errors.values():
            raise error
    return version


async def _version(begin: Start, platform: Platform) -> str:
    """Offline, one that was installed before does it."""
    app, agent, key = begin.app, begin.agent, f"agent-version/{begin.agent.name}"
    if begin.wanted != NEWEST:
        return begin.wanted
    known: dict[str, Any] = app.store.kv_get(key, {})
    if known and time.time() - known["at"] < NEWEST_FOR_S:
        return str(known["version"])
    try:
        version = await npm.newest(agent.package(platform))
    except RumpelError as error:
        record = app.store.records.get(node_id(agent, begin.pod.spec.host, platform))
        if record is None or not known:
            raise
        begin.client.warn(f"{agent.title} {known['version']} is used: {error.message}")
        return str(known["version"])
    await app.store.kv_set(key, {"version": version, "at": time.time()})
    return version
