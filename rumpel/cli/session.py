"""One request to the daemon, from connecting to its last message."""

from __future__ import annotations

import os
import sys
import time

from rumpel import client, protocol, text, ui
from rumpel.cli.answer import Answer
from rumpel.errors import Conflict, TimedOut, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rumpel.cli.interrupt import Interrupts
    from rumpel.cli.options import Options
    from rumpel.cli.progress import Progress

    OnAttach = Callable[[client.Connection, dict[str, Any]], dict[str, Any]]

SHOW_AFTER_S = 0.15
RESTARTS = 2


def ask(
    options: Options,
    verb: str,
    args: dict[str, object],
    *,
    tty: bool = False,
    start: bool = True,
    within_s: float | None = None,
    interrupts: Interrupts | None = None,
    attaching: Callable[[], OnAttach] | None = None,
    follower: Progress | None = None,
) -> Answer:
    """Send the request, show what happens, return the answer. Errors of the work are in it.

    `interrupts`: Ctrl-C leaves or cancels the work (else it just ends this process).
    `attaching`: called once the request is on its way, gives what takes over a stream.
    `follower`: takes the events, for as long as somebody reads stdout (else BrokenPipeError).
    `within_s`: a daemon that says nothing for so long is an error (TimedOut).
    """
    request = protocol.request(
        verb,
        args,
        cwd=_cwd(),
        env=dict(os.environ),
        host=options.host,
        tty=tty,
        ask=not options.json and ui.can_ask(),
    )
    for _ in range(RESTARTS):
        with client.connect(start=start, say=_say(options)) as connection:
            if interrupts is not None:
                interrupts.activate()
            connection.send(request)
            waiting = _Waiting(connection, options, interrupts, attaching and attaching())
            waiting.follow(follower)
            last = waiting.until_last(within_s)
            if not last.get("outdated"):
                return Answer(last, waiting.has_shown)
            _await_end(connection, last)
    raise _misfit(last, request)


class _Waiting:
    """The loop over events. Progress is built only when something takes long enough to show."""

    def __init__(
        self,
        connection: client.Connection,
        options: Options,
        interrupts: Interrupts | None,
        on_attach: OnAttach | None,
    ) -> None:
        self.connection = connection
        self.options = options
        self.interrupts = interrupts
        self.on_attach = on_attach
        self.progress: Progress | None = None
        self.has_shown: Callable[[list[str]], bool] | None = None
        """Has the display shown these lines already?"""
        self.output: int | None = None

    def follow(self, follower: Progress | None) -> None:
        self.progress = follower
        if follower is not None and sys.stdout is not None:
            self.output = sys.stdout.fileno()

    def until_last(self, within_s: float | None) -> dict[str, Any]:
        heard = time.monotonic()
        others = [self.interrupts.fileno()] if self.interrupts else []
        try:
            while True:
                timeout_s = self.progress.timeout_s() if self.progress else SHOW_AFTER_S
                if within_s is not None:
                    timeout_s = min(within_s, within_s if timeout_s is None else timeout_s)
                if self.interrupts:
                    timeout_s = self.interrupts.shorten(timeout_s)
                woke = self.connection.poll(timeout_s, *others, output=self.output)
                if self.output in woke:
                    raise BrokenPipeError
                if self.interrupts:
                    self.interrupts.act(self.connection, self._shown)
                if self.connection.fileno() in woke:
                    heard = time.monotonic()
                    last = self._handle(self.connection.receive())
                    if last is not None:
                        return last
                elif not woke:
                    self._shown().tick()
                    if within_s is not None and time.monotonic() - heard > within_s:
                        raise silent(self.connection, within_s)
        finally:
            if self.progress:
                self.progress.close()

    def _shown(self) -> Progress:
        if self.progress is None:
            from rumpel.cli import progress

            self.progress = progress.start(self.options)
            self.has_shown = self.progress.has_shown
        return self.progress

    def _handle(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """The message when it is the last one."""
        event = message.get("event")
        if event is None:
            return message
        if event in ("consent", "choose"):
            from rumpel.cli import consent

            self._shown().pause()
            if self.interrupts:
                self.interrupts.suspend()
            answer = consent.answer(message, is_possible=not self.options.json and ui.can_ask())
            if self.interrupts:
                self.interrupts.activate()
            self.connection.send({"do": event, **answer})
        elif event in ("attach", "seat") and self.on_attach is not None:
            if self.progress:
                self.progress.close()
                self.progress = None
            return self.on_attach(self.connection, message)
        else:
            self._shown().event(message)
        return None


def silent(connection: client.Connection, within_s: float) -> TimedOut:
    """The daemon took the request and hangs."""
    pid = connection.peer_pid()
    who = f"the rumpel daemon (process {pid})" if pid else "the rumpel daemon"
    return TimedOut(
        f"{who} did not answer within {text.duration(within_s)}",
        hint="rumpel daemon restart --force",
    )


def _misfit(last: dict[str, Any], request: dict[str, object]) -> Conflict:
    return Conflict(
        f"the running daemon (version {last.get('version')}) does not fit this rumpel "
        f"({request['version']}) and did not end",
        hint="rumpel daemon restart",
    )


def _await_end(connection: client.Connection, last: dict[str, Any]) -> None:
    """An older daemon that is idle ends by itself; a busy one must not be disturbed."""
    version = last.get("version")
    if last.get("busy"):
        raise Conflict(
            f"the running daemon has version {version} and is busy with other work",
            hint="wait for it, or: rumpel daemon restart --force",
        )
    try:
        while True:
            connection.receive()
    except client.DaemonGone:
        return


def _say(options: Options) -> Callable[[str], None] | None:
    return None if options.quiet or options.json else ui.err


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError as err:
        raise UsageError(
            "the current folder was deleted", hint="cd to a folder that exists"
        ) from err
