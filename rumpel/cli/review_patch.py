"""The diff of a review: as it is for programs, made safe and coloured for a terminal.

Git runs in a view, so nothing of the pod decides how. A terminal obeys what a file contains, and
git's own colours cannot be told from a pod's: so git draws none, every byte passes the sanitiser,
and the colours are put on last.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from binascii import a2b_base64

from rumpel import paths, text, ui
from rumpel.adapters import git_view
from rumpel.errors import CommandFailed, RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO, Any

LEADING = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_EXTERNAL_DIFF",
    "GIT_ATTR_SOURCE",
)
"""Variables that would lead git elsewhere than into the view."""
SETTINGS = r"^diff\.(algorithm|context|interhunkcontext|indentheuristic|renamelimit)$"
"""What of the user's configuration may shape a diff: none of it runs anything."""
HUNK = "@@ -"
STYLES = {"+": "green", "-": "red", "@": "cyan"}


class Opened:
    """A view for this process, removed at the end."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self._wanted = wanted

    def __enter__(self) -> git_view.View:
        parent = paths.ensure_private(paths.runtime_dir())
        git_view.sweep(parent)
        try:
            self._view = git_view.make(parent, self._wanted["objects"], self._wanted["format"])
        except OSError as err:
            raise RumpelError(f"{parent} cannot be written: {err.strerror}") from err
        return self._view

    def __exit__(self, *_: object) -> None:
        git_view.remove(self._view)


def show(files: list[dict[str, Any]], wanted: dict[str, Any], *, color: str) -> None:
    """Print the diff; through the user's pager on a terminal. Raises RumpelError."""
    is_terminal = ui.is_terminal(sys.stdout)
    with Opened(wanted) as view:
        argv = view.argv(
            *(word for key, value in settings(SETTINGS) for word in ("-c", f"{key}={value}")),
            "diff",
            *git_view.PLAIN_DIFF,
            "--no-relative",
            "-M",
            "-p",
            *order(view, files),
            wanted["old"],
            wanted["new"],
            "--",
            *wanted["paths"],
        )
        options: dict[str, Any] = {
            "env": view.env(isolated()),
            "cwd": view.cwd(wanted["prefix"]),
            "stdin": subprocess.DEVNULL,
        }
        if not is_terminal and color != "always":
            sys.stdout.flush()
            _ended(subprocess.run(argv, check=False, **options).returncode)
            return
        with subprocess.Popen(argv, stdout=subprocess.PIPE, **options) as git:
            lines = drawn(git.stdout or (), color=ui.use_color(color, sys.stdout))
            _page(lines) if is_terminal else _print(lines)
        if git.returncode != -signal.SIGPIPE:  # that is a pager left early
            _ended(git.returncode)


def order(view: git_view.View, files: Iterable[dict[str, Any]]) -> list[str]:
    """The option that makes git show risky files first."""
    return order_of(view, [path_of(file) for file in files if file["risks"]])


def order_of(view: git_view.View, first: list[bytes]) -> list[str]:
    if not first:
        return []
    path = f"{view.folder}/order"
    with open(path, "wb") as file:
        file.writelines(_pattern(name) + b"\n" for name in first)
    return [f"-O{path}"]


def path_of(file: dict[str, Any], key: str = "path") -> bytes:
    """The very bytes of a name."""
    encoded = file.get(f"{key}_base64")
    return a2b_base64(encoded) if encoded else str(file[key]).encode()


def isolated() -> dict[str, str]:
    """An environment in which the user's configuration plays no part either."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    return env | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}


def own() -> dict[str, str]:
    """The user's environment, which finds their difftool and pager, but no repository."""
    return {key: value for key, value in os.environ.items() if key not in LEADING}


def settings(pattern: str) -> list[tuple[str, str]]:
    """As git finds them for the user's repository; a key without a value means true."""
    argv = ["git", "config", "--null", "--get-regexp", pattern]
    done = subprocess.run(argv, capture_output=True, check=False)
    entries = done.stdout.decode("utf-8", "surrogateescape").split("\0")
    pairs = [entry.partition("\n") for entry in entries if entry]
    return [(key, value if newline else "true") for key, newline, value in pairs]


def drawn(lines: Iterable[bytes], *, color: bool) -> Iterator[str]:
    """Lines of a diff, safe for a terminal."""
    old = new = 0
    for raw in lines:
        line = text.safe_bytes(raw.removesuffix(b"\n"), keep="\t")
        style, lead = "", line[:1]
        if old > 0 or new > 0:
            old, new = old - (lead in " -"), new - (lead in " +")
            style = STYLES.get(lead, "") if lead != "@" else ""
        elif line.startswith(HUNK):
            old, new = _sizes(line)
            style = "cyan"
        elif not line.startswith("\\"):
            style = "bold"
        yield ui.paint(line, style, True) if color and style else line


def _sizes(head: str) -> tuple[int, int]:
    """Of `@@ -1,3 +1,4 @@`: how many lines follow, of the old and of the new file."""
    parts = [part.partition(",")[2] or "1" for part in head.split(" ")[1:3]]
    try:
        return int(parts[0]), int(parts[1])
    except ValueError:
        return 0, 0


def _pattern(name: bytes) -> bytes:
    """As git's order file wants it: one pattern a line."""
    escaped = b"".join(
        b"?" if byte == 0x0A else (b"\\" + bytes((byte,)) if byte in b"*?[\\" else bytes((byte,)))
        for byte in name
    )
    return b"\\" + escaped if escaped.startswith(b"#") else escaped


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        ui.out(line)
    ui.flush_results()


def _page(lines: Iterable[str]) -> None:
    """Through the pager git would use. Ctrl-C is the pager's, as with git."""
    pager = _pager()
    if pager in ("", "cat"):
        _print(lines)
        return
    env = {"LESS": "FRX", "LV": "-c", **os.environ}
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # The user's own words, from their configuration or environment, as git runs them.
        with subprocess.Popen(["/bin/sh", "-c", pager], stdin=subprocess.PIPE, env=env) as paging:
            _feed(paging.stdin, lines)
    finally:
        signal.signal(signal.SIGINT, before)
    if paging.returncode in (126, 127):  # of the shell: it could not be started
        raise CommandFailed(
            "the diff was not shown: the pager cannot be started",
            hint="git config core.pager",
            details={"exit_code": paging.returncode},
        )


def _feed(pipe: IO[bytes] | None, lines: Iterable[str]) -> None:
    """A pager that is left early is no failure."""
    if pipe is None:
        return
    try:
        for line in lines:
            pipe.write(line.encode("utf-8", "replace") + b"\n")
        pipe.close()
    except BrokenPipeError:
        pass


def _pager() -> str:
    done = subprocess.run(["git", "var", "GIT_PAGER"], capture_output=True, check=False)
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def _ended(code: int) -> None:
    if code == -signal.SIGPIPE:
        raise BrokenPipeError
    if code not in (0, 1):
        raise RumpelError(f"git diff ended with exit code {code}")
