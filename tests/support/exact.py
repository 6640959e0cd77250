"""Every byte of a folder in a container, as its engine tells it, for comparing."""

from __future__ import annotations

import hashlib
import io
import tarfile

from tests.support.engine import Engine

Picture = dict[str, tuple[object, ...]]
OURS = ".git/rumpel/"
"""What a link writes while it lives: it is of this container only."""
FETCHED = ".git/FETCH_HEAD"
"""Whenever the host has news, the pod fetches."""


def picture(
    engine: Engine, container: str, folder: str, *, without: tuple[str, ...] = ()
) -> Picture:
    """Path -> type, mode, owner, mtime, target, digest. Whatever state the container is in."""
    stream, _ = engine.api.get_archive(container, f"{folder}/.")
    found: Picture = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        for item in tar:
            name = item.name.removeprefix("./")
            if name in (".", FETCHED) or f"{name}/".startswith((OURS, *without)):
                continue
            content = tar.extractfile(item) if item.isreg() else None
            digest = hashlib.sha1(content.read()).hexdigest() if content else ""
            about = (item.type, oct(item.mode), item.uid, item.gid)
            found[name] = (*about, item.mtime if not item.isdir() else 0, item.linkname, digest)
    return found


def differences(before: Picture, after: Picture) -> list[str]:
    """One line for each path that is not the same."""
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
