"""`rumpel fork`: new pods that start where another one is, uncommitted work included."""

from __future__ import annotations

from rumpel import names
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.create import check_names, render
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.options import add_pod_making, making
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Make new pods that start where another one is: all its branches, the index,\n"
    "changed and new files, stashes, a merge or rebase in progress, the same image.\n"
    "The source goes on and is not changed. Ignored files and volumes are not copied;\n"
    "the lifecycle commands run in the new pods."
)
EXAMPLES = (
    ("rumpel fork fix-login fix-again", "try another way from here"),
    ("rumpel fork fix-login try-a try-b", "two pods from one snapshot"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("source", metavar="SRC", help="the pod to start from")
    parser.add_argument("names", nargs="+", metavar="NEW", help=names.POD_NAME_RULE)
    add_pod_making(parser)


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.source)
    check_names(args.names)
    if args.source in args.names:
        raise UsageError(f"{args.source!r} is the pod to fork: name another one for the new pod")
    request: dict[str, object] = {
        "name": args.source,
        "names": args.names,
        **making(args),
    }
    with Interrupts(look=f"rumpel graph {args.names[0]}") as interrupts:
        answer = session.ask(options, "fork", request, interrupts=interrupts)
    return show(options, "fork", answer, lambda rows: render(rows, options))
