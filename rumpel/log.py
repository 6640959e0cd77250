"""The daemon's log file and crash files. Lines carry the pod and node they are about."""

from __future__ import annotations

import logging
import logging.handlers
import os
import platform
import time
import traceback
from contextvars import ContextVar

from rumpel import __version__, paths
from rumpel.errors import RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES, KEPT_FILES = 5 << 20, 3
KEPT_CRASHES = 20
FORMAT = "%(asctime)s %(levelname)s %(name)s%(about)s %(message)s"

about: ContextVar[str] = ContextVar("about", default="")
"""What the current task works on, e.g. `pod a` or a node id; shown on every line."""


class AboutFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        subject = about.get()
        record.about = f" [{subject}]" if subject else ""
        return True


def set_up(path: str | None = None, *, level: int = logging.INFO) -> logging.Handler:
    """Send all logging to the log file (rotated). Returns the handler, to be closed at the end."""
    path = path or paths.log_path()
    paths.ensure_private(os.path.dirname(path))
    handler = logging.handlers.RotatingFileHandler(
        path,
        maxBytes=MAX_BYTES,
        backupCount=KEPT_FILES,
        encoding="utf-8",
        errors="backslashreplace",
    )
    formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(AboutFilter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level)
    return handler


def write_crash(error: BaseException, request: Mapping[str, object]) -> str | None:
    """A file ready to be pasted into an issue; its path, or None when it cannot be written."""
    lines = [
        f"rumpel {__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"time: {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}",
        *[f"{key}: {value!r}" for key, value in request.items()],
        "",
        *[part.rstrip("\n") for part in traceback.format_exception(error)],
    ]
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{time.time_ns() % 10**9:09d}.txt"
    try:
        folder = paths.ensure_private(paths.crash_dir())
        path = f"{folder}/{name}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(lines) + "\n")
        for old in sorted(os.listdir(folder))[:-KEPT_CRASHES]:
            os.unlink(f"{folder}/{old}")
    except (OSError, RumpelError):  # the report of the bug itself must still come out
        return None
    return path
