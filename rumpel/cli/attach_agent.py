"""`rumpel attach`: look at the agent that runs in a pod."""

from __future__ import annotations

from rumpel import names
from rumpel.cli import agent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Look at the terminal of the agent that runs in a pod. Nothing is started: it\n"
    f"ends with 3 when none runs. {agent.DETACHES} leaves it running. Who looked at it\n"
    "before sees it no more."
)
EXAMPLES = (
    ("rumpel attach fix-login", "the agent of the pod"),
    ("rumpel attach fix-login --agent claude", "one of several"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod")
    add_agent(parser)


def add_agent(parser: Declared) -> None:
    parser.add_argument("--agent", metavar="AGENT", help="which one, when several run")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    return agent.look(options, "attach", "attach", {"name": args.name, "agent": args.agent})
