"""`rumpel run`: an agent does one task in a pod, without a terminal."""

from __future__ import annotations

import sys

from rumpel import client, names, text, ui
from rumpel.cli import progress, session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.options import add_pod_making, making
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel run [options] NAME -p PROMPT [-- ARGS...]"
DESCRIPTION = (
    "An agent does one task in a pod, without a terminal: makes the pod when it is\n"
    "missing, shows what the agent says and does, and ends with it. Its commits are\n"
    "on the host then. The result is written to stdout, all else to stderr. In its\n"
    "pod it does things without asking. Ends with 6 when the agent failed, with 124\n"
    "after --timeout. Ctrl-C ends the agent, too; when your terminal is lost it goes\n"
    "on. What signs it in is taken from the environment: rumpel help claude, codex,\n"
    "gemini, grok."
)
EXAMPLES = (
    ("rumpel run a -p 'Fix the login'", "one task, to its end"),
    ("rumpel run a --continue -p 'Test it'", "the next one, same conversation"),
    ("rumpel run a --agent codex -p 'Fix it'", "by Codex"),
    ("cat task | rumpel run a --max-cost 2 -p -", "from stdin, with a limit"),
    ("rumpel run a -p 'Fix it' -- --model opus", "with options of the agent's own"),
    ("rumpel run a --json -p 'Fix it' | jq .data", "an event a line, then the result"),
)
DEFAULT_AGENT = "claude"
MAX_PROMPT_BYTES = 4 << 20
MAX_S = 7 * 86400
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod; made when it is missing")
    parser.add_argument(
        "-p", "--prompt", metavar="PROMPT", help="what to do; - reads it from stdin"
    )
    parser.add_argument(
        "--agent", metavar="AGENT", default=DEFAULT_AGENT, help=f"which one ({DEFAULT_AGENT})"
    )
    parser.add_argument(
        "-c",
        "--continue",
        dest="goes_on",
        action="store_true",
        help="go on with the agent's last conversation in the pod",
    )
    parser.add_argument("--max-turns", metavar="N", help="no more answers of the model than that")
    parser.add_argument("--max-cost", metavar="DOLLARS", help="spend no more than that")
    parser.add_argument(
        "--timeout", metavar="TIME", help="end it after that: 90s, 30m, 2h (default: 24h)"
    )
    add_pod_making(parser)


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    request: dict[str, object] = {
        "name": args.name,
        "agent": args.agent,
        "argv": passed,
        "continue": args.goes_on,
        "turns": turns(args.max_turns),
        "dollars": _dollars(args.max_cost),
        "timeout_s": seconds(args.timeout),
        **making(args),
        "prompt": _prompt(args.prompt, args.name),
    }
    shown = Shown(options)
    with Interrupts(look=f"rumpel logs -f {args.name} run", cancels=True) as interrupts:
        try:
            answer = session.ask(options, "run", request, interrupts=interrupts, follower=shown)
        except client.DaemonGone as lost:
            lost.hint = f"rumpel logs {args.name} run"
            raise
    if answer.data is not None:
        shown.end(str(answer.data.get("text") or ""))
    return show(options, "run", answer, lambda data: render(data, options))


