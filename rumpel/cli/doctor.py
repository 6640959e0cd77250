"""`rumpel doctor`: what is wrong around rumpel, and what to type about it."""

from __future__ import annotations

import os
import stat

from rumpel import __version__, paths, text, ui
from rumpel.cli import session
from rumpel.cli.answer import Answer, show
from rumpel.errors import RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

    Row = dict[str, Any]

DESCRIPTION = (
    "Look at Docker, the daemon, git, free space, the pods, this repository and its\n"
    "remotes, and at what is left of pods that are gone. A finding is ok, a warning\n"
    "or a problem, with what to type. Nothing is changed. Ends with 1 for a problem."
)
EXAMPLES = (
    ("rumpel doctor", "all of it"),
    ("rumpel doctor -q", "only what is not ok"),
    ("rumpel doctor --json | jq -r '.data[].hint // empty'", "what to type"),
)
LIMIT_S = 20.0
STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


def add_arguments(parser: Declared) -> None:
    """None of its own."""


def run(args: Arguments, passed: list[str], options: Options) -> int:
    found = daemon(options)
    try:
        answer = session.ask(options, "doctor", {}, within_s=LIMIT_S)
    except RumpelError as error:
        answer = Answer({"result": []})
        found.append(row("daemon", "problem", error.message, error.hint))
    if answer.error is None:
        answer.data = [*found, *answer.data, *socket()]
        problems = sum(one["state"] == "problem" for one in answer.data)
        if problems:
            failed = RumpelError(text.count(problems, "problem"))
            answer.error, answer.exit_code = failed.to_json(), failed.exit_code
    return show(options, "doctor", answer, lambda data: render(data, options))


def daemon(options: Options) -> list[Row]:
    """Starts it, as any command would."""
    try:
        answer = session.ask(options, "daemon-status", {}, within_s=LIMIT_S)
    except RumpelError:
        return []  # the next request says so
    if answer.error is not None:
        return []
    version = str(answer.data["version"])
    words = f"version {version}, process {answer.data['pid']}"
    if version == __version__:
        return [row("daemon", "ok", words)]
    hint = "rumpel daemon restart"
    return [row("daemon", "warning", f"{words}; this is rumpel {__version__}", hint)]


def socket() -> list[Row]:
    """Requests carry the environment: nobody else may reach the socket."""
    path = paths.socket_path()
    found = []
    for place, allowed in ((os.path.dirname(path), 0o700), (path, 0o600)):
        try:
            info = os.lstat(place)
        except OSError as error:
            found.append(row("socket", "problem", f"{place}: {error.strerror}"))
            continue
        mode = stat.S_IMODE(info.st_mode)
        if info.st_uid != os.getuid():
            found.append(row("socket", "problem", f"{place} belongs to user {info.st_uid}"))
        elif mode & ~allowed:
            words = f"{place} is open to others (mode {mode:o})"
            found.append(row("socket", "problem", words, f"chmod {allowed:o} {place}"))
    return found or [row("socket", "ok", f"{path}, for you alone")]


def row(check: str, state: str, words: str, hint: str | None = None) -> Row:
    return {"check": check, "state": state, "text": words, "hint": hint}


def render(data: list[Row], options: Options) -> None:
    import sys

    color = ui.use_color(options.color, sys.stdout)
    for one in data:
        state = str(one["state"])
        if options.quiet and state == "ok":
            continue
        shown = ui.paint(f"{state:<9}", STYLES.get(state, "dim"), color)
        ui.out(f"{shown}{one['check']:<12}{text.safe(str(one['text']))}")
        if one.get("hint"):
            ui.out(f"{'':21}try: {text.safe(str(one['hint']))}")
