"""The live display: one line a step on a terminal, redrawn in place.

Work that ends soon shows nothing. After 0.15 s a line is written by hand, and only after 0.5 s
rich is imported (it costs 100 ms that short work should not pay).
"""

from __future__ import annotations

import os
import sys
import time

from rumpel import text, ui
from rumpel.cli.progress import ENDED, UNEVENTFUL, WORDS, Quiet, name_of, sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rich.live import Live as RichLive

    from rumpel.cli.options import Options

LINE_AFTER_S, RICH_AFTER_S = 0.15, 0.5
REFRESH_S = 0.1
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
MARKS = {"ok": "✓", "cached": "=", "failed": "✗", "upstream-failed": "-", "cancelled": "-"}
STYLES = {"ok": "green", "failed": "red", "running": "cyan", "blocked": "yellow"}
QUIET_STATES = ("waiting", "cached")
COUNTED = ("failed", "cancelled", "upstream-failed", "blocked", "cached")
ERASE_LINE = "\r\033[K"


class Step:
    __slots__ = ("begun", "log", "message")

    def __init__(self, message: dict[str, Any]) -> None:
        self.message = message
        self.begun = time.monotonic()
        self.log = ""

    @property
    def state(self) -> str:
        return str(self.message.get("state"))


class Live(Quiet):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.begun = time.monotonic()
        self.steps: dict[str, Step] = {}
        self.total = 0
        self._has_line = False
        self._rich: RichLive | None = None

    def event(self, message: dict[str, Any]) -> None:
        kind = message.get("event")
        if kind == "planned":
            self.total += sum(node.get("verdict") != "fresh" for node in message.get("nodes") or ())
        elif kind == "node":
            self._node(message)
        elif kind == "log":
            self._log(message)
        elif kind == "notice":
            self._above(lambda: self._notice(message))
        self.tick()

    def say(self, line: str) -> None:
        self._above(lambda: ui.err(line))

    def tick(self) -> None:
        age = time.monotonic() - self.begun
        if self._rich is not None:
            self._rich.update(self._frame(), refresh=True)
        elif age >= RICH_AFTER_S and self._running():
            self._start_rich()
        elif age >= LINE_AFTER_S:
            self._draw_line()

    def timeout_s(self) -> float | None:
        if self._rich is not None or self._has_line:
            return REFRESH_S
        return max(0.01, LINE_AFTER_S - (time.monotonic() - self.begun))

    def pause(self) -> None:
        """Leave the terminal to somebody else; the next event draws again."""
        self._erase()

    def close(self) -> None:
        """Erase what moves; what ran long enough to be seen stays, as plain lines."""
        was_shown = self._rich is not None
        self._erase()
        if not was_shown and not self.options.verbose:
            return
        columns = ui.columns(sys.stderr) or 80
        for step in self.steps.values():
            if step.state in ENDED and (step.state not in UNEVENTFUL or self.options.verbose):
                # One line each; an error's text comes at the end, by itself.
                words = sentence({**step.message, "error": None})
                ui.err(text.clip(f"{name_of(step.message)} · {words}", columns))

    def _node(self, message: dict[str, Any]) -> None:
        node_id = str(message.get("id"))
        step = self.steps.get(node_id)
        if step is None:
            self.steps[node_id] = Step(message)
            return
        if message.get("state") == "running" and step.state != "running":
            step.begun = time.monotonic()
        step.message = message

    def _log(self, message: dict[str, Any]) -> None:
        step = self.steps.get(str(message.get("id")))
        lines = text.safe_lines(str(message.get("text") or ""))
        if step is not None and lines:
            step.log = lines[-1]
        if self.options.verbose:
            name = name_of(step.message if step else message)
            self._above(lambda: ui.err("\n".join(f"{name} | {line}" for line in lines)))

    def _notice(self, message: dict[str, Any]) -> None:
        if message.get("level") == "warning":
            self.warn(str(message.get("text")))
        elif not self.options.json:
            ui.notice(str(message.get("text")))

    def _running(self) -> list[Step]:
        return [step for step in self.steps.values() if step.state == "running"]

    def _above(self, write: Any) -> None:
        """Run `write` with the display out of the way."""
        self._erase()
        write()

    def _erase(self) -> None:
        if self._rich is not None:
            self._rich.stop()
            self._rich = None
        if self._has_line:
            ui.write(sys.stderr, ERASE_LINE)
            sys.stderr.flush()
            self._has_line = False

    def _draw_line(self) -> None:
        # Between two steps the last one is still the best that can be said.
        known = self._running() or [s for s in self.steps.values() if s.state not in QUIET_STATES]
        words = name_of(known[-1].message) if known else "waiting for the rumpel daemon"
        line = f"{self._spin()} {words}"
        ui.write(sys.stderr, ERASE_LINE + text.clip(line, (ui.columns(sys.stderr) or 80) - 1))
        sys.stderr.flush()
        self._has_line = True

    def _start_rich(self) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._erase()
        color = ui.use_color(self.options.color, sys.stderr)
        console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        console.no_color = not color
        self._rich = RichLive(
            self._frame(),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._rich.start(refresh=True)

    def _frame(self) -> Any:
        """The steps worth a line, newest last, never more than the terminal is high."""
        from rich.text import Text

        columns, rows = _terminal_size()
        lines = [line for step in self._visible(rows - 2) for line in self._lines(step, columns)]
        lines = lines[-(rows - 2) :]
        lines.append(Text(text.clip(self._summary(), columns - 1), style="dim"))
        return Text("\n").join(lines)

    def _visible(self, most: int) -> list[Step]:
        steps = [s for s in self.steps.values() if s.state not in QUIET_STATES]
        if len(steps) <= most:
            return steps
        ended = [s for s in steps if s.state != "running"]
        live = [s for s in steps if s.state == "running"]
        return (ended[-max(0, most - len(live)) :] if most > len(live) else []) + live

    def _lines(self, step: Step, columns: int) -> list[Any]:
        from rich.text import Text

        is_running = step.state == "running"
        mark = self._spin() if is_running else MARKS.get(step.state, "!")
        tail = text.duration(time.monotonic() - step.begun) if is_running else ""
        words = name_of(step.message) + ("" if is_running else " · " + sentence(step.message))
        words = text.clip(words, columns - text.width(tail) - 4)
        line = Text(f"{mark} ", style=STYLES.get(step.state, "dim"))
        line.append(words, style="default")
        if tail:
            line.append("  " + tail, style="dim")
        if is_running and step.log:
            return [line, Text(text.clip("    " + step.log, columns - 1), style="dim")]
        return [line]

    def _summary(self) -> str:
        states = [step.state for step in self.steps.values()]
        ended = sum(state in ENDED and state != "cached" for state in states)
        total = max(self.total, ended + states.count("running"))
        parts = [f"{states.count('ok')} of {text.count(total, 'step')} done"]
        parts += [f"{states.count(s)} {WORDS[s].lower()}" for s in COUNTED if s in states]
        parts.append(text.duration(time.monotonic() - self.begun))
        return ", ".join(parts)

    def _spin(self) -> str:
        return SPINNER[int((time.monotonic() - self.begun) / REFRESH_S) % len(SPINNER)]


def _terminal_size() -> tuple[int, int]:
    try:
        columns, rows = os.get_terminal_size(sys.stderr.fileno())
    except OSError:
        return 80, 24
    return columns or 80, max(rows, 6)
