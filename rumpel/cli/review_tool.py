"""A review in the user's difftool: their configuration, their tool, neutral files.

The changed files are given to `git difftool` as two trees of their own, in a view: plain files
only (a symlink's target as text), under names that no shell, editor or tool takes for anything
but a name. So a path of the pod can be neither an option nor a configuration file, and nothing
is opened through a link.
"""

from __future__ import annotations

import subprocess
import sys

from rumpel import ui
from rumpel.adapters import git_view
from rumpel.cli.review_patch import Opened, isolated, order_of, own, path_of, settings
from rumpel.errors import CommandFailed, RumpelError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KEYS = r"^(difftool|mergetool)\.|^(diff|merge)\.(gui)?tool$"
PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")
MAX_PART_BYTES = 100
COMMIT = b"commit refs/heads/%s\ncommitter rumpel <rumpel> 0 +0000\ndata 0\n"
SUBMODULE = b"160000"


class Choice:
    """Which tool, and the user's configuration of it."""

    def __init__(
        self, options: list[str] | None = None, config: list[tuple[str, str]] | None = None
    ) -> None:
        self.options = options or []
        self.config = config or []
        self.is_made = options is not None


def chosen(tool: str | None) -> Choice:
    """The tool that was named, else the one that git would take because it is configured."""
    found = settings(KEYS)
    if tool is not None:
        if not tool or tool.startswith("-"):
            raise UsageError(f"{tool!r} is no difftool", hint="git difftool --tool-help")
        return Choice([f"--tool={tool}"], found)
    keys = {key for key, value in found if value}
    if keys & {"diff.tool", "merge.tool"}:
        return Choice([], found)
    if keys & {"diff.guitool", "merge.guitool"}:
        return Choice(["--gui"], found)
    return Choice()


def show(
    files: list[dict[str, Any]], wanted: dict[str, Any], choice: Choice, *, may_ask: bool
) -> None:
    """Raises CommandFailed when the tool fails."""
    with Opened(wanted) as view:
        names = Names()
        changes = _changes(view, wanted)
        _load(view, names, changes)
        _configure(view, choice.config)
        first = [names.of(path_of(file)) for file in files if file["risks"]]
        ask = [] if may_ask and ui.is_terminal(sys.stdin) else ["--no-prompt"]
        argv = view.argv(
            "difftool", *choice.options, *ask, *order_of(view, first), "old", "new", "--"
        )
        sys.stdout.flush()
        done = subprocess.run(argv, env=view.env(own()), cwd=view.tree, check=False)
    if done.returncode:
        raise CommandFailed(
            f"the difftool failed: git difftool ended with exit code {done.returncode}",
            hint=f"rumpel review {wanted['name']} --patch   shows a diff instead",
            details={"exit_code": done.returncode},
        )


class Names:
    """Neutral names for the pod's: the same ones for the same, different ones for different."""

    def __init__(self) -> None:
        self._given: dict[bytes, bytes] = {}
        self._files: set[bytes] = set()
        self._folders: set[bytes] = set()

    def of(self, path: bytes) -> bytes:
        if path not in self._given:
            wanted = b"/".join(_neutral(part) for part in path.split(b"/"))
            name, number = wanted, 1
            while not self._is_free(name):
                number += 1
                name = b"%d/%s" % (number, wanted)
            self._take(name)
            self._given[path] = name
        return self._given[path]

    def _is_free(self, name: bytes) -> bool:
        key = name.lower()
        taken = key in self._files or key in self._folders
        return not taken and self._files.isdisjoint(_folders(key))

    def _take(self, name: bytes) -> None:
        self._files.add(name.lower())
        self._folders.update(_folders(name.lower()))


def _neutral(part: bytes) -> bytes:
    """Letters, digits and `._+-`, neither a dot nor a dash first; the ending stays."""
    plain = bytes(byte if byte in PLAIN else 0x5F for byte in part[-MAX_PART_BYTES:])
    return b"_" + plain[1:] if plain[:1] in (b".", b"-") else plain


def _folders(name: bytes) -> list[bytes]:
    parts = name.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]


def _changes(view: git_view.View, wanted: dict[str, Any]) -> list[list[bytes]]:
    """[old mode, new mode, old oid, new oid, path] of each file that differs."""
    argv = view.argv(
        "diff-tree",
        *git_view.PLAIN_DIFF,
        "--no-relative",
        "--no-renames",
        "--no-abbrev",
        "-r",
        "-z",
        "--raw",
        wanted["old"],
        wanted["new"],
        "--",
        *wanted["paths"],
    )
    done = _run(argv, view, cwd=view.cwd(wanted["prefix"]))
    fields = iter(done.split(b"\0"))
    return [[*head[1:].split(b" ")[:4], next(fields)] for head in fields if head]


def _load(view: git_view.View, names: Names, changes: list[list[bytes]]) -> None:
    """Two commits in the view's own store; contents are the user's objects."""
    parts = []
    for name, side in ((b"old", 0), (b"new", 1)):
        parts.append(COMMIT % name)
        for change in changes:
            mode, oid = change[side], change[2 + side]
            if mode.strip(b"0"):
                parts.append(_entry(mode, oid, names.of(change[4])))
        parts.append(b"\n")
    _run(view.argv("fast-import", "--quiet"), view, input=b"".join(parts))


def _entry(mode: bytes, oid: bytes, name: bytes) -> bytes:
    if mode == SUBMODULE:
        text = b"Subproject commit %s\n" % oid
        return b"M 100644 inline %s\ndata %d\n%s\n" % (name, len(text), text)
    return b"M 100644 %s %s\n" % (oid, name)


def _configure(view: git_view.View, config: list[tuple[str, str]]) -> None:
    """What the user's repository says of tools: the view is another one."""
    with open(f"{view.git_dir}/config", "a", encoding="utf-8", errors="surrogateescape") as file:
        for key, value in config:
            section, _, rest = key.partition(".")
            middle, _, name = rest.rpartition(".")
            head = f"[{section} {_quoted(middle)}]" if middle else f"[{section}]"
            file.write(f"{head}\n\t{name} = {_quoted(value)}\n")


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _run(
    argv: list[str], view: git_view.View, *, input: bytes = b"", cwd: str | None = None
) -> bytes:
    done = subprocess.run(
        argv,
        input=input,
        capture_output=True,
        env=view.env(isolated()),
        cwd=cwd or view.tree,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RumpelError(f"the files cannot be prepared: {said[-1] if said else 'git failed'}")
    return done.stdout
