"""Files that a pod is given are in none of its commits: its git ignores them, or they do not come.

No operation of its own: `copy_in` uses it. Lines in `info/exclude` are the weakest that git knows:
any `.gitignore` of the commit may un-ignore what they name. So git is asked again, each repository
in the workspace for the files that lie in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rumpel.adapters import pod_exclude
from rumpel.adapters.docker_types import Completed
from rumpel.tasks import carry

LIST_TIMEOUT_S = 120.0
# Paths on stdin, each with a NUL: those that are there; with `r` before a repository, `d` before
# another folder, `w` before all that is none.
LOOK = """
cd "$1" && xargs -0 sh -c 'for f; do
  if [ -h "$f" ]; then k=w
  elif [ -e "$f/.git" ]; then k=r
  elif [ -d "$f" ]; then k=d
  elif [ -e "$f" ]; then k=w
  else continue; fi
  printf "%s%s\\0" $k "$f"
done' sh
"""
# The submodules of the commit, each with a NUL. Of a large index no more than these is to be read.
MODULES = """
cd "$1" && git -c "safe.directory=*" ls-files -s -z | tr '\\n\\0' '\\1\\n' |
  LC_ALL=C sed -n 's/^160000 [0-9a-f]* [0-3].//p' | tr '\\1\\n' '\\n\\0'
"""
IS_TOP = """
top=$(git rev-parse --show-prefix) || exit 1
[ -z "$top" ] || { echo 'it is no repository that git knows' >&2; exit 1; }
"""


class NotToldError(Exception):
    """Git in the pod could not be told."""

    def __init__(self, done: Completed) -> None:
        super().__init__(done.code)
        self.done = done


@dataclass(frozen=True, slots=True, kw_only=True)
class _There:
    paths: frozenset[bytes]
    repositories: frozenset[bytes]
    in_the_way: frozenset[bytes]
    """Links, and files; no folder is made there."""


async def refused(place: carry.Place, names: tuple[str, ...]) -> dict[str, str]:
    """Before they come: git in the pod is told to ignore what it would not by itself. Those that
    it would not even then; with the reason where it could not be told, or asked.

    What is there already is the pod's own, and no secret of anybody's. Raises NotToldError.
    """
    there = await _look(place, names)
    coming = dict[bytes, set[bytes]]()
    for name in names:
        path = as_bytes(name)
        if path in there.paths or any(above in there.in_the_way for above in upwards(path)):
            continue
        repo = next((above for above in upwards(path) if above in there.repositories), b"")
        coming.setdefault(repo, set()).add(path[len(repo) + 1 :] if repo else path)
    found = dict[str, str]()
    for repo, paths in coming.items():
        left = await _not_ignored(place, repo, frozenset(paths))
        above = repo + b"/" if repo else b""
        found |= {as_text(above + path): why for path, why in left.items()}
    return found


def upwards(path: bytes) -> Iterator[bytes]:
    """It, and the folders it is in; from the deepest on."""
    while path:
        yield path
        path = path.rpartition(b"/")[0]


async def _look(place: carry.Place, names: tuple[str, ...]) -> _There:
    asked = sorted({above for name in names for above in upwards(as_bytes(name))})
    argv = ["/bin/sh", "-c", LOOK, "sh", place.folder]
    said = await carry.told(place, argv, input=b"".join(b"%b\0" % path for path in asked))
    told = [(item[:1], item[1:]) for item in said.split(b"\0") if item]
    return _There(
        paths=frozenset(path for _, path in told),
        repositories=frozenset(path for kind, path in told if kind == b"r"),
        in_the_way=frozenset(path for kind, path in told if kind == b"w"),
    )


async def _not_ignored(
    place: carry.Place, repo: bytes, paths: frozenset[bytes]
) -> dict[bytes, str]:
    """Whatever its git is told; of one below the top, whatever goes wrong, and what that is."""
    try:
        folder = f"{place.folder}/{repo.decode()}".rstrip("/")
    except UnicodeDecodeError:
        return dict.fromkeys(paths, "no command can be run in a folder of that name")
    loose = paths - (await _ignored(place, folder, paths))[0]
    if not loose:
        return {}
    lines = pod_exclude.lines(map(as_text, sorted(loose)))
    done = await place.host.exec_run(
        place.container_id,
        ["/bin/sh", "-c", (IS_TOP if repo else "") + pod_exclude.IGNORE],
        user=place.user,
        cwd=folder,
        input=lines.encode("utf-8", "surrogateescape"),
        timeout_s=LIST_TIMEOUT_S,
    )
    if done.code and not repo:
        raise NotToldError(done)
    found, failed = await _ignored(place, folder, loose)
    return dict.fromkeys(loose - found, said(done) if done.code else failed)


async def _ignored(
    place: carry.Place, folder: str, paths: frozenset[bytes]
) -> tuple[frozenset[bytes], str]:
    """And why git could not be asked. It answers for none when one of them is in a submodule: what
    is there is not ignored."""
    done = await _ask(place, folder, paths)
    if done.code > 1:
        modules = await carry.ask(place, ["/bin/sh", "-c", MODULES, "sh", folder])
        tops = {*modules.stdout.split(b"\0")} - {b""}
        rest = frozenset(p for p in paths if tops.isdisjoint(upwards(p.rpartition(b"/")[0])))
        if rest == paths:
            return frozenset(), said(done)
        done = await _ask(place, folder, rest)
    found = paths & {item.removeprefix(b"./") for item in done.stdout.split(b"\0")}
    return found, said(done) if done.code > 1 else ""


async def _ask(place: carry.Place, folder: str, paths: frozenset[bytes]) -> Completed:
    """`./` as a name may look like magic of a pathspec."""
    asked = b"".join(b"./%b\0" % path for path in sorted(paths))
    argv = [*carry.GIT, "-C", folder, "check-ignore", "-z", "--stdin"]
    return await carry.ask(place, argv, input=asked)


def said(done: Completed) -> str:
    """The first of it: what else git says is advice."""
    line = next(
        filter(None, map(str.strip, done.stderr.decode("utf-8", "replace").splitlines())), ""
    )
    return line[:300] or f"exit code {done.code}"


def as_bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def as_text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
