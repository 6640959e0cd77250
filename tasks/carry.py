"""The files of a workspace on their way from a pod's old container into its new one.

No operation of its own: `replace` uses it. The old container does not run, the new one was never
started, so nobody writes meanwhile, and running, stopped and broken pods are read the same way: by
the engine's archive call. What arrived is read once more and compared, byte for byte.
Ignored files stay behind unless a pattern names them, or they are a repository.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_types import Completed, ContainerDetail
from rumpel.adapters.tar_copy import Choice, Copy, Owners, drain, joined
from rumpel.errors import NotFound, RumpelError

LIST_TIMEOUT_S = 120.0
MAX_LIST_BYTES = 64 << 20
PASSAGES = 4
"""Each one more takes along what the last one saw too late."""
GIT = ("git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false")
IGNORED = ("ls-files", "-z", "-o", "-i", "--exclude-standard", "--directory")
REMOVE = 'cd "$1" && xargs -0 rm -f --'
REMOVE_FOLDERS = 'cd "$1" && xargs -0 rmdir -- 2>/dev/null; :'


class Mixed(RumpelError):
    """What a pod has and what the commands of a prebuild left do not go together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A workspace in a container."""

    host: DockerHost
    container_id: str
    folder: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What came over, and what the new container had besides."""

    items: Mapping[bytes, bytes]
    extras: frozenset[bytes]
    skipped: frozenset[bytes]
    left: Mapping[bytes, int]
    """What stayed behind as ignored: how many files of each file or folder."""
    attached: frozenset[bytes]
    """What both containers have on a mount."""

    def unmatched(self, patterns: tuple[str, ...]) -> tuple[str, ...]:
        """Those of the patterns that nothing has."""
        there = [*self.attached, *self.items]
        return tuple(
            pattern
            for pattern in patterns
            if not any(map(Choice(kept=(pattern,)).is_wanted, (p.rstrip(b"/") for p in there)))
        )


async def ignored(place: Place) -> frozenset[bytes]:
    """What git ignores in a workspace that runs, whole folders as one."""
    return await listed(place, [*GIT, "-C", place.folder, *IGNORED])


async def listed(place: Place, argv: list[str]) -> frozenset[bytes]:
    """Paths that a command of git prints in a workspace that runs. Raises RumpelError."""
    return paths_in(await told(place, argv))


async def told(place: Place, argv: list[str], *, input: bytes | None = None) -> bytes:
    """What a command of git, or one like it, prints there. Raises RumpelError."""
    return said_by(await ask(place, argv, input=input))


async def ask(place: Place, argv: list[str], *, input: bytes | None = None) -> Completed:
    return await place.host.exec_run(
        place.container_id,
        argv,
        user=place.user,
        cwd="/",
        env={"GIT_OPTIONAL_LOCKS": "0"},
        input=input,
        timeout_s=LIST_TIMEOUT_S,
        max_output_bytes=MAX_LIST_BYTES,
    )


def said_by(done: Completed) -> bytes:
    if done.code or done.is_cut:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-500:]
        raise RumpelError(f"git does not tell the files of the pod: {said}")
    return done.stdout


def paths_in(listed: bytes) -> frozenset[bytes]:
    return frozenset(item.rstrip(b"/") for item in listed.split(b"\0") if item)


def choice(
    old: ContainerDetail,
    new: ContainerDetail,
    *,
    folders: tuple[str, str],
    kept: tuple[str, ...],
    ignored: Iterable[bytes],
) -> Choice | None:
    """What is to be carried from the folder of the old to that of the new container.

    None when both have the whole workspace on the same mount.
    """
    before = {_below(folders[0], mount): _source(mount) for mount in old.mounts}
    attached, hiding = set(), set()
    for mount in new.mounts:
        at = _below(folders[1], mount)
        if at is None:
            continue
        if before.get(at) == _source(mount):
            attached.add(at.encode())
        else:
            hiding.add(at.encode())
    if b"" in attached:
        return None
    return Choice(
        ignored=frozenset(ignored),
        kept=kept,
        attached=frozenset(attached),
        hiding=frozenset(hiding - {b""}),
    )


