"""A person talks with the built-in agent: what they type, and what they see."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from rumpel import text, ui
from rumpel.agents import headless as events
from rumpel.agents.headless import Again, Event, Spent, Text, Tool, ToolFailed
from rumpel.builtin import history
from rumpel.builtin.model import ModelError
from rumpel.cli import builtin_talk, editor
from rumpel.cli.builtin_seat import Left, Over, Seat
from rumpel.cli.builtin_talk import Talk, Wanted
from rumpel.cli.editor import Draft
from rumpel.cli.options import Options
from rumpel.client import Connection
from rumpel.errors import RumpelError, TimedOut

PROMPT = "> "
HELP = "/edit writes in your $EDITOR, /new begins anew, /quit or Ctrl-D leaves"


class Screen:
    """What the model says comes as it is said; what it does is a line each."""

    def __init__(self, options: Options) -> None:
        self.color = ui.use_color(options.color, sys.stderr)
        self._has_begun = False
        """Is a line begun and not ended?"""
        self._is_told = False
        """Was the answer's text shown as it came?"""

    def text(self, piece: str) -> None:
        if piece:
            ui.write(sys.stdout, text.safe(piece, keep="\n\t"))
            ui.flush_results()
            self._has_begun, self._is_told = not piece.endswith("\n"), True

    def tell(self, event: Event) -> None:
        if isinstance(event, Text):
            if not self._is_told:
                self.text(event.text)
            self._is_told = False
        if isinstance(event, Tool | ToolFailed | Again):
            self.end_line()
            self._is_told = False
            for line in text.safe_lines(events.shown(event)):
                ui.err(ui.paint(line, "dim" if isinstance(event, Tool) else "yellow", self.color))
        elif isinstance(event, Spent | Text):
            self.end_line()

    def end_line(self) -> None:
        if self._has_begun:
            ui.out()
            ui.flush_results()
            self._has_begun = False


def chat(
    connection: Connection, message: dict[str, Any], wanted: Wanted, options: Options
) -> dict[str, Any]:
    """Until the person leaves; the last message."""
    screen = Screen(options)
    talk = Talk(seat=Seat(connection, message), wanted=wanted, tell=screen.tell)
    error: RumpelError | None = None
    try:
        with builtin_talk.alarm(wanted.timeout_s):
            _open(talk, screen)
            talk.seat.say("waiting")
            while (prompt := _asked()) is not None:
                _take(talk, screen, prompt)
    except Left:  # the daemon ends what it still does, and nobody waits for it
        raise builtin_talk.interrupted(talk.seat.name) from None
    except Over:
        screen.end_line()
        within = text.duration(wanted.timeout_s or 0)
        error = TimedOut(f"the time for this, {within}, is over")
    except RumpelError as problem:
        error = problem
    state = builtin_talk.ENDED if error is None else builtin_talk.FAILED
    return builtin_talk.last(talk, {"state": state, "text": ""}, error)


def _open(talk: Talk, screen: Screen) -> None:
    conversation = talk.open()
    talk.agent.on_text = screen.text
    ui.err(f"{talk.agent.model} in pod {talk.seat.name}; {HELP}")
    if conversation.entries:
        first = text.clip(text.safe(conversation.first.partition("\n")[0]), 50)
        turns = text.count(conversation.turns, "turn")
        ui.err(
            f"conversation {conversation.number} goes on ({first!r}, {turns}); --new begins anew"
        )


def _take(talk: Talk, screen: Screen, given: str | Draft) -> None:
    if isinstance(given, Draft):
        try:
            _turn(talk, screen, given.text, given.forget)
        finally:
            given.tell()
    elif given == "/new":
        talk.begin(history.begin(talk.seat.pod_id))
        talk.agent.on_text = screen.text
        ui.err(f"conversation {talk.agent.conversation.number} begins")
    elif given:
        _turn(talk, screen, given, lambda: None)


def _asked() -> str | Draft | None:
    """None: they leave."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401 - lets input() edit lines
    try:
        typed = input(PROMPT).strip()
    except Over:
        ui.err()
        raise
    except (EOFError, KeyboardInterrupt):
        ui.err()
        return None
    if typed == "/quit":
        return None
    if typed == "/edit":
        try:
            draft = editor.write()
            return draft if draft.text else ""
        except RumpelError as error:
            ui.err(error.message)
            return ""
    if typed == "/help":
        ui.err(HELP)
        return ""
    return typed


def _turn(talk: Talk, screen: Screen, prompt: str, is_kept: Callable[[], None]) -> None:
    try:
        ended = talk.turn(prompt, is_kept)
        screen.end_line()
        if not ended.is_ok:
            ui.err(f"it ended early: {ended.why}")
        ui.err(ui.paint(_spent(talk), "dim", screen.color))
    except ModelError as error:
        screen.end_line()
        ui.error(error.to_json(), color=screen.color)
    except (Left, Over):
        raise
    except KeyboardInterrupt:
        screen.end_line()
        ui.err("stopped; Ctrl-C again leaves")
    talk.seat.say("waiting")


def _spent(talk: Talk) -> str:
    total = talk.agent.total
    least = "at least " if total.is_least else ""
    spent = f"{least}{total.usage.input} tokens in, {total.usage.output} out"
    return spent if total.cost_usd is None else f"{spent}, ${total.cost_usd:.4f}"
