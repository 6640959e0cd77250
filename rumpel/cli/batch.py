"""`rumpel batch`: many tasks from one file, as one graph."""

from __future__ import annotations

import os
import sys

from rumpel import client, text, ui
from rumpel.cli import session
from rumpel.cli.answer import Answer, show
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import Conflict, NotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel batch ACTION [FILE] [TASK...] [options]"
DESCRIPTION = (
    "Run many tasks from one file (YAML, JSON, JSONC, JSONL or TOML): each gets a pod\n"
    "of its name, an agent or a command works in it, its commits arrive on the host,\n"
    "and a command verifies them. What tasks share is done once, the rest at once.\n"
    "Run the same file again to go on: what is done is not done again, and no agent\n"
    "is told its task twice. Ends with 7 when some tasks are not done."
)
EXAMPLES = (
    ("rumpel batch init", "write an example to batch.yaml"),
    ("rumpel batch check batch.yaml", "what it would do, and nothing else"),
    ("rumpel batch run batch.yaml", "run it, or go on; Ctrl-C leaves it running"),
    ("rumpel batch status --follow", "look at the last one"),
    ("rumpel batch retry batch.yaml", "those that failed, once more"),
    ("rumpel batch report", "what came of it; --format html is a page"),
    ("rumpel batch land", "merge what is done, each tree verified first"),
)
ACTIONS = {
    "init": "write an example file",
    "check": "validate a file and show the plan",
    "run": "run a file, or go on with it",
    "status": "show where each task is",
    "wait": "wait for the end",
    "retry": "try failed tasks again, and what needs them",
    "cancel": "end what is at work",
    "report": "what came of it: markdown, html or json",
    "land": "merge what is done, in order, each merged tree verified",
    "list": "the batches of this repository",
    "attach": "what a task writes, as it writes it",
    "schema": "print the JSON Schema of a batch file",
}
FORMATS = ("markdown", "html", "json")
DEFAULT_FILE = "batch.yaml"
MAX_BYTES = 4 << 20
EXAMPLE = """\
# rumpel batch check {name}    shows what this would do
# rumpel batch run {name}      does it; again: goes on
defaults:
  agent: claude           # or codex, gemini, grok
  verify: make test       # in the pod; a task is done when this ends with 0
  limits: {{time: 30m, cost: 2}}
concurrency: 4            # tasks at once
tasks:
  - name: login           # also the name of its pod and branch
    prompt: Fix the login.
  - name: docs
    agent: codex          # not as in defaults
    prompt: |             # or prompt_file: prompts/docs.md
      Document every function of the login.
      Keep to the style of the others.
  - name: release
    needs: [login, docs]  # starts from what they committed, merged
    command: make release-notes && git commit -qam "Release notes"
"""


def add_arguments(parser: Declared) -> None:
    parser.add_argument(
        "action", choices=tuple(ACTIONS), metavar="ACTION", help=text.listing(tuple(ACTIONS), "or")
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="FILE",
        help="the file, or the name of a batch that was run; for retry and land, tasks follow",
    )
    parser.add_argument("-f", "--follow", action="store_true", help="status: until it ends")
    parser.add_argument(
        "--no-wait", action="store_true", help="run, retry: return at once; it goes on"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        metavar="FORMAT",
        help=f"report: {text.listing(FORMATS, 'or')} (markdown)",
    )
    parser.add_argument(
        "--trust", action="store_true", help="allow what the configuration does to this machine"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="the devcontainer.json to use, when there are several"
    )


OF_ACTIONS = {"follow": ("status",), "no_wait": ("run", "retry"), "format": ("report",)}
"""Options that are of no use to the others."""


def run(args: Arguments, passed: list[str], options: Options) -> int:
    _check(args)
    file = args.names[0] if args.names else ""
    if args.action == "attach":
        return attach(file, options)
    if args.action == "init":
        return init(file or DEFAULT_FILE, options)
    if not file and args.action in ("check", "run", "retry"):
        file = _default(args.action)
    request: dict[str, object] = {
        "action": args.action,
        "file": file,
        "text": _stdin() if file == "-" else "",
        "names": args.names[1:],
        "follow": args.follow,
        "no_wait": args.no_wait,
        "trust": args.trust,
        "config": args.config,
    }
    if args.action == "land":
        from rumpel.cli import batch_land

        return batch_land.run(options, request)
    if args.action == "list":
        return listed(options, request)
    if args.action == "schema":
        return schema(options, request)
    if args.action == "report":
        return report(options, request, args.format or FORMATS[0])
    return _followed(options, request)


