"""A build context: which files go to the builder, their tar, and a key over what they contain.

The same files give the same tar and the same key on every machine: sorted, one owner, one time,
no absolute path. Blocking: call it in a thread.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from rumpel.adapters import build_git, build_ignore, build_reads
from rumpel.adapters.build_ignore import Ignore, Verdict
from rumpel.errors import ConfigError, RumpelError

Kind = Literal["file", "folder", "link"]
DigestFile = Callable[[Path, os.stat_result], str]

IGNORE_FILE = ".dockerignore"
OUTSIDE_DOCKERFILE = ".rumpel.Dockerfile"
"""The name in the tar of a Dockerfile that lies outside its context, as the docker CLI does it."""
MTIME = 1_000_000_000
"""One time for all: builders ignore it. Not 0, since zip (Python wheels) starts at 1980."""
MAX_DOCKERFILE_BYTES = 4 << 20
READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    path: str
    """Relative to the context, with slashes."""
    kind: Kind
    mode: int
    info: os.stat_result
    target: str = ""
    is_hidden: bool = False
    """Sent because the builder reads it, yet ignored: a COPY never sees it."""


@dataclass(frozen=True, slots=True)
class Context:
    root: Path
    dockerfile: str
    """Its path in the tar."""
    dockerfile_data: bytes
    entries: tuple[Entry, ...]
    extra: tuple[tuple[str, bytes], ...] = ()
    """Files that exist only in the tar."""


def scan(root: str | Path, dockerfile: str | Path) -> Context:
    """Read the tree. Raises ConfigError when one of the two is not there or cannot be read."""
    root, dockerfile = Path(root), Path(dockerfile)
    if not root.is_dir():
        raise ConfigError(f"the build context {root} is not a folder")
    data = _read_small(dockerfile)
    ignore, ignore_text = _ignore_of(root, dockerfile)
    name = _inside(root, dockerfile)
    forced = {IGNORE_FILE, name} if name else {IGNORE_FILE}
    try:
        entries = tuple(_walk(root, "", ignore, ignore.root(), forced))
    except OSError as err:
        raise ConfigError(f"cannot read the build context: {err}") from err
    if name:
        return Context(root, name, data, entries)
    hiding = f"{ignore_text}\n{IGNORE_FILE}\n{OUTSIDE_DOCKERFILE}\n".encode()
    extra = ((IGNORE_FILE, hiding), (OUTSIDE_DOCKERFILE, data))
    kept = tuple(entry for entry in entries if entry.path not in dict(extra))
    return Context(root, OUTSIDE_DOCKERFILE, data, kept, extra)


def content_key(
    root: str | Path,
    dockerfile: str | Path,
    *,
    config: str | Path | None = None,
    digest_file: DigestFile | None = None,
) -> str:
    """A digest of everything the build can see of the context; 32 hex digits.

    Not of what a pod's commit or a `git gc` changes in the repository: no image is stale by it.
    Nor of the configuration, `config`, where the Dockerfile does not read it.
    """
    context = scan(root, dockerfile)
    name = "" if config is None else _inside(Path(root), Path(config))
    if name and not build_reads.may_read(context.dockerfile_data, name):
        kept = tuple(entry for entry in context.entries if entry.path != name)
        context = replace(context, entries=kept)
    return key_of(context, digest_file=digest_file)


def key_of(context: Context, *, digest_file: DigestFile | None = None) -> str:
    """`digest_file` may remember the digests of files that did not change."""
    digest_of = digest_file or plain_digest
    total = hashlib.blake2b(digest_size=16)
    for field in ("context-2", context.dockerfile, context.dockerfile_data):
        _feed(total, field)
    told = [entry for entry in context.entries if not entry.is_hidden and _is_told(entry)]
    of_refs = {one.path for one in told if one.kind == "file" and build_git.REF.search(one.path)}
    try:
        for entry in told:
            if entry.path in of_refs:
                continue
            content = entry.target
            if entry.kind == "file":
                content = digest_of(context.root / entry.path, entry.info)
            for field in (entry.path, entry.kind, f"{entry.mode:o}", content):
                _feed(total, field)
        for path, oid in build_git.refs(context.root, of_refs):
            for value in (path, "ref", oid):
                _feed(total, value)
    except OSError as err:
        raise ConfigError(f"cannot read the build context: {err}") from err
    return total.hexdigest()


def _is_told(entry: Entry) -> bool:
    """Folders of git come and go with what is in them."""
    if build_git.UNTOLD.search(entry.path):
        return False
    return entry.kind != "folder" or not build_git.INSIDE.search(entry.path)


def plain_digest(path: Path, _info: os.stat_result) -> str:
    with path.open("rb") as file:
        total = hashlib.blake2b(digest_size=16)
        while data := file.read(READ_BYTES):
            total.update(data)
    return total.hexdigest()


def write_tar(root: str | Path, dockerfile: str | Path, out: Path) -> str:
    """Write the tar file `out`; returns the Dockerfile's path in it."""
    context = scan(root, dockerfile)
    with out.open("wb") as file:
        write(context, file)
    return context.dockerfile