async def over(
    old: Place, new: Place, chosen: Choice, *, times: Mapping[bytes, tuple[int, int]], owned: bool
) -> Carried:
    """Carry, read it again, compare. `owned`: its user may have another number now."""
    owners = await _owners(old, new) if owned else None
    for _ in range(PASSAGES):
        below = new.folder.strip("/").encode() + b"/"
        sent = Copy(choice=chosen, below=below, owners=owners, times=times)
        try:
            async with old.host.get_archive(old.container_id, f"{old.folder}/.") as pieces:
                await new.host.put_archive(
                    new.container_id, "/", joined(sent.pieces(pieces)), overwrite=True
                )
        except NotFound:
            raise RumpelError(f"there is no workspace at {old.folder} any more") from None
        if not sent.missing:
            break
        chosen = replace(chosen, needed=chosen.needed | sent.missing)
    got = await _read(new, Choice(attached=chosen.attached))
    differing = [path for path, digest in sent.items.items() if got.items.get(path) != digest]
    if differing:
        shown = ", ".join(_shown(path) for path in sorted(differing)[:5])
        raise RumpelError(f"{len(differing)} files did not arrive as they were: {shown}")
    return Carried(
        items=sent.items,
        extras=frozenset(got.items.keys() - sent.items.keys()),
        skipped=frozenset(sent.skipped),
        left=sent.left,
        attached=chosen.attached,
    )


async def _owners(old: Place, new: Place) -> Owners | None:
    """Who owns the workspace folder, in both; None when that is the same."""
    before, now = await _root(old), await _root(new)
    return None if before == now else Owners(before, now)


async def _root(place: Place) -> tuple[int, int]:
    copy = Copy()
    async with place.host.get_archive(place.container_id, f"{place.folder}/.") as pieces:
        passed = copy.pieces(pieces)
        await anext(passed)
        await passed.aclose()
    if copy.root is None:
        raise RumpelError("the engine does not tell the owner of the workspace")
    return copy.root


async def _read(place: Place, chosen: Choice) -> Copy:
    copy = Copy(choice=chosen)
    async with place.host.get_archive(place.container_id, f"{place.folder}/.") as pieces:
        await drain(copy.pieces(pieces))
    return copy


async def going(place: Place, kept: tuple[str, ...]) -> list[bytes]:
    """What git ignores now in a workspace that runs, and no pattern or mount keeps."""
    found, detail = await asyncio.gather(ignored(place), place.host.inspect(place.container_id))
    folders = (place.folder, place.folder)
    chosen = choice(detail, detail, folders=folders, kept=kept, ignored=found)
    if chosen is None:
        return []
    stays = chosen.attached
    return sorted(path for path in found if path not in stays and not chosen.is_kept(path))


async def tidy(
    place: Place, carried: Carried, kept: tuple[str, ...], *, tree: str | None = None
) -> Mapping[bytes, int] | None:
    """In the new container, which runs by now: take away what should not be there.

    Ignored files that came along because nobody could be asked, and what the image brought that
    the pod had removed. Answers what the pod does not have any more, as `Carried.left`; None when
    something that stayed behind is not ignored after all. `tree`: what is checked out in the image
    of a prebuild, whose commands left all else that is there. Raises Mixed when that and what came
    along cannot both be as they were.
    """
    now, are_ignored, files_of_tree = await asyncio.gather(
        ignored(place), ignored_of(place, carried.skipped), _files(place, tree)
    )
    if not are_ignored >= carried.skipped:
        return None
    chosen = Choice(ignored=now, kept=kept, needed=_repositories(carried))
    if files_of_tree is not None:
        _refuse_mixed(carried, chosen, files_of_tree)
    files, folders = unwanted(carried, chosen, _with_folders(files_of_tree or frozenset()))
    await _remove(place, REMOVE, files)
    await _remove(place, REMOVE_FOLDERS, folders)
    left = dict(carried.left)
    for path in files:
        if path in carried.items and (above := _ignored_above(now, path)) is not None:
            left[above] = left.get(above, 0) + 1
    return left


async def _files(place: Place, tree: str | None) -> frozenset[bytes] | None:
    if tree is None:
        return None
    what = ["ls-tree", "-r", "-z", "--name-only", "--full-tree", tree]
    return await listed(place, [*GIT, "-C", place.folder, *what])


def _with_folders(files: frozenset[bytes]) -> frozenset[bytes]:
    """A folder has a slash at its end."""
    found, above = set(files), {path.rpartition(b"/")[0] for path in files}
    while above - {b""}:
        found |= {path + b"/" for path in above}
        above = {path.rpartition(b"/")[0] for path in above}
    return frozenset(found)


