"""`rumpel help agents`: which there are, what signs each in, and how they are spoken with."""

from __future__ import annotations

from rumpel import agents
from rumpel.agents.model import Agent

WORDS = """\
agents
{agents}

  Signed in by the first of these variables that is set. It goes to the agent's
  process in the pod and is kept nowhere.

  rumpel agent    The built-in one needs no program in the pod: it runs here,
                  signed in by ANTHROPIC_API_KEY, GEMINI_API_KEY or XAI_API_KEY,
                  in a terminal or with -p: rumpel help agent

in a terminal
  rumpel claude NAME            makes the pod, starts it, or looks at it again
  Ctrl-a d                      leaves it running, whatever becomes of your own
  rumpel claude NAME -d -- TASK starts it with a task and comes back at once
  rumpel claude NAME -- ARGS    with arguments of the agent's own

without one
  rumpel run NAME -p TASK       does one task; its result on stdout, all else
                                on stderr
  rumpel run NAME --continue -p TASK
                                the next one, in the same conversation
  rumpel run NAME --agent codex --timeout 30m --json -p TASK
                                which agent, how long, a line of JSON an event

while they work
  rumpel list                   working, waiting, done or failed, since when
  rumpel wait NAME...           until they no longer work; --any: one of them
  rumpel capture NAME           what is on its screen
  rumpel send NAME TEXT         types for you
  rumpel logs -f NAME run       what a run says
  setting notify                your own command, run for each that waits, is
                                done or has failed, with RUMPEL_POD,
                                RUMPEL_STATE, RUMPEL_AGENT, RUMPEL_REPO and
                                RUMPEL_MESSAGE

afterwards
  rumpel review NAME            what it has changed
  rumpel merge NAME             onto your branch
  rumpel stop NAME              ends it; what it wrote stays
  What an agent keeps (its conversations) lies in a volume of the pod: it
  survives stop and recreate, and goes with the pod.

In its pod an agent does things without asking: --ask lets it ask. It is told
where it is, and that its commits arrive by themselves (setting tellAgents).
Its program is fetched once for all pods (setting agentVersions pins it)."""


def words() -> str:
    return WORDS.format(
        agents="\n".join(line for agent in agents.AGENTS.values() for line in _of(agent))
    )


def _of(agent: Agent) -> list[str]:
    """What it is called, and what signs it in, in lines that fit a terminal."""
    lines, line = list[str](), f"  rumpel {agent.name}".ljust(18) + agent.title.ljust(14)
    for name in agent.signs_in:
        if len(line) + len(name) + 1 > 80:
            lines.append(line.rstrip())
            line = " " * 32
        line += f"{name} "
    return [*lines, line.rstrip()]
