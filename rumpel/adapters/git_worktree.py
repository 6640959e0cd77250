"""The user's own checkout: what is not committed in it, and whether commits can be brought there.

Nothing is written: not even the index is refreshed on disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from rumpel.adapters import git, git_run
from rumpel.errors import RumpelError

STATUS_TIMEOUT_S = 5.0
MAX_STATUS_BYTES = 64 << 20


async def uncommitted(repo: git.Repo, *, besides: Iterable[str] = ()) -> int | None:
    """How many files `git status` lists; None when it takes too long or fails.

    `besides`: paths from the top that do not count.
    """
    try:
        done = await git_run.run(
            repo.git_dir,
            f"--work-tree={repo.work_tree}",
            "status",
            "--porcelain",
            "-unormal",
            "--ignore-submodules=dirty",
            "--",
            ".",
            *(f":(exclude,literal){path}" for path in besides),
            timeout_s=STATUS_TIMEOUT_S,
            env=git_run.own_env(),
            cwd=repo.work_tree,
            max_output_bytes=MAX_STATUS_BYTES,
        )
    except RumpelError:
        return None
    return done.stdout.count(b"\n")


def check_writable(repo: git.Repo) -> None:
    """Raises RumpelError when no commit of a pod could ever arrive. Blocking."""
    for folder in (repo.objects_dir, f"{repo.common_dir}/refs"):
        try:
            is_writable = os.access(folder, os.W_OK)
            is_read_only = bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
        except OSError:
            continue  # what is not there is made, or is of another kind (a reftable)
        if not is_writable:
            why = "it is on a read-only file system" if is_read_only else "permission denied"
            raise RumpelError(
                f"the git repository {repo.common_dir} cannot be written: {why}",
                hint="a pod's commits arrive there: make it writable, or git clone it elsewhere",
            )
