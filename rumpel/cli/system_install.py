"""`rumpel system-install`: the daemon as a service of yours. Nothing needs it."""

from __future__ import annotations

import os

from rumpel import paths, text, ui
from rumpel.cli import daemon, service
from rumpel.cli.answer import Answer, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Have the daemon started by systemd (your own instance of it, by a socket, when\n"
    "somebody asks) or by launchd, instead of by the first command. It then knows no\n"
    "terminal, and is started again after a crash. Nothing needs this. Run it again\n"
    "after an upgrade or a move of rumpel; pods and agents in them go on meanwhile."
)
EXAMPLES = (
    ("rumpel system-install", "again: only what is missing"),
    ("systemctl --user status rumpel.service", "what systemd knows of it"),
    ("rumpel system-uninstall", "as before"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument(
        "-f", "--force", action="store_true", help="also while operations run; they are ended"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    kind = service.manager()
    wanted = service.files(kind, os.environ)
    is_new = bool(service.differ(wanted)) or not service.is_active(kind)
    if is_new:
        paths.ensure_private(paths.runtime_dir())
        stopped = daemon.stop(bool(args.force), options)  # else two would want the socket
        if stopped.error is not None:
            return show(options, "system-install", stopped)
        service.write(wanted)
        service.enable(kind, wanted)
    data = {
        "manager": kind,
        "changed": is_new,
        "files": sorted(wanted),
        "socket": paths.socket_path(),
    }
    answer = Answer({"result": data, "exit_code": 0})
    return show(options, "system-install", answer, lambda data: render(data, options))


def render(data: dict[str, Any], options: Options) -> None:
    if options.quiet:
        return
    how = "installed" if data["changed"] else "installed already, nothing to do"
    ui.out(f"{how}: {data['manager']} starts the daemon when it is needed")
    for path in data["files"]:
        ui.out(f"  {text.safe(str(path))}")
