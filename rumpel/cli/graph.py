"""`rumpel graph`: the steps behind a pod, what each would do now, and why."""

from __future__ import annotations

import sys
import time

from rumpel import text, ui
from rumpel.cli import render_graph, render_html, render_svg, session
from rumpel.cli.answer import Answer, show
from rumpel.errors import NotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Show the steps behind a pod: which are up to date, which would run, and why.\n"
    "Nothing is run. Without NAME: the steps of all pods of this repository."
)
EXAMPLES = (
    ("rumpel graph fix-login", "a tree of the steps"),
    ("rumpel graph fix-login --why container", "everything about one step"),
    ("rumpel graph fix-login --plan delete", "what delete would do"),
    ("rumpel graph fix-login --follow", "watch it run"),
    ("rumpel graph fix-login --history", "what ran before, and what it was for"),
    ("rumpel graph --critical-path", "the steps that take longest"),
    ("rumpel graph --format html > graph.html", "a picture with times"),
    ("rumpel graph a --format svg > graph.svg", "one for a page"),
    ("rumpel graph --batch", "the steps of the tasks of a batch"),
    ("rumpel graph a --format doit > dodo.py", "the same graph for doit"),
)
FORMATS = ("tree", "dot", "mermaid", "html", "svg", "json", "doit")
VERBS = (
    *("create", "enter", "review", "merge", "stop", "delete"),
    *("snapshot", "restore", "undelete"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a pod (a unique beginning will do)"
    )
    parser.add_argument(
        "--batch", action="store_true", help="NAME is a batch (without: the last one)"
    )
    parser.add_argument("--why", metavar="NODE", help="explain one step")
    parser.add_argument(
        "--plan", metavar="VERB", choices=VERBS, help=f"steps of {text.listing(VERBS, 'or')}"
    )
    parser.add_argument("--history", action="store_true", help="the runs so far, newest first")
    parser.add_argument(
        "--critical-path", action="store_true", help="the steps that decide how long it takes"
    )
    parser.add_argument(
        "-f", "--follow", action="store_true", help="watch what runs now, until it ends"
    )
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        choices=FORMATS,
        default="tree",
        help=f"{text.listing(FORMATS, 'or')} (default: tree)",
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.why is not None and args.format not in ("tree", "json"):
        raise UsageError(f"--why explains in words, --format {args.format} does not go with it")
    if (args.history or args.critical_path) and args.format not in ("tree", "json"):
        raise UsageError(f"--history and --critical-path are lists, not for --format {args.format}")
    if args.history and args.critical_path:
        raise UsageError("--history and --critical-path are two lists: one at a time")
    if args.why is not None and (args.history or args.critical_path):
        raise UsageError("--why explains one step, --history and --critical-path list many")
    if args.follow and (args.why or args.plan or args.history or args.critical_path):
        raise UsageError("--follow shows what runs now, and that alone")
    if args.follow and args.format not in ("tree", "json"):
        raise UsageError(f"--follow draws a tree, --format {args.format} does not go with it")
    options.json = options.json or args.format == "json"
    # The daemon gives the whole graph: what a step needs is part of the explanation.
    request = {"name": args.name, "plan": args.plan, "format": args.format}
    request |= {"history": args.history, "batch": args.batch}
    if args.follow:
        return watch(args, request, options)
    answer = session.ask(options, "graph", request)
    if args.why is not None and isinstance(answer.data, dict):
        _keep_one(answer, args.why, with_context=not options.json)
    return show(options, "graph", answer, lambda data: render(data, args, options))


def watch(args: Arguments, request: dict[str, object], options: Options) -> int:
    """Until it ends; then the tree stays, as it was in the end."""
    from rumpel.cli import follow, live_graph

    view = live_graph.start(options, lambda nodes, edges: _tree(nodes, edges, options))
    again = f"rumpel graph {args.name or ''} --follow".replace("  ", " ")
    answer = follow.ask(options, "graph", request | {"follow": True}, view, again=lambda: again)
    is_told = view.has_begun and not view.is_drawn
    if is_told and answer.error is None and (options.json or not options.quiet):
        return answer.exit_code
    return show(options, "graph", answer, lambda data: render(data, args, options))


def render(data: dict[str, Any], args: Arguments, options: Options) -> None:
    nodes, edges = data.get("nodes") or [], data.get("edges") or []
    title = f"rumpel {args.plan or 'graph'} {args.name or ''}".strip()
    if args.format == "doit":
        ui.write(sys.stdout, str(data.get("dodo") or ""))
    elif args.format in ("dot", "mermaid"):
        draw = render_graph.dot if args.format == "dot" else render_graph.mermaid
        _out(draw(nodes, edges))
    elif args.format == "svg":
        _out(render_svg.svg(nodes, edges, title=title))
    elif args.format == "html":
        path = (data.get("critical_path") or {}).get("nodes") or ()
        _out(render_html.html(nodes, edges, title=title, path=path))
    elif args.history:
        columns = ui.columns(sys.stdout)
        _out(render_graph.history(data.get("history") or [], now=time.time(), columns=columns))
    elif args.critical_path:
        _out(render_graph.slowest(data.get("critical_path") or {}, nodes))
    elif args.why is not None:
        _out(render_graph.why(data["why"], nodes, edges, now=time.time()))
    elif options.quiet:
        _out([text.safe(str(node["id"])) for node in nodes])
    else:
        _out(_tree(nodes, edges, options))


def find(nodes: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    """The step by id, label, kind or last part of its id. Raises NotFound, UsageError."""
    tests = (
        lambda node: node["id"] == wanted,
        lambda node: wanted in (render_graph.label(node), render_graph.label(node, with_pod=False)),
        lambda node: node.get("kind") == wanted,
        lambda node: str(node["id"]).rsplit("/", 1)[-1] == wanted,
    )
    for test in tests:
        found = [node for node in nodes if test(node)]
        if len(found) == 1:
            return found[0]
        if found:
            names = [render_graph.label(node) for node in found]
            raise UsageError(
                f"'{text.safe(wanted)}' is {text.listing(names, 'or')}: which one?",
                hint=f'rumpel graph --why "{names[0]}"',
            )
    names = [render_graph.label(node) for node in nodes]
    close = text.suggestion(wanted, names)
    raise NotFound(
        f"there is no step '{text.safe(wanted)}' in this graph"
        + (f", did you mean {close!r}?" if close else ""),
        hint=f"one of: {', '.join(names)}" if len(names) < 20 else "rumpel graph -q",
    )


def _keep_one(answer: Answer, wanted: str, *, with_context: bool) -> None:
    data = answer.data
    node = find(data.get("nodes") or [], wanted)
    answer.data = {**data, "why": node} if with_context else {"nodes": [node], "edges": []}


def _tree(nodes: list[dict[str, Any]], edges: list[list[str]], options: Options) -> list[str]:
    rows = render_graph.tree_rows(nodes, edges)
    lines = text.table(("STEP", "STATE", "TIME", "WHY"), rows, columns=ui.columns(sys.stdout))
    if not ui.use_color(options.color, sys.stdout):
        return lines
    at = lines[0].index("STATE")
    painted = [ui.paint(lines[0], "bold", True)]
    for line, (_, node) in zip(lines[1:], render_graph.tree(nodes, edges), strict=True):
        state = render_graph.state_of(node)
        words = render_graph.words_of(state)
        style = render_graph.STYLES.get(state)
        if style and line[at:].startswith(words):
            line = line[:at] + ui.paint(words, style, True) + line[at + len(words) :]
        painted.append(line)
    return painted


def _out(lines: list[str]) -> None:
    for line in lines:
        ui.out(line)
