"""What on this machine nothing needs any more: expired trash, old reports, doors nobody uses."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from rumpel import names, paths
from rumpel.adapters import feature_files, git, git_door, git_trash, threads
from rumpel.daemon import trash
from rumpel.daemon.app import App
from rumpel.daemon.garbage import Item
from rumpel.daemon.pods import repo_ref
from rumpel.errors import RumpelError

OLD_S = 7 * 86400.0
"""Of crash reports, and of a database that could not be read and was put aside."""


async def items(app: App) -> list[Item]:
    owners = known_pods(app)
    used = {one.content for pod in app.pods.all() for one in pod.spec.image.features}
    cache = Path(paths.cache_dir())
    found = await threads.call(
        lambda: [
            *reports(app.state_dir),
            *doors(app.state_dir, owners),
            *features(cache, used),
        ]
    )
    return [*found, *await _expired(app)]


def known_pods(app: App) -> set[str]:
    """Also those that only an engine tells of: the database may have lost them."""
    found = {pod.pod_id for pod in app.pods.all()} | set(app.creating)
    for view in app.snapshots.values():
        found |= {one.labels.get(names.LABEL_POD_ID, "") for one in view.containers.values()}
    return found


def reports(state: Path) -> Iterator[Item]:
    """Blocking."""
    places = (("crash", Path(paths.crash_dir()), "*"), ("database", state, "*.unreadable-*"))
    for kind, folder, pattern in places:
        for path in sorted(folder.glob(pattern)):
            info = path.lstat()
            if time.time() - max(info.st_mtime, _aside_at(path.name)) > OLD_S:
                yield Item(
                    kind=kind,
                    name=path.name,
                    id=str(path),
                    why="older than a week",
                    size_bytes=info.st_size,
                )


def _aside_at(name: str) -> float:
    """When a database was put aside; it may have been written long before. 0.0 of other files."""
    number = name.rpartition(".unreadable-")[2]
    return int(number) / 1e9 if number.isdecimal() and number != name else 0.0


def doors(state: Path, owners: set[str]) -> Iterator[Item]:
    """Blocking. What a pod sent is looked at there; of one that is gone nothing will come.

    Whatever was let in has left it for the user's repository.
    """
    for path in sorted((state / "doors").glob("*/*")):
        is_door = git_trash.POD_ID.fullmatch(path.name) and path.is_dir()
        if is_door and not path.is_symlink() and path.name not in owners:
            yield Item(
                kind="import",
                name=path.name,
                id=str(path),
                why="its pod is not there any more",
                size_bytes=folder_bytes(path),
            )


def features(cache: Path, used: Collection[str]) -> Iterator[Item]:
    """Blocking. What was fetched and no pod has: it would be fetched again."""
    for path in sorted(feature_files.store(cache).folder.glob("*.tar")):
        info = path.lstat()
        if path.stem not in used and time.time() - info.st_mtime > OLD_S:
            yield Item(
                kind="feature",
                name=path.stem[:12],
                id=str(path),
                why="no pod has it, and it is older than a week",
                size_bytes=info.st_size,
            )


async def _expired(app: App) -> list[Item]:
    found = []
    for key, where in list(app.store.kv.items()):
        if not key.startswith(trash.KNOWN) or where is None:
            continue
        try:
            repo = await threads.call(git.reopen, where["work_tree"], where["common_dir"])
            entries = await git_trash.entries(repo)
        except RumpelError:  # it is not there now: nobody can tell
            continue
        found += [
            Item(kind="trash", name=entry.pod, id=str(where["work_tree"]), why="its time is over")
            for entry in entries
            if entry.expires_at <= time.time() and app.pods.by_id(entry.pod_id) is None
        ]
    return found


async def remove(app: App, item: Item) -> None:
    """Raises RumpelError."""
    if item.kind == "trash":
        repo = await threads.call(git.discover, item.id)
        await trash.in_trash(app, repo_ref(repo))
    elif item.kind == "import":
        if Path(item.id).name in known_pods(app):
            raise RumpelError("its pod is there again")
        await git_door.remove(Path(item.id))
    else:
        await threads.call(_unlink, Path(item.id))


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RumpelError(f"{path} cannot be removed: {error.strerror}") from error


def folder_bytes(path: Path) -> int:
    """Blocking; what is on the disk, a file with several names once."""
    seen, total = set[tuple[int, int]](), 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                info = Path(folder, name).lstat()
            except OSError:
                continue
            if (info.st_dev, info.st_ino) not in seen:
                seen.add((info.st_dev, info.st_ino))
                total += info.st_blocks * 512
    return total
