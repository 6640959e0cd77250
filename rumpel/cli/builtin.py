"""`rumpel agent`: the built-in agent, which needs no other program in the pod."""

from __future__ import annotations

import os
import sys

from rumpel import names, ui
from rumpel.cli import run as run_command
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.options import add_pod_making, making
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.agents.headless import Event
    from rumpel.builtin.providers import Choice
    from rumpel.cli.editor import Draft
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared
    from rumpel.client import Connection

USAGE = "rumpel agent [options] NAME [-p PROMPT]"
DESCRIPTION = (
    "The built-in agent: a model of Anthropic, Gemini or xAI works in a pod, with a\n"
    "shell and files there; the program and your key stay on this machine. Makes the\n"
    "pod when it is missing. With -p, -e, or when stdin is no terminal, it does one\n"
    "task and writes the result to stdout; else you talk with it. Ctrl-C stops what\n"
    "it does, a second one leaves. Set ANTHROPIC_API_KEY, GEMINI_API_KEY or\n"
    "XAI_API_KEY. The conversation in a pod goes on, unless you say --new."
)
EXAMPLES = (
    ("rumpel agent a", "talk with it; /edit takes your $EDITOR"),
    ("rumpel agent a -p 'Fix the login'", "one task, its result on stdout"),
    ("rumpel agent a -p 'And test it'", "the next one, same conversation"),
    ("cat task | rumpel agent a --new", "from stdin, from the beginning"),
    ("rumpel agent a -m grok-4.6", "another model"),
    ("rumpel agent a --json -p 'Fix it'", "an event a line, then the result"),
)
MOST_TOKENS = 10**12
LATE_S = 0.5


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME", help="the pod; made when it is missing")
    parser.add_argument("-p", "--prompt", metavar="PROMPT", help="one task; - reads it from stdin")
    parser.add_argument("-m", "--model", metavar="MODEL", help="such as claude-opus-5-5")
    parser.add_argument("--new", action="store_true", help="begin a new conversation")
    parser.add_argument(
        "-c", "--continue", dest="goes_on", metavar="N", help="go on with conversation N"
    )
    parser.add_argument("-e", "--edit", action="store_true", help="one task, written in $EDITOR")
    parser.add_argument("--max-turns", metavar="N", help="no more answers of the model than that")
    parser.add_argument("--max-tokens", metavar="N", help="no more tokens, read and written")
    parser.add_argument("--timeout", metavar="TIME", help="end it after that: 90s, 30m, 2h")
    parser.add_argument(
        "--no-stream", action="store_true", help="ask for whole answers (for some proxies)"
    )
    add_pod_making(parser)


def run(args: Arguments, passed: list[str], options: Options) -> int:
    names.check_pod_name(args.name)
    _check(args, options)
    from rumpel.builtin import providers

    choice = providers.choose(args.model, None, os.environ)  # before a pod is made for nothing
    providers.check(choice)
    numbers = {
        "conversation": _number("--continue", args.goes_on, 10**6),
        "turns": run_command.turns(args.max_turns),
        "tokens": _number("--max-tokens", args.max_tokens, MOST_TOKENS),
        "timeout_s": run_command.seconds(args.timeout),
    }
    draft = _draft(args)
    prompt = _prompt(args) if draft is None else draft.text
    request: dict[str, object] = {"name": args.name, **making(args)}
    shown = run_command.Shown(options, "agent") if prompt is not None else None
    try:
        with Interrupts(look=f"rumpel graph {args.name}") as interrupts:
            sit = _Sit(interrupts, options, choice, shown)
            sit.draft = draft
            answer = session.ask(
                options,
                "seat",
                request,
                interrupts=interrupts,
                follower=shown,
                attaching=lambda: sit.taker(args, numbers, prompt),
            )
    finally:
        if draft is not None:
            draft.tell()
    if shown is not None and answer.data is not None:
        shown.end(str(answer.data.get("text") or ""))
    return show(options, "agent", answer, lambda data: run_command.render(data, options))


class _Sit:
    """Takes the seat, once the daemon has it."""

    def __init__(
        self,
        interrupts: Interrupts,
        options: Options,
        choice: Choice,
        shown: run_command.Shown | None,
    ) -> None:
        self.interrupts, self.options, self.choice, self.shown = interrupts, options, choice, shown
        self.draft: Draft | None = None
        """Where the prompt was written, until it is in the conversation."""

    def taker(
        self, args: Arguments, numbers: dict[str, int | None], prompt: str | None
    ) -> session.OnAttach:
        """Loads the model's library, which takes seconds, while the daemon works or the person
        types.
        """
        from rumpel.builtin import loop, providers
        from rumpel.cli import builtin_seat, builtin_talk

        if prompt is None:
            from threading import Thread

            Thread(target=providers.load, args=(self.choice,), daemon=True).start()
        else:
            self._load()
        wanted = builtin_talk.Wanted(
            model=args.model,
            is_new=args.new,
            number=numbers["conversation"],
            limits=loop.Limits(answers=numbers["turns"], tokens=numbers["tokens"]),
            timeout_s=numbers["timeout_s"],
            is_streamed=not args.no_stream,
            env=dict(os.environ),
        )

        def seated(connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
            self.interrupts.release()
            if prompt is None:
                from rumpel.cli import builtin_chat

                return builtin_chat.chat(connection, message, wanted, self.options)
            talk = builtin_talk.Talk(
                seat=builtin_seat.Seat(connection, message), wanted=wanted, tell=self._tell
            )
            return builtin_talk.task(talk, prompt, self._kept)

        return seated

    def _load(self) -> None:
        """Said when it takes long, as it does the first time."""
        from threading import Timer

        from rumpel.builtin import providers

        say = self.shown.say if self.shown is not None else None
        title = providers.PROVIDERS[self.choice.provider].title
        late = Timer(LATE_S, say or (lambda words: None), [f"loading the library for {title}"])
        late.daemon = True
        late.start()
        try:
            providers.load(self.choice)
        finally:
            late.cancel()

    def _kept(self) -> None:
        if self.draft is not None:
            self.draft.forget()

    def _tell(self, event: Event) -> None:
        from rumpel.agents import headless

        if self.shown is not None:
            line = headless.shown(event)
            self.shown.event({"event": "said", "said": headless.told(event), "line": line})


def _check(args: Arguments, options: Options) -> None:
    """Raises UsageError."""
    if args.new and args.goes_on is not None:
        raise UsageError("--new and --continue are for different conversations")
    if args.edit and args.prompt is not None:
        raise UsageError("the prompt comes from -p or from --edit, not from both")
    if args.prompt is not None or args.edit or not ui.is_terminal(sys.stdin):
        return
    if options.json or not ui.is_terminal(sys.stdout):
        what = "--json" if options.json else "output that is no terminal"
        raise UsageError(f"{what} needs a task", hint=f"rumpel agent {args.name} -p PROMPT")


def _draft(args: Arguments) -> Draft | None:
    """Raises UsageError when nothing was written."""
    if not args.edit:
        return None
    from rumpel.cli import editor

    draft = editor.write()
    run_command.prompt(draft.text)
    return draft


def _prompt(args: Arguments) -> str | None:
    """None: the person is asked, again and again."""
    if args.prompt is None and ui.is_terminal(sys.stdin):
        return None
    return run_command.prompt("-" if args.prompt is None else args.prompt)


def _number(option: str, given: str | None, most: int) -> int | None:
    if given is None:
        return None
    if not given.isdecimal() or not 0 < int(given) <= most:
        raise UsageError(f"{option} takes a number from 1 on, not {given!r}")
    return int(given)
