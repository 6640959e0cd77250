"""`rumpel gemini`: Gemini CLI in a pod, in a terminal that lives on when nobody looks."""

from __future__ import annotations

from rumpel.cli import agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel gemini [options] NAME [-- ARGS...]"
DESCRIPTION = (
    "Gemini CLI in a pod: makes the pod when it is missing, starts the agent when\n"
    f"it does not run, and shows its terminal. {agent.DETACHES} leaves it running; the same\n"
    "command looks at it again. In its pod it does things without asking. What signs\n"
    "it in is taken from GEMINI_API_KEY or GOOGLE_API_KEY, and is kept nowhere.\n"
    "GEMINI_MODEL names a model, GOOGLE_GEMINI_BASE_URL another server. The image\n"
    "needs no Node: that comes along, once for all pods of an engine."
)
EXAMPLES = (
    ("rumpel gemini fix-login", "start it, or look at it again"),
    ("rumpel gemini fix-login -- 'Fix the login'", "with a first task"),
    ("rumpel gemini -d fix-login -- 'Fix it'", "start it, look at it later"),
    ("rumpel gemini fix-login -- --resume latest", "go on with the last conversation"),
)


def add_arguments(parser: Declared) -> None:
    agent.add_arguments(parser, "Gemini CLI", "yolo")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    return agent.run("gemini", args, passed, options)
