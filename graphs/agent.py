"""An agent's program is there, once for all pods of an engine, and what it runs on."""

from __future__ import annotations

from rumpel import names
from rumpel.agents.model import Agent, Platform
from rumpel.engine.graph import Graph
from rumpel.graphs import ids
from rumpel.model import PodSpec
from rumpel.tasks import agent as agent_task
from rumpel.tasks import multiplexer


def install(agent: Agent, host: str, version: str, platform: Platform, image_id: str) -> Graph:
    """Raises ConfigError when it is not made for the platform."""
    graph = Graph("agent")
    graph.add(
        agent_task,
        node_id(agent, host, platform),
        agent_task.Inputs(
            host=host,
            package=agent.package(platform),
            version=agent.release(version, platform),
            folder=agent.folder(version, platform),
            program=agent.program(platform),
            image_id=image_id,
        ),
        title=f"Installing {agent.title} {version}",
    )
    if (runtime := agent.runtime) is not None:
        graph.add(
            agent_task,
            f"{agent_task.KIND}/{names.host_part(host)}/{runtime.name}-{platform.key}",
            agent_task.Inputs(
                host=host,
                package=runtime.package(platform),
                version=runtime.version,
                folder=runtime.folder(platform),
                program=runtime.program,
                image_id=image_id,
            ),
            title=f"Installing {runtime.name} {runtime.version}, for {agent.title}",
        )
    return graph


def terminals(spec: PodSpec, container_id: str) -> Graph:
    """The pod has what a session of an agent lives in."""
    graph = Graph("agent")
    graph.add(
        multiplexer,
        ids.node_id(multiplexer.KIND, spec),
        multiplexer.Inputs(host=spec.host, container_id=container_id),
    )
    return graph


def node_id(agent: Agent, host: str, platform: Platform) -> str:
    """Of no repository and no pod."""
    return f"{agent_task.KIND}/{names.host_part(host)}/{agent.name}-{platform.key}"
