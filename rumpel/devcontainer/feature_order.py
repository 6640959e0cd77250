"""Which features are installed, and in which order.

As the reference does it (containers.dev/implementors/features, "Installation order"): what is
depended on is added; then rounds, in each of which everything that can go now does, those of the
highest priority of `overrideFeatureInstallOrder` alone, sorted by name and options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rumpel.devcontainer import feature_ref
from rumpel.devcontainer.feature_ref import FeatureRef
from rumpel.devcontainer.feature_schema import Feature
from rumpel.devcontainer.features import options
from rumpel.devcontainer.positions import FieldError, Path

Options = Mapping[str, str | bool]
MAX_FEATURES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A feature as it was found."""

    about: Feature
    identity: str
    """The same for the same content: a digest, or a path."""
    content: str
    """Digest by which its files are known to who fetched it."""


Key = tuple[str, tuple[tuple[str, str | bool], ...]]
"""(identity, options): nodes of the same key are one."""
Fetch = Callable[[FeatureRef, Path], Fetched]
"""Raises ConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One installation: the same feature with other options is another one."""

    ref: FeatureRef
    options: Options
    fetched: Fetched
    path: Path
    """Of the entry in the file that it is there for."""
    is_short: bool = False
    """Its options were a string or boolean alone, which counts only where it is declared."""
    needs: tuple[Key, ...] = ()

    @property
    def key(self) -> Key:
        return _key(self.fetched, self.options)


def ordered(
    declared: Mapping[str, Any], fetch: Fetch, *, first: Iterable[str] = ()
) -> tuple[Node, ...]:
    """`declared`: `features` of the file; `first`: its `overrideFeatureInstallOrder`.

    Raises FieldError, ConfigError.
    """
    nodes = _all(declared, fetch)
    wanted = [
        feature_ref.parse(name, ("overrideFeatureInstallOrder", at))
        for at, name in enumerate(first)
    ]
    ranks = {id(node): _rank(node, wanted) for node in nodes}
    left, done = list(nodes), list[Node]()
    while left:
        able = [node for node in left if _is_able(node, nodes, done)]
        if not able:
            names = ", ".join(node.ref.written for node in left)
            raise FieldError(("features",), f"they wait for each other: {names}")
        highest = max(ranks[id(node)] for node in able)
        now = sorted((node for node in able if ranks[id(node)] == highest), key=_place)
        done += now
        left = [node for node in left if node not in now]
    return tuple(done)


def _all(declared: Mapping[str, Any], fetch: Fetch) -> list[Node]:
    """Breadth first: what the file says, then what that needs, and so on."""
    queue: list[tuple[str, Any, Path]] = [
        (name, given, ("features", name)) for name, given in declared.items()
    ]
    found: dict[Any, Node] = {}
    while queue:
        name, given, path = queue.pop(0)
        ref = feature_ref.parse(name, path)
        known = options(given, path)
        fetched = fetch(ref, path)
        about = fetched.about
        needs = [
            _key(fetch(feature_ref.parse(need, path), path), options(said, path))
            for need, said in about.depends_on.items()
        ]
        node = Node(
            ref=ref,
            options=known,
            fetched=fetched,
            path=path,
            is_short=isinstance(given, str | bool),
            needs=tuple(needs),
        )
        if node.key not in found:
            found[node.key] = node
            queue += [(need, said, path) for need, said in about.depends_on.items()]
        if len(found) > MAX_FEATURES:
            raise FieldError(path, f"more than {MAX_FEATURES} features are to be installed")
    return list(found.values())


def _key(fetched: Fetched, known: Options) -> Key:
    return fetched.identity, tuple(sorted(known.items()))


def _rank(node: Node, wanted: list[FeatureRef]) -> int:
    """The first of N has N; what is not named has 0. Version and options do not matter."""
    for at, ref in enumerate(wanted):
        if _is_same(node, ref):
            return len(wanted) - at
    return 0


def _is_able(node: Node, nodes: list[Node], done: list[Node]) -> bool:
    ready = {one.key for one in done}
    if not ready.issuperset(node.needs):
        return False
    for name in node.fetched.about.installs_after:
        try:
            ref = feature_ref.parse(name, node.path)
        except FieldError:  # of a feature nobody can name: it is not among these
            continue
        there = [one for one in nodes if one is not node and _is_same(one, ref)]
        if there and not any(one in done for one in there):
            return False
    return True


def _is_same(node: Node, ref: FeatureRef) -> bool:
    """The feature that `ref` names, in any version; also by a name it had before."""
    if node.ref.kind != ref.kind:
        return False
    if node.ref.source == ref.source:
        return True
    if ref.kind != "registry":
        return False
    about = node.fetched.about
    folder = node.ref.source.rpartition("/")[0]
    others = {f"{folder}/{one}".lower() for one in (*about.legacy_ids, about.id or "")}
    return ref.source in others


def _place(node: Node) -> tuple[Any, ...]:
    """For sorting within a round. Letters before their case, as people's alphabets have it."""
    known = sorted(node.options.items())
    said = [(_folded(key), _folded(_text(value))) for key, value in known]
    if node.ref.kind == "registry":
        folder, _, name = node.ref.source.rpartition("/")
        parts = (_folded(folder), _folded(name), _folded(node.ref.tag))
        return (1, parts, len(known), said, node.fetched.identity)
    rank = 0 if node.ref.kind == "local" else 2
    return (rank, (_folded(node.ref.source),), len(known), said, "")


def _folded(text: str) -> tuple[str, str]:
    return text.casefold(), text.swapcase()


def _text(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()
