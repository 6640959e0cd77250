"""Is a workspace like the one in which the commands of a prebuild ran?

No operation of its own: whether a pod's new container may start from a prebuild is asked in the
old one, and once more in the new one when everything has been carried over. By git in the pod, with
an index of its own: so it counts what the files are, not what the pod's index says of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rumpel.adapters import git_content
from rumpel.tasks import carry
from rumpel.tasks.carry import Place

# Every file is read: a new index knows nothing of any. What may be sparse in the pod is not here.
LOOK = """
cd "$1" || exit
export GIT_INDEX_FILE=.git/rumpel/content
trap 'rm -f "$GIT_INDEX_FILE" "$GIT_INDEX_FILE.lock"' EXIT
rm -f "$GIT_INDEX_FILE" "$GIT_INDEX_FILE.lock"
tree=$2
shift 2
"$@" read-tree "$tree" && "$@" ls-files -z -m -o --exclude-standard
"""
IGNORE = ".gitignore"
MOST = 10_000
"""Where so many files differ nobody goes through their names."""
GIT = (*carry.GIT, "-c", "core.sparseCheckout=false", "-c", "core.splitIndex=false")


async def differing(place: Place, tree: str) -> frozenset[bytes]:
    """Files of the workspace, not ignored, that are not as in the tree. Raises RumpelError."""
    return await carry.listed(place, ["/bin/sh", "-c", LOOK, "sh", place.folder, tree, *GIT])


def is_fit(names: Collection[bytes], patterns: Sequence[str]) -> bool:
    """Pure. `names`: what differs; `patterns`: what the commands depend on, none = every file.

    What git ignores is the commands', all else the pod's: so both have to say the same of that.
    """
    if not patterns:
        return not names
    if len(names) > MOST:
        return False
    found = [name.decode("utf-8", "surrogateescape") for name in names]
    counts = (IGNORE, *patterns)
    return not any(git_content.matches(pattern, path) for path in found for pattern in counts)
