"""What the daemon answered, and the one way to show it: for people or as a JSON envelope."""

from __future__ import annotations

import sys

from rumpel import ui

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rumpel.cli.options import Options


class Answer:
    """Result of a request. `error` is RumpelError.to_json(); data may come with an error."""

    __slots__ = ("data", "error", "exit_code", "warnings")

    def __init__(self, message: dict[str, Any]) -> None:
        self.error: dict[str, Any] | None = message.get("error")
        self.data = message.get("data") if self.error else message.get("result")
        self.warnings = [str(text) for text in message.get("warnings") or ()]
        source = self.error or message
        self.exit_code = int(source.get("exit_code", 1 if self.error else 0))


def show(
    options: Options, command: str, answer: Answer, render: Callable[[Any], None] | None = None
) -> int:
    """Print the answer; returns the exit code. `render` writes the data for people."""
    if options.json:
        ui.json_envelope(command, answer.data, warnings=answer.warnings, error=answer.error)
        return answer.exit_code
    if render is not None and answer.data is not None:
        render(answer.data)
        sys.stdout.flush()
    color = ui.use_color(options.color, sys.stderr)
    for warning in answer.warnings:
        ui.warning(warning, color=color)
    if answer.error:
        ui.error(answer.error, color=color)
    return answer.exit_code
