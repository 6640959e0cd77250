"""Is a workspace like the one in which the commands of a prebuild ran?

No operation of its own: whether a pod's new container may start from a prebuild is asked in the
old one, and once more in the new one when everything has been carried over. By git in the pod, with
an index of its own: so it counts what the files are, not what the pod's index says of them. Ignored
files that a pod keeps (`.env`) count too where the commands would have found others.
"""

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import Collection, Iterable, Mapping, Sequence

from rumpel.adapters import git_content
from rumpel.adapters.tar_copy import Choice
from rumpel.errors import NotFound
from rumpel.tasks import carry
from rumpel.tasks.carry import Carried, Place

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
# git says of a repository in the workspace that it is there, not what is in it.
BELOW = 'cd "$1" && xargs -0 sh -c \'exec find "$@" -name .git -prune -o ! -type d -print0\' sh'
MOST = 10_000
"""Where so many files differ nobody goes through their names."""
MOST_KEPT, MAX_TEXT_BYTES = 20, 1 << 20
GIT = (*carry.GIT, "-c", "core.sparseCheckout=false", "-c", "core.splitIndex=false")


async def differing(place: Place, tree: str) -> frozenset[bytes]:
    """Files of the workspace, not ignored, that are not as in the tree. Raises RumpelError."""
    told = await carry.told(place, ["/bin/sh", "-c", LOOK, "sh", place.folder, tree, *GIT])
    found = {item for item in told.split(b"\0") if item}
    repositories = sorted(item for item in found if item.endswith(b"/"))
    if repositories:
        listed = b"".join(b"./%b\0" % item for item in repositories)
        below = await carry.told(place, ["/bin/sh", "-c", BELOW, "sh", place.folder], input=listed)
        found |= {item.removeprefix(b"./") for item in below.split(b"\0") if item}
    return frozenset(found)


def is_fit(names: Collection[bytes], patterns: Sequence[str]) -> bool:
    """Pure. `names`: what differs; `patterns`: what the commands depend on, none = every file.

    What git ignores is the commands', all else the pod's: so both have to say the same of that.
    """
    if not patterns:
        return not names
    if len(names) > MOST:
        return False
    found = [name.decode("utf-8", "surrogateescape") for name in names]
    counts = (git_content.IGNORE, *patterns)
    return not any(git_content.matches(pattern, path) for path in found for pattern in counts)


def kept_files(ignored: Iterable[bytes], kept: tuple[str, ...]) -> list[bytes]:
    """Pure. Ignored files by themselves that a pod keeps: the first few, the others are unknown."""
    chosen = Choice(kept=kept)
    return sorted(path for path in ignored if chosen.is_wanted(path))[:MOST_KEPT]


async def texts(place: Place, paths: Collection[bytes]) -> Mapping[bytes, bytes]:
    """Of small files in a container that does not run; what is none is not in it."""
    found = await asyncio.gather(*(_text(place, path) for path in paths))
    return {path: text for path, text in zip(paths, found, strict=True) if text is not None}


async def _text(place: Place, path: bytes) -> bytes | None:
    try:
        name = f"{place.folder}/{path.decode()}"
        async with place.host.get_archive(place.container_id, name) as pieces:
            body = bytearray()
            async for piece in pieces:
                body += piece
                if len(body) > MAX_TEXT_BYTES:
                    return None
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:") as tar:
            member = tar.next()
            file = None if member is None else tar.extractfile(member)
            return None if file is None else file.read()
    except (NotFound, UnicodeDecodeError, tarfile.TarError, KeyError):
        return None


async def others(
    place: Place, carried: Carried, kept: tuple[str, ...], same: Collection[bytes]
) -> frozenset[bytes]:
    """Ignored files that came along and are not as the commands left them; `same`: those that are.

    In the new container, which runs. Raises RumpelError.
    """
    chosen = Choice(kept=kept)
    files = [path for path in carried.items if not path.endswith(b"/") and path not in same]
    asked = frozenset(path for path in files if chosen.is_wanted(path))
    return await carry.ignored_of(place, asked)
