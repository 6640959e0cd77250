"""`rumpel daemon`: the background process, for those who want to know. Never needed to start."""

from __future__ import annotations

import os
import signal
import sys
import time

from rumpel import client, paths, text, ui
from rumpel.cli import session
from rumpel.cli.answer import Answer, show
from rumpel.errors import HostUnreachable, NotFound, RumpelError, TimedOut, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Look at, stop or restart the background process that does the work.\n"
    "Every command starts it when needed. Pods and sessions go on without it."
)
EXAMPLES = (
    ("rumpel daemon status", "does it run, since when"),
    ("rumpel daemon logs -f", "follow its log"),
    ("rumpel daemon restart", "stop it and start a new one"),
    ("rumpel daemon stop --force", "stop it even while it works"),
)
ACTIONS = ("status", "logs", "stop", "restart")
END_LIMIT_S = 20.0
KILL_AFTER_S = 90.0
"""Longer than the renewal of a sign-in may take: what is killed in it may lose the answer."""
ANSWER_LIMIT_S = 5.0
POLL_S = 0.02
FOLLOW_S = 0.2
DEFAULT_LINES = 100


def add_arguments(parser: Declared) -> None:
    parser.add_argument(
        "action", choices=ACTIONS, metavar="ACTION", help=text.listing(ACTIONS, "or")
    )
    parser.add_argument(
        "-f",
        "--force",
        "--follow",
        action="store_true",
        help="stop, restart: even while it works; logs: follow",
    )
    parser.add_argument(
        "-n",
        "--lines",
        type=int,
        metavar="N",
        help=f"logs: last N lines (default: {DEFAULT_LINES})",
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.lines is not None and (args.action != "logs" or args.lines < 0):
        raise UsageError("-n goes with logs and a number that is not negative")
    command = f"daemon {args.action}"
    if args.action == "status":
        answer = session.ask(options, "daemon-status", {}, start=False, within_s=ANSWER_LIMIT_S)
        return show(options, command, answer, render_status)
    if args.action == "logs":
        return logs(args.lines if args.lines is not None else DEFAULT_LINES, args.force, options)
    answer = stop(args.force, options)
    if answer.error is None and args.action == "restart":
        answer = session.ask(options, "daemon-status", {})
    return show(options, command, answer, lambda data: render_action(data, args.action, options))


def render_status(data: dict[str, Any]) -> None:
    rows = [
        ("running", f"version {data.get('version')}, process {data.get('pid')}"),
        ("up", text.duration(float(data.get("uptime_s") or 0))),
        ("socket", str(data.get("socket"))),
        ("log", paths.log_path()),
    ]
    rows += [(key, str(data[key])) for key in ("pods", "runs") if key in data]
    for name, value in rows:
        ui.out(f"{name:<8} {text.safe(value)}")


def render_action(data: dict[str, Any], action: str, options: Options) -> None:
    if options.quiet:
        return
    if action == "restart":
        ui.out(f"the daemon runs as process {data.get('pid')}, version {data.get('version')}")
    else:
        ui.out("the daemon stopped" if data.get("pid") else "the daemon was not running")


def stop(force: bool, options: Options) -> Answer:
    """Ask it to end, and wait until it did; one that no longer answers is ended by its pid."""
    try:
        with client.connect(start=False) as connection:
            pid = connection.peer_pid()
        request: dict[str, object] = {"force": force}
        answer = session.ask(options, "daemon-stop", request, start=False, within_s=ANSWER_LIMIT_S)
    except client.NotRunning:
        from rumpel import autostart

        answer = Answer({"result": {"pid": autostart.holder()}, "exit_code": 0})  # it ends just now
    except (TimedOut, HostUnreachable, client.DaemonGone):
        if not force or pid is None or _is_manager(pid):
            raise
        os.kill(pid, signal.SIGKILL)
        answer = Answer({"result": {"pid": pid}, "exit_code": 0})
    ending = None if answer.error is not None else answer.data["pid"]
    if ending is not None and not _wait_for_end(int(ending), force):
        raise RumpelError(
            f"the daemon (process {ending}) did not end within {text.duration(END_LIMIT_S)}",
            hint="rumpel daemon stop --force",
        )
    return answer


def _is_manager(pid: int) -> bool:
    """Whose socket it is, until the daemon that it starts listens on it, too."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return pid == 1 or file.read().strip() == "systemd"
    except OSError:
        return pid == 1


def logs(lines: int, follow: bool, options: Options) -> int:
    """Straight from the file: works for a daemon that is gone or hangs."""
    if options.json and follow:
        raise UsageError("daemon logs -f has no end, so no --json", hint=f"read {paths.log_path()}")
    try:
        file = open(paths.log_path(), "rb")  # noqa: SIM115 - closed below, follow may be endless
    except FileNotFoundError as err:
        raise NotFound("there is no log yet: the daemon never ran") from err
    with file:
        shown = [text.safe_bytes(line, keep="\t") for line in _last_lines(file.read(), lines)]
        if options.json:
            ui.json_envelope("daemon logs", {"lines": shown}, warnings=(), error=None)
            return 0
        for words in shown:
            ui.out(words)
        if not shown and not follow and ui.is_terminal(sys.stdout):
            ui.err("the log is empty")
        rest = b""
        while follow:
            sys.stdout.flush()
            chunk = file.read()
            if not chunk:
                if os.stat(paths.log_path()).st_ino != os.fstat(file.fileno()).st_ino:
                    return logs(DEFAULT_LINES, follow, options)  # rotated
                time.sleep(FOLLOW_S)
                continue
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                ui.out(text.safe_bytes(line, keep="\t"))
    return 0


def _last_lines(data: bytes, lines: int) -> list[bytes]:
    found = data.splitlines()
    return found[-lines:] if lines else []


def _wait_for_end(pid: int, force: bool) -> bool:
    deadline = time.monotonic() + (KILL_AFTER_S if force else END_LIMIT_S)
    while _is_alive(pid):
        if time.monotonic() > deadline:
            if not force:
                return False
            os.kill(pid, signal.SIGKILL)
            force = False
        time.sleep(POLL_S)
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # a zombie has ended
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return True
