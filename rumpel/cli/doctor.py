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
    "Look at Docker, all hosts, the daemon, git, free space, pods, this repository\n"
    "and its remotes, and what is left of pods that are gone. A finding is ok, a\n"
    "warning or a problem, with what to type. Only --fix changes anything: it puts\n"
    "right what it can without losing work. Ends with 1 for a problem."
)
EXAMPLES = (
    ("rumpel doctor", "all of it"),
    ("rumpel doctor -q", "only what is not ok"),
    ("rumpel doctor --fix", "put right what can be"),
    ("rumpel doctor --json | jq -r '.data[].code'", "for programs"),
)
LIMIT_S = 20.0
FIX_LIMIT_S = 300.0
STYLES = {"ok": "green", "fixed": "green", "warning": "yellow", "problem": "red"}
RESTARTS = frozenset({"daemon-version", "docker-address"})
"""Codes of what a new daemon puts right."""
TEXT_AT = 21
"""Column of what a finding says, behind its state and its name."""


def add_arguments(parser: Declared) -> None:
    parser.add_argument("--fix", action="store_true", help="put right what can be")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    before = places(fix=args.fix)
    found, answer = look(args, options)
    again = [one for one in (*found, *(answer.data or ())) if one.get("code") in RESTARTS]
    if args.fix and again and restarted(options, found):
        found, answer = look(args, options)
        left = {one.get("code") for one in (*found, *(answer.data or ()))}
        found += [fixed(one) for one in again if one["code"] not in left]
    if answer.error is None:
        after = before if args.fix else places()
        answer.data = [*found, *answer.data, *(after or [socket_row()])]
        problems = sum(one["state"] == "problem" for one in answer.data)
        if problems:
            failed = RumpelError(text.count(problems, "problem"))
            answer.error, answer.exit_code = failed.to_json(), failed.exit_code
    return show(options, "doctor", answer, lambda data: render(data, options))


def look(args: Arguments, options: Options) -> tuple[list[Row], Answer]:
    """What the daemon says of itself, and of the rest."""
    found = daemon(options)
    try:
        request: dict[str, object] = {"fix": args.fix}
        limit_s = FIX_LIMIT_S if args.fix else LIMIT_S
        return found, session.ask(options, "doctor", request, within_s=limit_s)
    except RumpelError as error:
        found.append(row("daemon", "problem", error.message, error.hint, error.code))
        return found, Answer({"result": []})


def restarted(options: Options, found: list[Row]) -> bool:
    """One that is busy is left alone."""
    from rumpel.cli import daemon as process

    try:
        answer = process.stop(False, options)
    except RumpelError as error:
        found.append(row("daemon", "warning", f"not restarted: {error.message}", error.hint))
        return False
    return answer.error is None


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
    words, hint = f"{words}; this is rumpel {__version__}", "rumpel daemon restart"
    return [row("daemon", "warning", words, hint, "daemon-version", fixable=True)]


def places(*, fix: bool = False) -> list[Row]:
    """Requests carry the environment, and the state says what there is: it is all for us alone."""
    path = paths.socket_path()
    found = _in_the_way(path, fix=fix)
    for check, place, allowed in (
        ("state", paths.state_dir(), 0o700),
        ("socket", os.path.dirname(path), 0o700),
        ("socket", path, 0o600),
    ):
        found += _open(check, place, allowed, fix=fix)
    return found


def _in_the_way(path: str, *, fix: bool) -> list[Row]:
    """A file where the socket belongs."""
    try:
        if stat.S_ISSOCK(os.lstat(path).st_mode):
            return []
    except OSError:
        return []
    words, hint = f"{path} is in the way: not a socket", f"mv {path} {path}.aside"
    one = row("socket", "problem", words, hint, "socket-in-way", fixable=True)
    if not fix or os.path.lexists(f"{path}.aside"):
        return [one]
    os.rename(path, f"{path}.aside")
    return [fixed(one)]


def _open(check: str, place: str, allowed: int, *, fix: bool) -> list[Row]:
    """Others may use it. What is not there yet will be made right."""
    try:
        info = os.lstat(place)
    except OSError:
        return []
    mode = stat.S_IMODE(info.st_mode)
    if info.st_uid != os.getuid():
        words = f"{place} belongs to user {info.st_uid}"
        return [row(check, "problem", words, None, f"{check}-foreign")]
    if not mode & 0o077:
        return []
    words, hint = f"{place} is open to others (mode {mode:o})", f"chmod {allowed:o} {place}"
    is_shared = bool(info.st_mode & stat.S_ISVTX)  # as /tmp
    if is_shared:
        hint = "set RUMPEL_SOCKET to a path in a folder of your own"
    is_folder = check == "socket" and stat.S_ISDIR(info.st_mode)
    is_shared |= is_folder and bool(os.environ.get("RUMPEL_SOCKET"))  # of whoever chose it
    one = row(check, "problem", words, hint, f"{check}-open", fixable=not is_shared)
    if not fix or is_shared or stat.S_ISLNK(info.st_mode):
        return [one]
    os.chmod(place, allowed)
    return [fixed(one)]


def socket_row() -> Row:
    return row("socket", "ok", f"{paths.socket_path()}, for you alone")


def row(
    check: str,
    state: str,
    words: str,
    hint: str | None = None,
    code: str | None = None,
    *,
    fixable: bool = False,
) -> Row:
    return {
        "check": check,
        "code": code,
        "state": state,
        "text": words,
        "hint": hint,
        "fixable": fixable,
    }


def fixed(one: Row) -> Row:
    return {**one, "state": "fixed", "hint": None, "fixable": False}


def _wrapped(words: str, room: int | None) -> list[str]:
    """Beside the columns before it, on a terminal; what is no terminal gets one line."""
    if room is None or text.width(words) + TEXT_AT <= room:
        return [words]
    from textwrap import wrap

    return wrap(words, max(room - TEXT_AT, 20), break_long_words=False, break_on_hyphens=False)


def render(data: list[Row], options: Options) -> None:
    import sys

    color = ui.use_color(options.color, sys.stdout)
    room = ui.columns(sys.stdout)
    for one in data:
        state = str(one["state"])
        if options.quiet and state == "ok":
            continue
        shown = ui.paint(f"{state:<9}", STYLES.get(state, "dim"), color)
        first, *rest = _wrapped(text.safe(str(one["text"])), room)
        ui.out(f"{shown}{one['check']:<12}{first}")
        for line in rest:
            ui.out(f"{'':{TEXT_AT}}{line}")
        lead = "try: "
        for line in ui.hint(text.safe(str(one.get("hint") or "")), room, taken=TEXT_AT + 5):
            if line:
                ui.out(f"{'':{TEXT_AT}}{lead}{line}")
            lead = "     "
    could = sum(bool(one.get("fixable")) for one in data)
    if could and not options.quiet:
        ui.flush_results()
        ui.err(f"{text.count(could, 'finding')} can be put right: rumpel doctor --fix")
