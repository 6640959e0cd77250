"""What a commit holds, as digests: of everything (its tree), or of the files that patterns name.

Blocking: call it through `threads.call`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from rumpel.adapters import git, git_run, proc
from rumpel.errors import RumpelError

TIMEOUT_S = 60.0


def tree_of(repo: git.Repo, commit: str) -> str:
    """Raises RumpelError when there is no such commit."""
    return _ask(repo, "rev-parse", "--verify", "-q", f"{commit}^{{tree}}").decode().strip()


def digest_of(repo: git.Repo, commit: str, patterns: Sequence[str]) -> str:
    """Of names, modes and contents of all files that a pattern names; links by their target."""
    wanted = [pattern_regex(pattern) for pattern in patterns]
    hasher = hashlib.blake2b(digest_size=16)
    for line in _ask(repo, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        path = line.partition(b"\t")[2].decode("utf-8", "surrogateescape")
        if path and any(regex.fullmatch(path) for regex in wanted):
            hasher.update(line + b"\0")
    return hasher.hexdigest()


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """`*` and `?` stay inside one folder, `**` does not; a folder means all that is below it.

    A pattern without a slash is looked for in every folder, as in .gitignore.
    """
    text = pattern.strip("/")
    is_anywhere = "/" not in pattern.rstrip("/")
    found = "(?:.*/)?" if is_anywhere else ""
    for part in re.findall(r"\*\*/|\*\*|\*|\?|[^*?]+", text):
        found += {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(
            part, re.escape(part)
        )
    return re.compile(f"{found}(?:/.*)?", re.DOTALL)


def _ask(repo: git.Repo, *args: str) -> bytes:
    done = proc.run_blocking(
        git_run.argv(repo.git_dir, *args),
        env=git_run.own_env(),
        timeout_s=TIMEOUT_S,
    )
    if done.code != 0:
        raise RumpelError(f"git {args[0]} failed: {git_run.summary(done.error_text)}")
    return done.stdout