def _refuse_mixed(carried: Carried, chosen: Choice, checked_out: frozenset[bytes]) -> None:
    """What commands left has to be there as they left it: all that git ignores, but for single
    files that the pod keeps.
    """
    ignored = chosen.ignored
    for path in carried.items:
        if _is_ignored(ignored, path) and chosen.is_kept(path) == path.endswith(b"/"):
            raise Mixed(f"{_shown(path)} of the pod is ignored, as what the commands leave")
    for path in carried.extras - checked_out:
        is_file = not path.endswith(b"/") and not path.startswith(b".git/")
        if is_file and not _is_ignored(ignored, path):
            raise Mixed(f"{_shown(path)} of the commands is not ignored in the pod")


def _shown(path: bytes) -> str:
    return repr(path.decode(errors="replace"))


async def ignored_of(place: Place, paths: frozenset[bytes]) -> frozenset[bytes]:
    """Those of the paths that git ignores, there or not: by the rules as they came over."""
    if not paths:
        return frozenset()
    done = await place.host.exec_run(
        place.container_id,
        [*GIT, "-C", place.folder, "check-ignore", "-z", "--stdin"],
        user=place.user,
        cwd="/",
        input=b"".join(b"%b\0" % path for path in sorted(paths)),
        timeout_s=LIST_TIMEOUT_S,
        max_output_bytes=MAX_LIST_BYTES,
    )
    return paths & set(done.stdout.split(b"\0"))


async def _remove(place: Place, script: str, paths: list[bytes]) -> None:
    argv = ["/bin/sh", "-c", script, "sh", place.folder]
    await as_root(place, argv, paths, "removed: the pod does not have it")


async def as_root(place: Place, argv: list[str], paths: list[bytes], what: str) -> None:
    if not paths:
        return
    done = await place.host.exec_run(
        place.container_id,
        argv,
        user="0",
        cwd="/",
        input=b"".join(b"./%b\0" % path for path in paths),
        timeout_s=LIST_TIMEOUT_S,
    )
    if done.code:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-500:]
        raise RumpelError(f"{len(paths)} files could not be {what}: {said}")


def _repositories(carried: Carried) -> frozenset[bytes]:
    """Folders in the workspace that are one."""
    return frozenset(
        path.rstrip(b"/").rpartition(b"/")[0]
        for path in carried.items
        if path.rstrip(b"/").endswith(b"/.git")
    )


def unwanted(
    carried: Carried, chosen: Choice, checked_out: frozenset[bytes]
) -> tuple[list[bytes], list[bytes]]:
    """Pure. Files, and folders from the deepest on, to be removed in the new container."""
    ignored = chosen.ignored
    doomed = [
        path for path in carried.items if _is_ignored(ignored, path) and not chosen.is_kept(path)
    ]
    doomed += [
        path
        for path in carried.extras
        if path.startswith(b".git/") or path in checked_out or not _is_ignored(ignored, path)
    ]
    files = [path for path in doomed if not path.endswith(b"/")]
    folders = [path.rstrip(b"/") for path in doomed if path.endswith(b"/")]
    return sorted(files), sorted(folders, reverse=True)


def _is_ignored(ignored: frozenset[bytes], path: bytes) -> bool:
    return _ignored_above(ignored, path) is not None


def _ignored_above(ignored: frozenset[bytes], path: bytes) -> bytes | None:
    """The one that is `path` or a folder it lies in."""
    end = len(path)
    while end > 0:
        if path[:end] in ignored:
            return path[:end]
        end = path.rfind(b"/", 0, end)
    return None


def _below(folder: str, mount: Mapping[str, Any]) -> str | None:
    """Where a mount lies in the workspace; empty: the workspace lies in it. None: neither."""
    at = str(mount.get("Destination", "")).rstrip("/")
    if folder == at or folder.startswith(f"{at}/"):
        return ""
    return at.removeprefix(f"{folder}/") if at.startswith(f"{folder}/") else None


def _source(mount: Mapping[str, Any]) -> tuple[str, str]:
    kind = str(mount.get("Type", ""))
    return kind, str(mount.get("Name" if kind == "volume" else "Source", ""))
