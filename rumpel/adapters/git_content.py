"""What a commit holds, as digests: of everything (its tree), or of the files that patterns name.

Blocking: call it through `threads.call`.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Sequence

from rumpel.adapters import git, git_run, proc
from rumpel.errors import RumpelError

TIMEOUT_S = 60.0
IGNORE = ".gitignore"
"""Counts whatever the patterns are: it says which of the files that commands leave are theirs."""
HOST_REFS = ("--branches", "--tags", "--exclude=rumpelpod/*", "--remotes", "HEAD")


def tree_of(repo: git.Repo, commit: str) -> str:
    """Raises RumpelError when there is no such commit."""
    return _ask(repo, "rev-parse", "--verify", "-q", f"{commit}^{{tree}}").decode().strip()


def is_of_host(repo: git.Repo, commit: str) -> bool:
    """Is it in a branch, tag or remote branch of the user's, not in a pod's only?

    One that does not exist is in no pod. Without a commit HEAD is left out.
    """
    return not _ask(
        repo, "rev-list", "--ignore-missing", "--max-count=1", commit, "--not", *HOST_REFS
    ).strip()


def digest_of(repo: git.Repo, commit: str, patterns: Sequence[str]) -> str:
    """Of names, modes and contents of all files that a pattern names; links by their target."""
    hasher, counts = hashlib.blake2b(digest_size=16), (IGNORE, *patterns)
    for line in _ask(repo, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        path = line.partition(b"\t")[2].decode("utf-8", "surrogateescape")
        if path and any(matches(pattern, path) for pattern in counts):
            hasher.update(line + b"\0")
    return hasher.hexdigest()


def matches(pattern: str, path: str) -> bool:
    """As in .gitignore: without a slash in any folder, `**` is any folders, a folder is all in it.

    In steps, one a folder: what a repository writes here must not take for ever.
    """
    wanted = pattern.strip("/").split("/")
    if "/" not in pattern.rstrip("/"):
        wanted = ["**", *wanted]
    reached = _past_folders(wanted, {0})
    for part in path.split("/"):
        if len(wanted) in reached:
            return True
        stays = {at for at in reached if wanted[at] == "**"}
        steps = {at + 1 for at in reached - stays if fnmatch.fnmatchcase(part, wanted[at])}
        reached = _past_folders(wanted, stays | steps)
    return len(wanted) in reached


def _past_folders(wanted: list[str], reached: set[int]) -> set[int]:
    """`**` is also no folder at all."""
    for at in range(len(wanted)):
        if at in reached and wanted[at] == "**":
            reached.add(at + 1)
    return reached


def _ask(repo: git.Repo, *args: str) -> bytes:
    done = proc.run_blocking(
        git_run.argv(repo.git_dir, *args),
        env=git_run.own_env(),
        timeout_s=TIMEOUT_S,
    )
    if done.code != 0:
        raise RumpelError(f"git {args[0]} failed: {git_run.summary(done.error_text)}")
    return done.stdout
