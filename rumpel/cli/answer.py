"""What the daemon answered, and the one way to show it: for people or as a JSON envelope."""

from __future__ import annotations

import sys

from rumpel import text, ui

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rumpel.cli.options import Options


class Answer:
    """Result of a request. `error` is RumpelError.to_json(); data may come with an error."""

    __slots__ = ("data", "error", "exit_code", "has_shown", "warnings")

    def __init__(
        self, message: dict[str, Any], has_shown: Callable[[list[str]], bool] | None = None
    ) -> None:
        self.error: dict[str, Any] | None = message.get("error")
        self.data: Any = message.get("data") if self.error else message.get("result")
        self.warnings = [str(text) for text in message.get("warnings") or ()]
        source = self.error or message
        self.has_shown = has_shown or (lambda lines: False)
        """Did these lines of foreign output pass by while the work was done?"""
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
        ui.flush_results()
    color = ui.use_color(options.color, sys.stderr)
    for warning in answer.warnings:
        ui.warning(warning, color=color)
    for problem in problems(answer):
        is_known = answer.has_shown(ui.tail_lines(problem))
        ui.error(problem, color=color, with_tail=not is_known)
    return answer.exit_code


def problems(answer: Answer) -> list[dict[str, Any]]:
    """The errors to show: with several targets each one's own (the same one once), and a count."""
    if answer.error is None:
        return []
    rows = answer.data if isinstance(answer.data, list) else []
    failed = [row["error"] for row in rows if isinstance(row, dict) and row.get("error")]
    if len(rows) < 2 or not failed:
        return [answer.error]
    distinct = {str(error.get("message")): error for error in failed}
    count = f"{len(failed)} of {text.count(len(rows), 'pod')} failed"
    return [*distinct.values(), {"message": count}]
