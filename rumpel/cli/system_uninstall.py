"""`rumpel system-uninstall`: undo `system-install`; with --purge everything of rumpel's goes."""

from __future__ import annotations

import os

from rumpel import text, ui
from rumpel.cli import daemon, purge, service
from rumpel.cli.answer import Answer, show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Take the service away that system-install made; the daemon is started by the\n"
    "first command again. With --purge also all pods, containers, images, volumes,\n"
    "rumpel's state, its cache and its refs in your repositories: they are listed,\n"
    "and you are asked. Work of a pod that is nowhere else keeps all as it is, unless\n"
    "you say --force. Your settings stay."
)
EXAMPLES = (
    ("rumpel system-uninstall", "the service only"),
    ("rumpel system-uninstall --purge", "everything; lists it and asks first"),
    ("rumpel system-uninstall --purge --yes", "does not ask"),
)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("--purge", action="store_true", help="remove all that is of rumpel")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask before --purge")
    parser.add_argument(
        "-f",
        "--force",
        action="store_true",
        help="also while operations run, and with work that is nowhere else",
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    purged = None
    if args.purge:
        purged = purge.pods(options, force=bool(args.force), is_agreed=bool(args.yes))
        if purged.error is not None:
            return show(options, "system-uninstall", purged)
    stopped = daemon.stop(bool(args.force), options)
    if stopped.error is not None:
        return show(options, "system-uninstall", stopped)
    data: dict[str, Any] = {"manager": None, "files": [], "purged": None}
    try:
        data["manager"] = kind = service.manager()
    except service.NoManager:
        kind = service.SYSTEMD  # its files may be there all the same
    wanted = service.files(kind, os.environ)
    if data["manager"] is not None and (service.is_active(kind) or not _are_gone(wanted)):
        service.disable(kind)
    data["files"] = service.remove(wanted)
    if data["manager"] is not None and data["files"]:
        service.forget(kind)
    if purged is not None:
        data["purged"] = {**purged.data, "folders": purge.folders()}
    answer = Answer({"result": data, "exit_code": 0})
    return show(options, "system-uninstall", answer, lambda data: render(data, options))


def _are_gone(wanted: dict[str, bytes]) -> bool:
    return not any(map(os.path.lexists, wanted))


def render(data: dict[str, Any], options: Options) -> None:
    if options.quiet:
        return
    ui.out("the service is gone" if data["files"] else "no service was installed")
    for path in (data["purged"] or {}).get("folders", ()):
        ui.out(f"removed {text.safe(str(path))}")
