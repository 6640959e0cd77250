"""What a pod may cost the host, as the user's files set it: read anew for each import. And the
labels of all that is made, which are read once."""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path

from rumpel import config, config_values, paths
from rumpel.adapters.git_limits import Limits
from rumpel.daemon import requests
from rumpel.errors import ConfigError
from rumpel.model import RepoRef

log = logging.getLogger(__name__)

State = tuple[int, int, int]


def of_repo(repo: RepoRef) -> Limits:
    """From `.rumpelpod.json` and the user's file; flags and variables belong to one command.

    Blocking.
    """
    own = Path(repo.work_tree) / requests.REPO_CONFIG
    user = Path(paths.user_config_path(os.environ))
    return _read(own, _state(own), user, _state(user))


def own_labels() -> dict[str, str]:
    """Of all that this daemon makes, as its environment and the user's file say. Blocking."""
    user = requests.json_file(Path(paths.user_config_path(os.environ)), _log)
    found = config.resolve(flags={}, env=os.environ, user=user, on_problem=_log)
    return dict(found.get("labels"))


@functools.lru_cache(64)
def _read(own: Path, own_state: State | None, user: Path, user_state: State | None) -> Limits:
    """The states are here for the cache: a file that changed is read again."""
    found = config.resolve(
        flags={},
        env={},
        repo=requests.json_file(own, _log),
        user=requests.json_file(user, _log),
        on_problem=_log,
    )
    quota = config_values.size_bytes(found.get("podQuota"))
    return Limits(
        pack_bytes=min(Limits().pack_bytes, quota),
        object_bytes=config_values.size_bytes(found.get("maxFileSize")),
        refs=int(found.get("maxBranches")),
        quota_bytes=quota,
    )


def _log(problem: ConfigError) -> None:
    log.warning("%s; it is left out", problem.message)


def _state(path: Path) -> State | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_ino, found.st_size, found.st_mtime_ns)
