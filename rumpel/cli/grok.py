"""`rumpel grok`: xAI's Grok in a pod, in a terminal that lives on when nobody looks."""

from __future__ import annotations

from rumpel.cli import agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel grok [options] NAME [-- ARGS...]"
DESCRIPTION = (
    "xAI's Grok in a pod: makes the pod when it is missing, starts the agent when\n"
    f"it does not run, and shows its terminal. {agent.DETACHES} leaves it running; the same\n"
    "command looks at it again. In its pod it does things without asking. What signs\n"
    "it in is taken from XAI_API_KEY, and is kept nowhere (but the end of it, which\n"
    "Grok writes into its log). GROK_MODELS_BASE_URL names another server."
)
EXAMPLES = (
    ("rumpel grok fix-login", "start it, or look at it again"),
    ("rumpel grok fix-login -- 'Fix the login'", "with a first task"),
    ("rumpel grok -d fix-login -- 'Fix it'", "start it, look at it later"),
    ("rumpel grok fix-login -- --continue", "go on with the last conversation"),
)


def add_arguments(parser: Declared) -> None:
    agent.add_arguments(parser, "Grok", "always-approve")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    return agent.run("grok", args, passed, options)