def write(context: Context, out: IO[bytes]) -> None:
    """Raises RumpelError when a file of the context goes or shrinks meanwhile."""
    try:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for entry in context.entries:
                _add(tar, context.root, entry)
            for name, data in context.extra:
                header = _header(name, 0o644)
                header.size = len(data)
                tar.addfile(header, io.BytesIO(data))
    except OSError as err:
        raise RumpelError(f"the build context changed while it was read: {err}") from err


def _add(tar: tarfile.TarFile, root: Path, entry: Entry) -> None:
    header = _header(entry.path, entry.mode)
    if entry.kind == "folder":
        header.type = tarfile.DIRTYPE
        tar.addfile(header)
    elif entry.kind == "link":
        header.type, header.linkname = tarfile.SYMTYPE, entry.target
        tar.addfile(header)
    else:
        # O_NOFOLLOW: what was a file a moment ago must not lead out of the context now.
        with open(
            root / entry.path, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW)
        ) as file:
            header.size = entry.info.st_size
            tar.addfile(header, file)


def _header(name: str, mode: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.mode, header.mtime = mode, MTIME
    return header


def _walk(
    root: Path, folder: str, ignore: Ignore, above: Verdict, forced: set[str]
) -> Iterator[Entry]:
    """Depth first, sorted by name; a folder only when it or something in it is sent."""
    for item in sorted(os.scandir(root / folder), key=lambda item: item.name):
        path = f"{folder}/{item.name}" if folder else item.name
        if build_git.UNSENT.search(path):
            continue
        verdict = ignore.judge(path, above)
        is_forced = path in forced
        info = item.stat(follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            holds_forced = any(one.startswith(f"{path}/") for one in forced)
            if verdict.is_ignored and ignore.can_skip(path) and not holds_forced:
                continue
            yield from _folder(root, path, info, ignore=ignore, verdict=verdict, forced=forced)
        elif not verdict.is_ignored or is_forced:
            mode = stat.S_IMODE(info.st_mode)
            if stat.S_ISLNK(info.st_mode):
                target = str((root / path).readlink())
                yield Entry(path, "link", 0o777, info, target, verdict.is_ignored)
            elif stat.S_ISREG(info.st_mode):
                yield Entry(path, "file", mode, info, "", verdict.is_ignored)


def _folder(
    root: Path,
    path: str,
    info: os.stat_result,
    *,
    ignore: Ignore,
    verdict: Verdict,
    forced: set[str],
) -> Iterator[Entry]:
    inner = list(_walk(root, path, ignore, verdict, forced))
    if verdict.is_ignored and not inner:
        return
    is_hidden = verdict.is_ignored and all(entry.is_hidden for entry in inner)
    yield Entry(path, "folder", stat.S_IMODE(info.st_mode), info, "", is_hidden)
    yield from inner


def _ignore_of(root: Path, dockerfile: Path) -> tuple[Ignore, str]:
    """The Dockerfile's own ignore file, else the context's; and its text."""
    own = dockerfile.with_name(f"{dockerfile.name}{IGNORE_FILE}")
    for path in (own, root / IGNORE_FILE):
        try:
            text = path.read_text("utf-8", "surrogateescape")
        except FileNotFoundError:
            continue
        except OSError as err:
            raise ConfigError(f"cannot read {path}: {err.strerror}") from err
        return build_ignore.parse(text, path.name), text
    return Ignore(()), ""


def _inside(root: Path, dockerfile: Path) -> str:
    """The Dockerfile's path in the context; empty when it lies outside, or is a link out of it."""
    try:
        real = dockerfile.resolve()
        name = dockerfile.parent.resolve().relative_to(root.resolve()) / dockerfile.name
        real.relative_to(root.resolve())
    except ValueError:
        return ""
    return name.as_posix()


def _read_small(dockerfile: Path) -> bytes:
    try:
        if dockerfile.stat().st_size > MAX_DOCKERFILE_BYTES:
            raise ConfigError(f"{dockerfile} is too large for a Dockerfile")
        return dockerfile.read_bytes()
    except FileNotFoundError as err:
        raise ConfigError(f"there is no Dockerfile at {dockerfile}") from err
    except OSError as err:
        raise ConfigError(f"cannot read {dockerfile}: {err.strerror}") from err


def _feed(total: hashlib.blake2b, field: str | bytes) -> None:
    data = field.encode("utf-8", "surrogateescape") if isinstance(field, str) else field
    total.update(len(data).to_bytes(8, "big"))
    total.update(data)
