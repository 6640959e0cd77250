"""`rumpel events`: what happened, one line each, from any number on and as it goes on."""

from __future__ import annotations

import sys
import time

from rumpel import names, text, ui
from rumpel.cli import follow
from rumpel.cli.answer import show
from rumpel.cli.progress import WORDS
from rumpel.cli.render_graph import label
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Show what happened to the pods of this repository, oldest first: requests, the\n"
    "steps they ran and how those ended, commits that arrived. A line begins with\n"
    "its number: --since takes it to go on behind that line. With POD: what is about\n"
    "these pods, and what pods share."
)
EXAMPLES = (
    ("rumpel events", "the last 100"),
    ("rumpel events -f fix-login", "wait for what happens to a pod"),
    ("rumpel events -f --since 1042", "go on where one stopped reading"),
    ("rumpel events -f --json | jq -c '.data[]'", "the same for a program"),
)
DEFAULT_LINES, FOLLOWED_LINES = 100, 10


def add_arguments(parser: Declared) -> None:
    parser.add_argument("names", nargs="*", metavar="POD", help="only what is about these pods")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with what happens, until Ctrl-C"
    )
    parser.add_argument(
        "--since", type=int, metavar="NUMBER", help="begin behind the event of this number"
    )
    parser.add_argument(
        "-n",
        "--lines",
        type=int,
        metavar="N",
        help=f"begin with the last N (default: {DEFAULT_LINES}; with -f: {FOLLOWED_LINES})",
    )
    parser.add_argument("-a", "--all", action="store_true", help="of all repositories")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    for name in args.names:
        names.check_pod_name(name)
    if args.lines is not None and (args.lines < 0 or args.since is not None):
        raise UsageError("-n takes a number that is not negative, and does not go with --since")
    lines = args.lines
    if lines is None:
        lines = FOLLOWED_LINES if args.follow else DEFAULT_LINES
    request = {"since": args.since, "lines": lines, "follow": args.follow}
    request |= {"names": args.names, "all": args.all}
    kept: list[dict[str, Any]] = []
    last: int = args.since or 0

    def take(message: dict[str, Any]) -> None:
        nonlocal last
        for entry in message["entries"]:
            if not options.json:
                for part in ui.prose(line(entry, now=time.time()), stream=sys.stdout):
                    ui.out(part)
            elif args.follow:
                follower.envelope("events", [entry])
            else:
                kept.append(entry)
        last = message["last"]

    follower = follow.Follower(options, take, "entries")
    again = ["rumpel events -f", *args.names, *(["--all"] if args.all else [])]
    answer = follow.ask(
        options, "events", request, follower, again=lambda: " ".join([*again, f"--since {last}"])
    )
    if not last and not args.follow and ui.is_terminal(sys.stdout):
        ui.err("nothing has happened yet")
    answer.data, answer.warnings = kept, [*follower.warnings, *answer.warnings]
    if args.follow and options.json and answer.error is None:
        return answer.exit_code
    return show(options, "events", answer)


def line(entry: dict[str, Any], *, now: float) -> str:
    """`1043  12:03:44  a · container · done (0.24 s)`; the day when it is not today."""
    at = text.unix_time(str(entry.get("at"))) or 0.0
    day, then = time.localtime(now)[:3], time.localtime(at)
    when = time.strftime("%H:%M:%S" if then[:3] == day else "%Y-%m-%d %H:%M:%S", then)
    if entry.get("kind") == "commits":
        parts = [*_pods(entry), "commits", _commits(entry)]
    elif entry.get("kind") == "agent":
        parts = [*_pods(entry), str(entry.get("agent")), str(entry.get("state"))]
    elif entry.get("kind") == "git-password":
        user = entry.get("user")
        got = "nothing is known" if user is None else f"given for user {user or '(none)'}"
        parts = [*_pods(entry), "git password", str(entry.get("server")), got]
    elif entry.get("kind") == "ssh-key":
        parts = [*_pods(entry), "ssh key", str(entry.get("comment")), _key_use(entry)]
    else:
        parts = _run_words(entry) if entry.get("node") is None else _node_words(entry)
    return f"{entry['seq']:>6}  {when}  {' · '.join(text.safe(part) for part in parts)}"


def _commits(entry: dict[str, Any]) -> str:
    """`main at 1f2e3d4c5b`, `old deleted`."""
    moved = [f"{name} at {str(oid)[:10]}" for name, oid in (entry.get("branches") or {}).items()]
    gone = [f"{name} deleted" for name in entry.get("gone") or ()]
    more = entry.get("more")
    return ", ".join(
        [
            *moved,
            *gone,
            *([f"and {text.count(more, 'more branch', 'more branches')}"] if more else []),
        ]
    )


def _key_use(entry: dict[str, Any]) -> str:
    """`login as git (server key SHA256:...)`, `git signature`."""
    use, name = entry.get("use"), str(entry.get("name") or "")
    words = {"login": f"login as {name}", "signature": f"{name} signature"}.get(
        str(use), "signed data of an unknown kind"
    )
    if entry.get("server"):
        words += f" (server key {entry['server']})"
    return f"{words}: failed, {entry['failure']}" if entry.get("failure") else words


def _run_words(entry: dict[str, Any]) -> list[str]:
    verb = f"{entry.get('verb') or 'request'} ({entry.get('run')})"
    if entry.get("kind") != "run-ended":
        return [*_pods(entry), verb, "began"]
    state = str(entry.get("state"))
    failed = [
        label(_node(name)) for name, how in (entry.get("nodes") or {}).items() if how == "failed"
    ]
    return [*_pods(entry), verb, _words(state) + (f": {text.listing(failed)}" if failed else "")]


def _node_words(entry: dict[str, Any]) -> list[str]:
    words = _words(str(entry.get("kind") or "").removeprefix("node-"))
    if entry.get("elapsed_s") is not None:
        words += f" ({text.duration(float(entry['elapsed_s']))})"
    if entry.get("message"):
        words += ": " + str(entry["message"]).split("\n")[0]
    return [*_pods(entry), label(_node(str(entry["node"])), with_pod=False), words]


def _words(state: str) -> str:
    return {"crashed": "INTERRUPTED", "retried": "failed, again"}.get(state) or WORDS.get(
        state, state
    )


def _node(node_id: str) -> dict[str, Any]:
    """As far as its id says."""
    kind, *rest = node_id.split("/")
    return {"id": node_id, "kind": kind, "pod": rest[2] if len(rest) > 2 else None}


def _pods(entry: dict[str, Any]) -> list[str]:
    pods = entry.get("pods") or []
    return [", ".join(map(str, pods))] if pods else []