def _check(args: Arguments) -> None:
    """Raises UsageError for words that would be of no use."""
    for name, actions in OF_ACTIONS.items():
        if getattr(args, name) not in (False, None) and args.action not in actions:
            flag = "--" + name.replace("_", "-")
            raise UsageError(f"{flag} is for batch {text.listing(actions, 'and')}")
    if args.names and args.action in ("list", "schema"):
        raise UsageError(f"batch {args.action} takes no file")
    if args.names[1:] and args.action not in ("retry", "land"):
        raise UsageError(f"batch {args.action} takes one file, not {len(args.names)}")


def _followed(options: Options, request: dict[str, object]) -> int:
    from rumpel.cli import batch_table

    shown = batch_table.start(options)
    works = request["action"] in ("run", "retry", "cancel")
    try:
        with Interrupts(look="rumpel batch status --follow") as interrupts:
            answer = session.ask(
                options,
                "batch",
                request,
                interrupts=interrupts if works else None,  # who looks on ends nothing
                follower=shown,
            )
    except client.DaemonGone as error:
        error.hint = "rumpel batch run FILE   goes on; agents are at work meanwhile"
        raise
    draw = batch_table.render_plan if request["action"] == "check" else batch_table.render
    return show(options, "batch", answer, lambda data: draw(data, options))


def report(options: Options, request: dict[str, object], form: str) -> int:
    options.json = options.json or form == "json"
    answer = session.ask(options, "batch", request)

    def render(data: dict[str, Any]) -> None:
        from rumpel.cli import batch_report

        draw = batch_report.html if form == "html" else batch_report.markdown
        for line in draw(data):
            ui.out(line)

    return show(options, "batch", answer, render)


def listed(options: Options, request: dict[str, object]) -> int:
    from rumpel.cli import batch_table

    answer = session.ask(options, "batch", request)
    return show(options, "batch", answer, lambda rows: batch_table.render_list(rows, options))


def attach(task: str, options: Options) -> int:
    """`rumpel logs -f TASK work`."""
    if not task:
        raise UsageError("which task?", hint="rumpel batch attach TASK")
    from rumpel.cli import grammar, logs

    found, passed = grammar.parse("logs", logs, ["-f", task, "work"])
    return logs.run(found, passed, options)


def schema(options: Options, request: dict[str, object]) -> int:
    answer = session.ask(options, "batch", request)

    def render(data: dict[str, Any]) -> None:
        import json

        ui.out(json.dumps(data, indent=2))

    return show(options, "batch", answer, render)


def init(file: str, options: Options) -> int:
    """Never over a file that is there."""
    try:
        with open(file, "x", encoding="utf-8") as out:
            out.write(EXAMPLE.format(name=file))
    except FileExistsError as error:
        raise Conflict(f"{file} is there already", hint="rumpel batch init OTHER.yaml") from error
    except OSError as error:
        raise NotFound(f"{file} cannot be written: {error.strerror}") from error
    data = {"file": file}

    def render(_: object) -> None:
        ui.out(f"wrote {text.safe(file)}")
        if ui.is_terminal(sys.stderr) and not options.quiet:
            ui.flush_results()
            ui.err(f"next: rumpel batch check {text.safe(file)}")

    return show(options, "batch", Answer({"result": data}), render)


def _default(action: str) -> str:
    if os.path.exists(DEFAULT_FILE):
        return DEFAULT_FILE
    raise UsageError(
        "which file?", hint=f"rumpel batch {action} FILE; rumpel batch init   writes an example"
    )


def _stdin() -> str:
    data = sys.stdin.buffer.read(MAX_BYTES + 1) if sys.stdin is not None else b""
    if len(data) > MAX_BYTES:
        raise UsageError(f"the file is larger than {MAX_BYTES >> 20} MiB")
    return data.decode("utf-8", "surrogateescape")
