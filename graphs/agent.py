"""An agent's program is there, once for all pods of an engine."""

from __future__ import annotations

from rumpel.agents.model import Agent, Platform
from rumpel.engine.graph import Graph
from rumpel.tasks import agent as agent_task


def install(agent: Agent, host: str, version: str, platform: Platform, image_id: str) -> Graph:
    graph = Graph("agent")
    graph.add(
        agent_task,
        node_id(agent, host, platform),
        agent_task.Inputs(
            host=host,
            package=agent.package(platform),
            version=agent.release(version, platform),
            folder=agent.folder(version, platform),
            image_id=image_id,
        ),
        title=f"Installing {agent.title} {version}",
    )
    return graph


def node_id(agent: Agent, host: str, platform: Platform) -> str:
    """Of no repository and no pod."""
    return f"{agent_task.KIND}/{host}/{agent.name}-{platform.key}"
