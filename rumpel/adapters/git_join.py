"""Several commits merged into one, in the user's repository, without touching anything of theirs.

Only objects are written. The result depends on nothing but the commits: merged twice, it is the
same commit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from rumpel.adapters import git, git_run, threads
from rumpel.errors import CommandFailed, RumpelError

TIMEOUT_S = 120.0
MOST_NAMED = 20
NO_SUCH_OPTION = 129
"""How git ends when it does not know an option."""


async def join(repo: git.Repo, oids: Sequence[str], *, message: str) -> str:
    """The commit that has all of `oids`; one of them when it has the others already.

    Raises CommandFailed naming the files in conflict.
    """
    whole = oids[0]
    for oid in oids[1:]:
        if await threads.call(git.is_ancestor, repo, oid, whole):
            continue
        if await threads.call(git.is_ancestor, repo, whole, oid):
            whole = oid
            continue
        whole = await _merged(repo, whole, oid, message=message)
    return whole


async def _merged(repo: git.Repo, ours: str, theirs: str, *, message: str) -> str:
    done = await git_run.run(
        repo.git_dir,
        *("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z"),
        *("--allow-unrelated-histories", ours, theirs),
        timeout_s=TIMEOUT_S,
        codes=(0, 1, NO_SUCH_OPTION),
    )
    if done.code == NO_SUCH_OPTION:
        raise RumpelError(
            "to merge what a task needs takes git 2.38 or newer on this machine",
            hint="git --version",
        )
    tree, *names = os.fsdecode(done.stdout).split("\0")
    if done.code == 1:
        files = sorted({name for name in names if name})
        listed = ", ".join(files[:MOST_NAMED]) + (", ..." if len(files) > MOST_NAMED else "")
        raise CommandFailed(
            f"the commits it needs are in conflict: {listed}",
            details={"conflicts": files, "ours": ours, "theirs": theirs},
        )
    return await commit(repo, tree, (ours, theirs), message=message)


async def commit(repo: git.Repo, tree: str, parents: Sequence[str], *, message: str) -> str:
    """Of a tree that is there; the same for the same parents."""
    times = [await threads.call(git.commit_time, repo, oid) for oid in parents]
    words = [word for oid in parents for word in ("-p", oid)]
    made = await git_run.run(
        repo.git_dir,
        *("commit-tree", *words, "-m", message, tree),
        timeout_s=TIMEOUT_S,
        env=git_run.isolated_env() | _identity(int(max(times))),
    )
    return _oid(made.stdout)


def _identity(at: int) -> dict[str, str]:
    """The same for the same commits."""
    said = {"NAME": "rumpel", "EMAIL": "rumpel@localhost", "DATE": f"@{at} +0000"}
    return {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in said.items()
    }


def _oid(said: bytes) -> str:
    found = said.decode("ascii", "replace").strip()
    if not is_oid(found):
        raise RumpelError("git answered with something that is no object's name")
    return found


def is_oid(word: str) -> bool:
    return len(word) in (40, 64) and set(word) <= set("0123456789abcdef")
