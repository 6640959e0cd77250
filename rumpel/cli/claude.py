"""`rumpel claude`: Claude Code in a pod, in a terminal that lives on when nobody looks."""

from __future__ import annotations

from rumpel.cli import agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel claude [options] NAME [-- ARGS...]"
DESCRIPTION = (
    "Claude Code in a pod: makes the pod when it is missing, starts the agent when\n"
    f"it does not run, and shows its terminal. {agent.DETACHES} leaves it running; the same\n"
    "command looks at it again. In its pod it does things without asking. What signs\n"
    "it in is taken from CLAUDE_CODE_OAUTH_TOKEN (claude setup-token),\n"
    "ANTHROPIC_AUTH_TOKEN or ANTHROPIC_API_KEY, and is kept nowhere (but the end of\n"
    "an API key, by which Claude Code knows that you agreed to it)."
)
EXAMPLES = (
    ("rumpel claude fix-login", "start it, or look at it again"),
    ("rumpel claude fix-login -- 'Fix the login'", "with a first task"),
    ("rumpel claude -d fix-login -- 'Fix it'", "start it, look at it later"),
    ("rumpel claude fix-login -- --continue", "go on with the last conversation"),
)


def add_arguments(parser: Declared) -> None:
    agent.add_arguments(parser, "Claude Code", "dangerously-skip-permissions")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    return agent.run("claude", args, passed, options)
