"""Git's ref files: loose refs, packed-refs, symbolic refs; see gitrepository-layout(5).

Read without a process, because this is on the way of every import. Loose files are read before
packed-refs, as git does: a ref that is packed meanwhile is then found there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
PACKED_HEADER = "# pack-refs with: peeled fully-peeled sorted \n"
MAX_SYMREFS = 5
BAD_IN_NAME = re.compile(
    rb"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock/|\.lock$|\.$|/$|^[./]|^$"
)
"""What git-check-ref-format(1) forbids in a ref's name; `^` is that of a branch."""


def refs(git_dir: Path, prefix: str) -> dict[str, str]:
    """Full name -> oid of the ref `prefix` or of all below it; broken refs are left out."""
    prefix = prefix.rstrip("/")
    loose = dict(_loose(git_dir, prefix))
    packed = read_packed(git_dir / "packed-refs")
    below = f"{prefix}/"
    found = {name: oid for name, oid in packed.items() if name == prefix or name.startswith(below)}
    found |= loose
    for name, value in loose.items():
        oid = _follow(git_dir, value)
        if oid is None:
            found.pop(name)
        else:
            found[name] = oid
    return found


def is_branch_name(raw: bytes) -> bool:
    """Git would take it; whoever sent it may not have asked git."""
    return BAD_IN_NAME.search(raw) is None


def head(git_dir: Path, common_dir: Path) -> tuple[str, str | None]:
    """(name of the ref HEAD stands for, empty when detached; its oid). Raises OSError."""
    value = os.fsdecode((git_dir / "HEAD").read_bytes()).strip()
    name = value.removeprefix("ref:").strip() if value.startswith("ref:") else ""
    return name, _follow(common_dir, value)


def read_packed(path: Path) -> dict[str, str]:
    """Name -> oid of a packed-refs file, {} when there is none. Raises OSError."""
    try:
        text = os.fsdecode(path.read_bytes())
    except FileNotFoundError:
        return {}
    return dict(_entries(text))


def packed_text(found: Mapping[str, str]) -> bytes:
    """A packed-refs file: sorted by the names' bytes; all refs point at commits."""
    lines = sorted((os.fsencode(name), oid) for name, oid in found.items())
    return PACKED_HEADER.encode() + b"".join(
        oid.encode() + b" " + name + b"\n" for name, oid in lines
    )


def move_refs(git_dir: Path, moves: Mapping[str, str]) -> bool:
    """Give refs that have a file a new oid, by git's own protocol: all locks, then the renames.

    False, and nothing is changed, when one is missing, packed, symbolic or locked: that is
    for git. Saves the process in the most common case, a commit on a published branch.
    """
    locked: list[tuple[Path, Path]] = []
    try:
        for name, oid in moves.items():
            path = git_dir / name
            if path.is_symlink() or not OID.fullmatch(_value(path) or ""):
                return False
            lock = path.with_name(f"{path.name}.lock")
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o666)
            locked.append((lock, path))
            with os.fdopen(handle, "w") as file:
                file.write(f"{oid}\n")
        # Again, now that nobody else can: pack-refs may have taken a file away meanwhile.
        if not all(path.is_file() for _, path in locked):
            return False
        while locked:
            lock, path = locked[-1]
            lock.replace(path)
            locked.pop()
        return True
    except OSError:
        return False
    finally:
        for lock, _ in locked:
            lock.unlink(missing_ok=True)


def _entries(text: str) -> Iterable[tuple[str, str]]:
    for line in text.split("\n"):
        oid, _, name = line.partition(" ")
        if name and OID.fullmatch(oid):
            yield name, oid


def _loose(git_dir: Path, prefix: str) -> Iterable[tuple[str, str]]:
    top = git_dir / prefix
    if not top.is_dir():
        value = _value(top)
        if value is not None:
            yield prefix, value
        return
    for folder, _, names in os.walk(top):
        relative = os.path.relpath(folder, git_dir)
        for name in names:
            if name.endswith(".lock"):
                continue
            value = _value(Path(folder, name))
            if value is not None:
                yield f"{relative}/{name}", value


def _value(path: Path) -> str | None:
    """An oid or `ref: NAME`; None for what is neither (a broken or vanishing file)."""
    try:
        text = os.fsdecode(path.read_bytes()).strip()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    return text if text.startswith("ref:") or OID.fullmatch(text) else None


def _follow(git_dir: Path, value: str) -> str | None:
    for _ in range(MAX_SYMREFS):
        if not value.startswith("ref:"):
            return value if OID.fullmatch(value) else None
        name = value.removeprefix("ref:").strip()
        if not name.startswith("refs/") or ".." in name:
            return None
        found = _value(git_dir / name) or read_packed(git_dir / "packed-refs").get(name)
        if found is None:
            return None
        value = found
    return None
