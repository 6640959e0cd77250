"""Coding agents as data: what each needs to be installed, signed in, started and understood."""

from __future__ import annotations

from rumpel.agents.claude import CLAUDE
from rumpel.agents.codex import CODEX
from rumpel.agents.model import Agent
from rumpel.errors import UsageError

AGENTS: dict[str, Agent] = {agent.name: agent for agent in (CLAUDE, CODEX)}
DEFAULT = CLAUDE.name
"""Of commands where none is named."""


def get(name: str) -> Agent:
    """Raises UsageError naming those there are."""
    try:
        return AGENTS[name]
    except KeyError:
        raise UsageError(f"there is no agent {name!r}: {', '.join(AGENTS)}") from None