class Shown:
    """What the agent says, between the steps around it. A text is shown with what follows it:
    the last one is the result.
    """

    def __init__(self, options: Options, command: str = "run") -> None:
        self.options = options
        self.command = command
        self.steps = progress.start(options)
        self.say, self.pause, self.tick = self.steps.say, self.steps.pause, self.steps.tick
        self.timeout_s, self.close = self.steps.timeout_s, self.steps.close
        self.has_shown = self.steps.has_shown
        self._held = ""

    def event(self, message: dict[str, Any]) -> None:
        is_own = str(message.get("id")).startswith("run/")
        if message.get("event") == "said":
            self._said(message)
        elif is_own and message.get("event") == "node":
            self.steps.event({**message, "error": None})  # the last thing that is told
        elif message.get("event") != "log" or not is_own:
            self.steps.event(message)

    def end(self, result: str) -> None:
        if self._held != result:
            self._flush()

    def _said(self, message: dict[str, Any]) -> None:
        said, line = message.get("said") or {}, str(message.get("line") or "")
        if self.options.json:
            ui.json_envelope(self.command, said, warnings=(), error=None)
            ui.flush_results()
        elif line and not self.options.quiet:
            self._flush()
            if said.get("kind") == "text":
                self._held = line
            else:
                self._show(line)

    def _flush(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._show(held)

    def _show(self, lines: str) -> None:
        for line in text.safe_lines(lines):
            self.say(line)


def render(data: dict[str, Any], options: Options) -> None:
    """The result on stdout; then what it took, what arrived, and what to type."""
    for line in text.safe_lines(str(data.get("text") or "")):
        ui.out(line)
    if options.quiet:
        return
    ui.flush_results()
    name = text.safe(str(data.get("name")))
    took = _took(data)
    if took:
        ui.err(f"{name} · {', '.join(took)}")
    for row in data.get("arrived") or ():
        what = text.count(int(row["commits"]), "commit")
        branch, at = text.safe(str(row["branch"])), str(row["commit"])[:10]
        ui.err(f"{name} · {what} arrived on {branch}, now at {at}")
    for row in data.get("refused") or ():
        ui.err(text.safe(f"{name} · branch {row['branch']} was refused: {row['reason']}"))
    if data.get("dirty"):
        ui.err(f"{name} · {text.count(int(data['dirty']), 'file is', 'files are')} not committed")
    lead = "next:"
    for line in _next(data, name):
        ui.err(f"{lead} {line}")
        lead = "     "


def _next(data: dict[str, Any], name: str) -> list[str]:
    """What to type; to who sits in front of a terminal all of it. A failure has its own hint."""
    lines = []
    if data.get("arrived") or data.get("dirty"):
        lines.append(f"rumpel review {name}" + ("" if data["arrived"] else " --include-dirty"))
    if data.get("state") == "done" and ui.is_terminal(sys.stderr):
        agent = str(data.get("agent") or DEFAULT_AGENT)
        which = "" if agent == DEFAULT_AGENT else f" --agent {text.safe(agent)}"
        lines.append(f"rumpel run {name}{which} --continue -p TASK")
        lines.append(f"rumpel logs {name} run")
    return lines


def _took(data: dict[str, Any]) -> list[str]:
    """`done in 12.3 s`, `3 turns`, `1200 tokens in, 340 out`, `$0.0123`."""
    if data.get("duration_s") is None:
        return []
    parts = [f"{data.get('state')} in {text.duration(float(data['duration_s']))}"]
    if data.get("turns") is not None:
        parts.append(text.count(int(data["turns"]), "turn"))
    if data.get("tokens_in") or data.get("tokens_out"):
        parts.append(f"{data['tokens_in']} tokens in, {data['tokens_out']} out")
    if data.get("cost_usd") is not None:
        parts.append(f"${data['cost_usd']:.4f}")
    return parts


def _prompt(given: str | None, name: str) -> str:
    if given is None:
        raise UsageError(
            "what is the agent to do?",
            hint=f"rumpel run {name} -p PROMPT, or -p - to read it from stdin",
        )
    return prompt(given)


def prompt(given: str) -> str:
    """`-`: all of stdin. Raises UsageError."""
    if given == "-":
        data = sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1) if sys.stdin is not None else b""
        if len(data) > MAX_PROMPT_BYTES:
            raise UsageError(f"the prompt is longer than {MAX_PROMPT_BYTES} bytes")
        given = data.decode("utf-8", "surrogateescape")
    if not given.strip():
        raise UsageError("the prompt is empty")
    return given


def turns(given: str | None) -> int | None:
    if given is None:
        return None
    if not given.isdecimal() or not 0 < int(given) <= 100_000:
        raise UsageError(f"--max-turns takes a number from 1 on, not {given!r}")
    return int(given)


def _dollars(given: str | None) -> str | None:
    if given is None:
        return None
    whole, _, rest = given.partition(".")
    if not (whole + rest).isdecimal() or not float(given) > 0:
        raise UsageError(f"--max-cost takes dollars such as 2 or 0.50, not {given!r}")
    return given


def seconds(given: str | None) -> int | None:
    if given is None:
        return None
    number, unit = (given[:-1], given[-1:]) if given[-1:] in UNITS else (given, "s")
    if not number.isdecimal() or not 0 < int(number) * UNITS[unit] <= MAX_S:
        raise UsageError(
            f"--timeout takes a time such as 90s, 30m or 2h, at most 7d: not {given!r}"
        )
    return int(number) * UNITS[unit]
