"""Large files in a test's repository, as git-lfs stores them; the host itself has no git-lfs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.support.repo import Repo

ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


def oid_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def pointer(content: bytes) -> str:
    return pointer_to(oid_of(content), len(content))


def pointer_to(oid: str, size: int) -> str:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"


def stored(store: Path, content: bytes) -> Path:
    """Where the content lies in a store, whether it does or not."""
    oid = oid_of(content)
    return store / "objects" / oid[:2] / oid[2:4] / oid


def put(store: Path, content: bytes) -> None:
    path = stored(store, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def track(repo: Repo, **files: bytes) -> str:
    """Commit pointers `name.bin` to `files`; the new oid. Their content is the test's to put."""
    texts = {f"{name}.bin": pointer(content) for name, content in files.items()}
    return repo.commit("large files", {".gitattributes": ATTRIBUTES, **texts})
