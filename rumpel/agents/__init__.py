"""Coding agents as data: what each needs to be installed, signed in, started and understood."""

from __future__ import annotations

from rumpel.agents.claude import CLAUDE
from rumpel.agents.codex import CODEX
from rumpel.agents.gemini import GEMINI
from rumpel.agents.grok import GROK
from rumpel.agents.model import Agent
from rumpel.errors import UsageError

AGENTS: dict[str, Agent] = {agent.name: agent for agent in (CLAUDE, CODEX, GEMINI, GROK)}
DEFAULT = CLAUDE.name
"""Of commands where none is named."""

BUILTIN = "agent"
"""The built-in agent's name, as that of its command. It runs on the host: it is none of AGENTS."""


def title(name: str) -> str:
    """As people call it."""
    return "the built-in agent" if name == BUILTIN else get(name).title


def limits(name: str) -> frozenset[str]:
    """Which of `turns`, `dollars` and `tokens` it is kept to without a terminal; "": no agent."""
    found = AGENTS.get(name)
    return found.headless.limits if found is not None and found.headless else frozenset()


def get(name: str) -> Agent:
    """Raises UsageError naming those there are."""
    try:
        return AGENTS[name]
    except KeyError:
        raise UsageError(f"there is no agent {name!r}: {', '.join(AGENTS)}") from None
