"""What a merge would result in, found out without touching anything.

`git merge-tree --write-tree` (git 2.38) in the user's own repository and with their attributes
and merge drivers; where that is missing, or a strategy is asked for, `git merge` in a repository
and working tree that are thrown away. New objects go to a folder that is thrown away too.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager

from rumpel.cli import usergit
from rumpel.errors import Conflict, RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rumpel.cli.usergit import Git

Env = dict[str, str]
IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "rumpel"), ("EMAIL", "rumpel@localhost"), ("DATE", "@0 +0000"))
}
THROWN_AWAY = (
    *("-c", "core.bare=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "commit.gpgSign=false"),
    *("-c", "merge.autoStash=false"),
    *("-c", "merge.verifySignatures=false"),
    *("-c", "rerere.enabled=false"),
    *("-c", "gc.auto=0"),
)
NO_SUCH_OPTION = 129
"""How git ends when it does not know an option."""


class Trial:
    """The tree, or the files in conflict (as git quotes nothing: any text)."""

    __slots__ = ("conflicts", "tree")

    def __init__(self, tree: str, conflicts: list[str]) -> None:
        self.tree, self.conflicts = tree, conflicts


@contextmanager
def scratch() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="rumpel-merge-") as folder:
        yield folder


def quarantine(git: Git, folder: str) -> Env:
    """New objects into `folder`, everything else read from the repository."""
    os.makedirs(os.path.join(folder, "objects"), exist_ok=True)
    return {
        "GIT_OBJECT_DIRECTORY": os.path.join(folder, "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": _quoted(objects_of(git)),
    }


def attempt(git: Git, head: str, theirs: str, words: Sequence[str], *, env: Env) -> Trial:
    """Merge `theirs` into `head` with the strategy `words`.

    Raises Conflict with git's words when git refuses (unrelated histories), RumpelError.
    """
    if not set(words) - {"--allow-unrelated-histories"}:
        done = git.tell(
            *("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", *words),
            *(head, theirs),
            env=env,
        )
        if done.returncode in (0, 1):
            tree, *names = os.fsdecode(done.stdout).split("\0")
            return Trial(tree, list(dict.fromkeys(name for name in names if name)))
        if done.returncode != NO_SUCH_OPTION:
            raise refused(usergit.reason(done))
    with scratch() as folder:
        return _in_another_place(git, head, theirs, words, place=folder, env=env)


def refused(why: str) -> Conflict:
    unrelated = "unrelated histories" in why
    hint = "add --allow-unrelated-histories to merge it all the same" if unrelated else None
    return Conflict(f"git refuses this merge: {why}", hint=hint)


def _in_another_place(
    git: Git, head: str, theirs: str, words: Sequence[str], *, place: str, env: Env
) -> Trial:
    """A nearly empty working tree is enough: git writes only what the merge changes."""
    other = usergit.Git(os.path.join(place, "tree"))
    os.mkdir(other.folder)
    where = _make(git, other, place)
    env = {
        "GIT_OBJECT_DIRECTORY": objects_of(git),
        **env,
        **IDENTITY,
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_MERGE_AUTOEDIT": "no",
    }
    other.ask(*where, "update-ref", "--no-deref", "HEAD", head, env=env)
    other.ask(*where, "read-tree", head, env=env)
    # Attributes (merge=union) are looked up in the working tree alone.
    listed = other.ask(*where, "ls-files", "-z", ":(glob)**/.gitattributes", env=env)
    other.ask(*where, "checkout-index", "-q", "-z", "--stdin", env=env, input=listed)
    done = other.tell(
        *where, "merge", "-q", "-n", "--no-commit", "--no-ff", *words, theirs, env=env
    )
    if done.returncode == 0:
        return Trial(os.fsdecode(other.ask(*where, "write-tree", env=env)), [])
    unmerged = os.fsdecode(other.ask(*where, "ls-files", "-u", "-z", env=env)).split("\0")
    names = [entry.partition("\t")[2] for entry in unmerged if entry]
    if not names:
        raise refused(usergit.reason(done))
    return Trial("", list(dict.fromkeys(names)))


def _make(git: Git, other: Git, place: str) -> list[str]:
    """A repository with the user's configuration and nothing else; the options that name it."""
    folder = os.path.join(place, "repo")
    kind = git.line("rev-parse", "--show-object-format")
    formats = ["--object-format=sha256"] if kind == "sha256" else []
    other.ask("init", "-q", "--bare", "--template=", *formats, folder)
    common = _git_path(git, "config")
    with open(os.path.join(folder, "config"), "a") as config:
        config.write(f"[include]\n\tpath = {_quoted(common)}\n")
    attributes = _git_path(git, "info/attributes")
    if os.path.isfile(attributes):
        os.makedirs(os.path.join(folder, "info"), exist_ok=True)
        os.symlink(attributes, os.path.join(folder, "info", "attributes"))
    return [f"--git-dir={folder}", f"--work-tree={other.folder}", *THROWN_AWAY]


def objects_of(git: Git) -> str:
    return _git_path(git, "objects")


def _git_path(git: Git, name: str) -> str:
    """Absolute; git answers relative to its folder (--path-format came with 2.31)."""
    found = git.line("rev-parse", "--git-path", name)
    if found is None:
        raise RumpelError(f"git does not tell where its {name} is")
    return os.path.abspath(os.path.join(git.folder, found))


def _quoted(path: str) -> str:
    """As both git's configuration and its lists of folders understand any path."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
