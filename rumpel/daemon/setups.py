"""What a pod is told to make a workspace of: one list of words for each repository."""

from __future__ import annotations

from rumpel.adapters.git import Carried
from rumpel.tasks.world import Setup


def words(setup: Setup, carried: Carried) -> list[str]:
    return [
        f"branch={setup.branch}",
        f"oid={setup.oid or ''}",
        f"upstream={setup.upstream or ''}",
        f"prebuilt={setup.prebuilt}",
        f"later={'yes' if setup.leaves_files else ''}",
        f"carried={'yes' if setup.is_carried else ''}",
        f"name={carried.name or ''}",
        f"email={carried.email or ''}",
        *(f"restore={branch}={oid}" for branch, oid in sorted(setup.restore.items())),
        *(f"remote={remote}={url}" for remote, url in sorted(carried.remotes.items())),
    ]
