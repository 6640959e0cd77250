"""Commands that go on as things happen: what each of them takes from the daemon, and their ends."""

from __future__ import annotations

from rumpel import client, ui
from rumpel.cli import session
from rumpel.cli.progress import Quiet

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rumpel.cli.answer import Answer
    from rumpel.cli.options import Options


class Follower(Quiet):
    """Hands over the messages of some events; each hand-over is on the screen when it returns."""

    def __init__(
        self, options: Options, take: Callable[[dict[str, Any]], None], *kinds: str
    ) -> None:
        super().__init__(options)
        self.take, self.kinds = take, kinds
        self.warnings: list[str] = []
        """Not told yet: for the next envelope."""

    def event(self, message: dict[str, Any]) -> None:
        if message.get("event") in self.kinds:
            self.take(message)
            ui.flush_results()
        elif message.get("event") == "notice" and message.get("level") != "warning":
            if not self.options.json and not self.options.quiet:
                self.say(str(message.get("text")))
        else:
            super().event(message)

    def say(self, line: str) -> None:
        ui.notice(line)

    def warn(self, line: str) -> None:
        if self.options.json:
            self.warnings.append(line)
        else:
            super().warn(line)

    def envelope(self, command: str, data: object) -> None:
        """One for each thing that happened, a line each, with the same data as a single one."""
        ui.json_envelope(command, data, warnings=self.warnings, error=None)
        self.warnings.clear()


def ask(
    options: Options,
    verb: str,
    args: dict[str, object],
    follower: Follower,
    *,
    again: Callable[[], str] | None = None,
) -> Answer:
    """`again`: what to type to go on, for when the daemon is lost. Raises DaemonGone with it."""
    try:
        return session.ask(options, verb, args, follower=follower)
    except client.DaemonGone as lost:
        if again is not None:
            lost.hint = again()
        raise
