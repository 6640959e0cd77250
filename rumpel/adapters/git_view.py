"""A throwaway repository that shows the user's objects and nothing else: no attributes, no config.

What a pod committed is compared here. Which filter, textconv, diff driver or hook runs is decided
by attributes and configuration: here are none, neither the pod's nor the user's. The folder `tree`
is an empty work tree, so that git can read paths as relative to where the user stands.
Standard library only, and cheap: the CLI uses it, too.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFIX = "review-"
PINNED = (
    "core.attributesFile=/dev/null",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.quotePath=true",
    "core.bigFileThreshold=32m",
    "gc.auto=0",
    "maintenance.auto=false",
)
PLAIN_DIFF = ("--no-ext-diff", "--no-textconv", "--no-color", "--submodule=short")
CONFIG = """\
[core]
\trepositoryformatversion = {version}
\tbare = false
\tlogAllRefUpdates = false
{extensions}"""


class View:
    """The folders of one view, below `folder`; made by `make`, removed by `remove`."""

    __slots__ = ("folder", "git_dir", "scratch", "tree")

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.git_dir = f"{folder}/git"
        self.tree = f"{folder}/tree"
        self.scratch = f"{folder}/copies"

    def argv(self, *args: str) -> list[str]:
        pinned = [word for entry in PINNED for word in ("-c", entry)]
        return ["git", *pinned, *args]

    def env(self, base: Mapping[str, str]) -> dict[str, str]:
        """For git and everything it starts. `base` has no GIT_* but what is wanted."""
        return {
            **base,
            "GIT_DIR": self.git_dir,
            "GIT_WORK_TREE": self.tree,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "TMPDIR": self.scratch,  # of 0700, for the copies a difftool is given
        }

    def cwd(self, prefix: str) -> str:
        """The folder of the work tree that stands for `prefix` (`src/app`), made if missing."""
        path = os.path.normpath(f"{self.tree}/{prefix}")
        if path != self.tree and not path.startswith(self.tree + "/"):
            path = self.tree
        os.makedirs(path, mode=0o700, exist_ok=True)
        return path


def make(parent: str, objects: str, object_format: str) -> View:
    """A new one in the private folder `parent`. `objects`: the user's objects. Raises OSError."""
    view = View(f"{parent}/{PREFIX}{os.getpid()}-{os.urandom(6).hex()}")
    os.mkdir(view.folder, 0o700)
    for folder in (view.tree, view.scratch, view.git_dir, f"{view.git_dir}/refs"):
        os.mkdir(folder, 0o700)
    os.makedirs(f"{view.git_dir}/objects/info", mode=0o700)
    extensions, version = "", 0
    if object_format != "sha1":
        extensions, version = f"[extensions]\n\tobjectFormat = {object_format}\n", 1
    _write(f"{view.git_dir}/HEAD", b"ref: refs/heads/none\n")
    _write(f"{view.git_dir}/config", CONFIG.format(version=version, extensions=extensions).encode())
    _write(f"{view.git_dir}/objects/info/alternates", _quoted(os.fsencode(objects)) + b"\n")
    return view


def kept(parent: str, objects: str, object_format: str, name: str) -> View:
    """The same, but made once: for many short looks. Raises OSError."""
    path = f"{parent}/{name}"
    if not os.path.isdir(path):
        made = make(parent, objects, object_format)
        try:
            os.rename(made.folder, path)
        except OSError:
            remove(made)
            if not os.path.isdir(path):  # else somebody was quicker
                raise
    return View(path)


def remove(view: View) -> None:
    """With everything in it; nothing is followed out of it. What cannot be removed stays."""
    for folder, folders, files in os.walk(view.folder, topdown=False):
        for name in files:
            _quietly(os.unlink, f"{folder}/{name}")
        for name in folders:
            path = f"{folder}/{name}"
            _quietly(os.unlink if os.path.islink(path) else os.rmdir, path)
    _quietly(os.rmdir, view.folder)


def sweep(parent: str) -> None:
    """Remove views of processes that are gone."""
    try:
        names = [name for name in os.listdir(parent) if name.startswith(PREFIX)]
    except OSError:
        return
    for name in names:
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not _is_alive(int(pid)):
            remove(View(f"{parent}/{name}"))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _quoted(path: bytes) -> bytes:
    """As git reads a line of `alternates`: C-quoted."""
    escaped = path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"' + escaped + b'"'


def _quietly(action: Callable[[str], None], path: str) -> None:
    try:  # noqa: SIM105 - contextlib is not loaded yet, in the CLI
        action(path)
    except OSError:
        pass
