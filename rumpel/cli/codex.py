"""`rumpel codex`: Codex in a pod, in a terminal that lives on when nobody looks."""

from __future__ import annotations

from rumpel.cli import agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel codex [options] NAME [-- ARGS...]"
DESCRIPTION = (
    "Codex in a pod: makes the pod when it is missing, starts the agent when it does\n"
    f"not run, and shows its terminal. {agent.DETACHES} leaves it running; the same command\n"
    "looks at it again. In its pod it does things without asking, and without a\n"
    "sandbox of its own. What signs it in is taken from CODEX_API_KEY or\n"
    "OPENAI_API_KEY, and is kept nowhere. OPENAI_BASE_URL names another server."
)
EXAMPLES = (
    ("rumpel codex fix-login", "start it, or look at it again"),
    ("rumpel codex fix-login -- 'Fix the login'", "with a first task"),
    ("rumpel codex -d fix-login -- 'Fix it'", "start it, look at it later"),
    ("rumpel codex fix-login -- resume --last", "go on with the last conversation"),
)


def add_arguments(parser: Declared) -> None:
    agent.add_arguments(parser, "Codex", "dangerously-bypass-approvals-and-sandbox")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    return agent.run("codex", args, passed, options)
