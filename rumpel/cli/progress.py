"""What is shown on stderr while the daemon works: nothing, plain lines, or a live display."""

from __future__ import annotations

import time

from rumpel import text, ui

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    from rumpel.cli.options import Options

    class Progress(Protocol):
        def event(self, message: dict[str, Any]) -> None: ...
        def say(self, line: str) -> None: ...
        def tick(self) -> None: ...
        def timeout_s(self) -> float | None: ...
        def pause(self) -> None: ...
        def close(self) -> None: ...
        def has_shown(self, lines: list[str]) -> bool: ...


WORDS = {
    "running": "running",
    "cached": "cached",
    "ok": "done",
    "failed": "FAILED",
    "upstream-failed": "not run",
    "cancelled": "cancelled",
    "blocked": "blocked",
}
ENDED = frozenset({"cached", "ok", "failed", "upstream-failed", "cancelled", "blocked"})
UNEVENTFUL = frozenset({"cached", "upstream-failed"})
"""What nobody needs to be told unless they ask (-v)."""
STILL_RUNNING_S = 10.0
KEPT_LINES = 100


def start(options: Options) -> Progress:
    """The display that fits the options and the terminal."""
    if options.quiet:
        return Quiet(options)
    if ui.is_fancy():
        from rumpel.cli.live import Live

        return Live(options)
    return Quiet(options) if options.json else Plain(options)


class Quiet:
    """Warnings only; not even those when the JSON envelope will carry them."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def event(self, message: dict[str, Any]) -> None:
        if message.get("event") == "notice" and message.get("level") == "warning":
            self.warn(str(message.get("text")))

    def warn(self, line: str) -> None:
        if not self.options.json:
            ui.warning(line)

    def say(self, line: str) -> None:
        ui.err(line)

    def tick(self) -> None: ...

    def timeout_s(self) -> float | None:
        return None

    def pause(self) -> None: ...

    def close(self) -> None: ...

    def has_shown(self, lines: list[str]) -> bool:
        """Are these lines on the screen, one below the other, as the log of one step?"""
        return False


class Plain(Quiet):
    """One line for each thing that happened: no cursor movement, no truncation."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.names: dict[str, str] = {}
        self.running: dict[str, tuple[float, float]] = {}
        """Node -> when it began, when to say again that it still runs."""
        self.logs: dict[str, list[str]] = {}
        """Node -> the last lines of its log that were written."""

    def event(self, message: dict[str, Any]) -> None:
        kind = message.get("event")
        if kind == "node":
            self.node(message)
        elif kind == "log":
            self._log(str(message.get("id")), message)
        elif kind == "notice" and message.get("level") != "warning":
            ui.notice(str(message.get("text")))
        else:
            super().event(message)

    def node(self, message: dict[str, Any]) -> None:
        state, node_id = str(message.get("state")), str(message.get("id"))
        name = self.names[node_id] = name_of(message)
        if state == "running":
            now = time.monotonic()
            self.running[node_id] = (now, now + STILL_RUNNING_S)
        else:
            self.running.pop(node_id, None)
        if state in ENDED and (state not in UNEVENTFUL or self.options.verbose):
            ui.err(f"{name} · {sentence(message)}")

    def has_shown(self, lines: list[str]) -> bool:
        wanted = _full(lines)
        size = len(wanted)
        return any(
            wanted == log[at : at + size]
            for log in self.logs.values()
            for at in range(len(log) - size + 1)
        )

    def timeout_s(self) -> float | None:
        moments = [again for _, again in self.running.values()]
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def tick(self) -> None:
        """Long and silent work says now and then that it is alive."""
        now = time.monotonic()
        for node_id, (begun, again) in self.running.items():
            if now >= again:
                ui.err(f"{self.names[node_id]} · running ({text.duration(now - begun)})")
                self._put_off(node_id)

    def _log(self, node_id: str, message: dict[str, Any]) -> None:
        self._put_off(node_id)
        name = self.names.get(node_id, name_of(message))
        lines = text.safe_lines(str(message.get("text") or ""))
        for line in lines:
            ui.err(f"{name} | {line}")
        self.logs[node_id] = [*self.logs.get(node_id, ()), *_full(lines)][-KEPT_LINES:]

    def _put_off(self, node_id: str) -> None:
        if node_id in self.running:
            begun, _ = self.running[node_id]
            now = time.monotonic()
            self.running[node_id] = (begun, now + max(STILL_RUNNING_S, now - begun))


def _full(lines: list[str]) -> list[str]:
    """Without the empty ones: a builder's log events have none, its whole output does."""
    return [line for line in lines if line.strip()]


def name_of(message: dict[str, Any]) -> str:
    """`a · Starting container`; without a pod (shared steps) only the title."""
    title = text.safe(str(message.get("title") or message.get("id")))
    pod = message.get("pod")
    return f"{text.safe(str(pod))} · {title}" if pod else title


def sentence(message: dict[str, Any]) -> str:
    """`done (0.24 s)`, `FAILED (3.1 s): pip exited with code 1`, `cached`."""
    state = str(message.get("state"))
    words = WORDS.get(state, text.safe(state))
    elapsed = message.get("elapsed_s")
    if elapsed is not None and state in ("ok", "failed"):
        words += f" ({text.duration(float(elapsed))})"
    error = message.get("error")
    if error and state in ("failed", "blocked"):
        words += ": " + text.safe(str(error.get("message") or "").split("\n")[0])
    return words
