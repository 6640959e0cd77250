"""The refs the user sees for the branches of all pods of a repository. Pure.

Each branch is `rumpelpod/<branch>@<pod>`, a pod's own branch also `rumpelpod/<pod>`. Git cannot
have `fix` and `fix/login` at once, some file systems no `Main` beside `main`, and no file name
beyond 255 bytes. Then the pod's own name wins and the other is encoded (`%2F` for `/`), so that
no pod can keep another from being published (notes/reliability.md F6, G2).
"""

from __future__ import annotations

import hashlib
import itertools
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PREFIX = "refs/remotes/rumpelpod/"
MAX_COMPONENT_BYTES = 200
"""Of one part of a ref's name: file systems take 255, and git needs 5 for `.lock`."""
MAX_NAME_BYTES = 1000
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.@+=,")
DIGEST_CHARS = 16


@dataclass(frozen=True, slots=True)
class View:
    """Full ref name -> oid, and what to tell the user about names that had to change."""

    refs: dict[str, str]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Names:
    """What is taken, as a file system without letter case and Unicode forms would see it."""

    refs: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def is_free(self, name: str) -> bool:
        key = _fold(name)
        return (
            key not in self.refs and key not in self.folders and self.refs.isdisjoint(_folders(key))
        )

    def take(self, name: str) -> None:
        key = _fold(name)
        self.refs.add(key)
        self.folders.update(_folders(key))


def view(pods: Mapping[str, tuple[str, Mapping[str, str]]]) -> View:
    """`pods`: name -> (pod id, branch -> oid). Every branch is in the result, whatever its name."""
    taken, refs, notes = _Names(), {}, []
    for pod, (_, branches) in sorted(pods.items()):
        # Also when the pod has no such branch yet: nobody else can take its place meanwhile.
        taken.take(pod)
        if pod in branches:
            refs[PREFIX + pod] = branches[pod]
    rest = sorted((branch, pod) for pod, (_, branches) in pods.items() for branch in branches)
    # Simple names first: `main@a` beats `Main@a` and `fix` beats `fix/login`, whoever has them.
    rest.sort(key=lambda item: (item[0].count("/"), item[0] != item[0].lower(), item))
    for branch, pod in rest:
        wanted = f"{branch}@{pod}"
        name = next(name for name in _candidates(branch, pod) if _fits(name, taken))
        taken.take(name)
        refs[PREFIX + name] = pods[pod][1][branch]
        if name != wanted:
            notes.append(
                f"branch {branch!r} of pod {pod!r} is published as rumpelpod/{name}: "
                "its own name is too long or clashes with another"
            )
    return View(refs=refs, notes=tuple(notes))


def owner(ref: str) -> str:
    """The pod a published ref belongs to, by its name: no pod's name has an `@`."""
    return ref.removeprefix(PREFIX).rpartition("@")[2]


def in_the_way(strange: Iterable[str], wanted: Iterable[str]) -> set[str]:
    """Those of `strange` that cannot be there beside `wanted` (full names of refs, all of them)."""
    taken = _Names()
    for name in wanted:
        taken.take(name)
    return {name for name in strange if not taken.is_free(name)}


def _candidates(branch: str, pod: str) -> Iterable[str]:
    """From the nicest to ever new ones: a pod may have taken the first few on purpose."""
    yield f"{branch}@{pod}"
    yield f"{branch.replace('/', '%2F')}@{pod}"
    yield f"{_encoded(branch)}@{pod}"
    digest = hashlib.sha256(branch.encode("utf-8", "surrogateescape")).hexdigest()
    start = _encoded(branch)[:100].rpartition("%")[0] or "branch"
    yield f"{start}%{digest[:DIGEST_CHARS]}@{pod}"
    for number in itertools.count(1):
        yield f"branch%{digest}-{number}@{pod}"


def _encoded(branch: str) -> str:
    """No `/`, no upper case, nothing but ASCII; different branches stay different."""
    return "".join(
        char
        if char in PLAIN
        else "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
        for char in branch
    )


def _fits(name: str, taken: _Names) -> bool:
    size = len(name.encode("utf-8", "surrogateescape"))
    parts = (len(part.encode("utf-8", "surrogateescape")) for part in name.split("/"))
    return size <= MAX_NAME_BYTES and max(parts) <= MAX_COMPONENT_BYTES and taken.is_free(name)


def _fold(name: str) -> str:
    """Equal for names that any usual file system takes for the same (HFS+ ignores some)."""
    if name.isascii():
        return name.lower()
    folded = unicodedata.normalize("NFKD", name.casefold()).casefold()
    visible = (char for char in folded if unicodedata.category(char) != "Cf")
    return unicodedata.normalize("NFKC", "".join(visible))


def _folders(key: str) -> list[str]:
    parts = key.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
