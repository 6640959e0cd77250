"""Hooks that lie in the working tree: what a merge brings there is run by git right after it.

A path may lead into the tree in many ways: core.hooksPath itself, links on the way to it, links
in the folder (also in .git/hooks) that name files of the tree. All of them are looked at.
"""

from __future__ import annotations

import os

from rumpel.cli import merge_trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rumpel.cli.usergit import Git

MAX_LINKS = 40
"""As the kernel: who passes more gets an error."""


def changed(git: Git, head: str, theirs: str) -> list[str]:
    """Files that `theirs` changes, and that decide which hooks git runs here."""
    top = os.path.realpath(git.folder)
    git_dir = os.path.realpath(merge_trial.objects_of(git) + "/..")
    hooks = git.line("rev-parse", "--git-path", "hooks") or ""
    passed, ends = _places(os.path.join(top, hooks), top)

    def in_tree(paths: Iterable[str]) -> set[str]:
        return {path for path in paths if _lies_in(path, top) and not _lies_in(path, git_dir)}

    exact, below = in_tree(passed), in_tree(ends)
    if not exact and not below:
        return []
    base = git.line("merge-base", head, theirs) or head
    renamed = _renames(git, base, head)
    return [
        name
        for name in _changes(git, base, theirs)
        if any(
            _is_one_of(os.path.join(top, place), exact, below)
            for place in (name, renamed.get(name, name))
        )
    ]


def _places(folder: str, top: str) -> tuple[set[str], set[str]]:
    """Paths that are passed on the way to hooks, and what they end at (with all below)."""
    passed, end = _way(folder)
    ends = {end}
    # What lies in `_` is husky's, and runs what lies beside it.
    parents = {os.path.dirname(path) for path in passed if os.path.basename(path) == "_"}
    ends |= {path for path in parents if _lies_in(path, top)}
    for path in sorted(ends):
        for name in _names(path):
            more, end = _way(os.path.join(path, name))
            passed |= more
            ends.add(end)
    return passed, ends


def _way(path: str) -> tuple[set[str], str]:
    """Everything the kernel looks at when it opens `path`, and where it arrives."""
    passed, at, links = set[str](), os.sep, 0
    left = path.split(os.sep)[::-1]
    while left:
        part = left.pop()
        if part in ("", os.curdir):
            continue
        if part == os.pardir:
            at = os.path.dirname(at)
            continue
        here = os.path.join(at, part)
        passed.add(here)
        try:
            target = os.readlink(here)
        except OSError:
            at = here
            continue
        links += 1
        if links > MAX_LINKS:
            return passed, here
        at = os.sep if os.path.isabs(target) else at
        left += target.split(os.sep)[::-1]
    return passed, at


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _renames(git: Git, base: str, head: str) -> dict[str, str]:
    """Files that moved here since: a merge brings what changed in the old to the new place."""
    said = git.ask(
        *("diff", "--name-status", "-z", "-M", "--diff-filter=R", "--no-ext-diff"),
        *("--no-textconv", "--ignore-submodules=all", base, head),
    )
    words = os.fsdecode(said).split("\0")
    return dict(zip(words[1::3], words[2::3], strict=False))


def _changes(git: Git, base: str, theirs: str) -> list[str]:
    said = git.ask(
        *("diff", "--name-only", "-z", "--no-renames", "--no-ext-diff"),
        *("--no-textconv", "--ignore-submodules=none", base, theirs),
    )
    return [os.fsdecode(name) for name in said.split(b"\0") if name]


def _is_one_of(path: str, exact: set[str], below: set[str]) -> bool:
    """Without regard to case, as some file systems are."""
    path = path.casefold()
    return any(path == other.casefold() for other in exact) or any(
        _lies_in(path, other.casefold()) for other in below
    )


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
