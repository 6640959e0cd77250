"""A batch file as it was asked for: read, with all that it names, and what that needs consent for.

The file may be a repository's own, so be somebody else's: what it takes from outside of the
repository, and the machines it sends commits to, are agreed to as with its devcontainer.json.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from rumpel import names
from rumpel.adapters import threads
from rumpel.daemon import requests
from rumpel.daemon.batch_state import BATCH
from rumpel.daemon.hosts import LOCAL
from rumpel.errors import NotFound, RumpelError, UsageError

if TYPE_CHECKING:
    from rumpel.batch.files import FileIn
    from rumpel.batch.items import Batch, Item
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Base, Target
    from rumpel.devcontainer.consent import Effect

STDIN = "-"
MAX_PROMPT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    batch: Batch
    file: str
    cwd: str
    """`file` is from there."""
    effects: tuple[Effect, ...] = ()
    """To be agreed to before any of it runs."""


async def read(app: App, client: Client, where: Target) -> Given:
    """Raises ConfigError with file and line, NotFound, UsageError."""
    noted = app.store.kv_get(f"{BATCH}{where.ref.repo_id}/{client.request.args['file']}")
    return await threads.call(_load, client, where, noted)


async def base(where: Target, item: Item) -> Base:
    """That it names. Raises NotFound, naming the task."""
    try:
        return await requests.base(where, item.base)
    except RumpelError as error:
        error.message = f"task {item.name}: {error.message}"
        raise


def _load(client: Client, where: Target, noted: dict[str, Any] | None) -> Given:
    """`noted`: of a batch that has the name that was given."""
    from rumpel.batch import reading, unroll

    args = client.request.args
    file = args["file"]
    if not file:
        raise UsageError("which file?", hint="rumpel batch run FILE, or - to read it from stdin")
    cwd = client.request.cwd
    if noted is not None and noted["file"] != STDIN and not os.path.lexists(Path(cwd) / file):
        cwd, file = str(noted["cwd"]), str(noted["file"])
    path = Path(cwd) / file
    if file == STDIN:
        folder, data = path.parent, args["text"].encode("utf-8", "surrogateescape")
    else:
        folder, data = path.parent, _bytes(path, file, reading.MAX_BYTES)
    taken = _Taken(folder)
    parsed = reading.read(data, file)
    stem = "batch" if file == STDIN else names.slug(PurePath(file).stem, 63)
    batch = unroll.load(parsed, name=stem, read=taken.text, find=taken.files)
    is_its_own = file != STDIN and _is_in(os.path.realpath(path), where)
    effects = _effects(batch, taken.paths, where) if is_its_own else ()
    return Given(batch=batch, file=file, cwd=cwd, effects=effects)


def _bytes(path: Path, shown: str, most: int) -> bytes:
    from rumpel.batch import files

    try:
        return files.read_bytes(path, most)
    except FileNotFoundError as error:
        raise NotFound(
            f"{shown} cannot be read: {error.strerror}",
            hint="rumpel batch init   writes an example",
        ) from error
    except OSError as error:
        raise NotFound(f"{shown} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{shown} cannot be read: {error}") from error


@dataclass(slots=True)
class _Taken:
    """What the file names beside itself."""

    folder: Path
    paths: set[str] = field(default_factory=set)
    """Without symbolic links."""

    def text(self, name: str) -> str:
        from rumpel.batch import files

        found = files.read_bytes(self._path(name), MAX_PROMPT_BYTES)
        return found.decode("utf-8")

    def files(self, given: str, target: str) -> Iterable[FileIn]:
        from rumpel.batch import files

        self._path(given)
        return files.listed(self.folder, given, target)

    def _path(self, name: str) -> Path:
        self.paths.add(os.path.realpath(self.folder / name))
        return self.folder / name


def _effects(batch: Batch, taken: Iterable[str], where: Target) -> tuple[Effect, ...]:
    from rumpel.devcontainer import consent

    hosts = {*batch.concurrency.hosts, *(item.host for item in batch.items.values())}
    return (
        *(consent.taken(path) for path in sorted(taken) if not _is_in(path, where)),
        *(
            consent.remote_host(host)
            for host in sorted(host for host in hosts if host)
            if host not in (LOCAL, where.host)
        ),
    )


def _is_in(path: str, where: Target) -> bool:
    """In a work tree of the repository: git's own folder is the user's, too."""
    for root in {where.root, where.repo.work_tree}:
        inner = PurePath(path)
        if inner.is_relative_to(os.path.realpath(root)):
            return ".git" not in inner.relative_to(os.path.realpath(root)).parts
    return False
