"""Which task comes before which: as `needs` says, else as in the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rumpel.batch.items import Item

Items = Mapping[str, Item]


def ordered(items: Items, names: Iterable[str] | None = None) -> list[str]:
    """These (None: all) and all that they need, what is needed first."""
    wanted = items if names is None else _with_needs(items, names)
    left = [name for name in items if name in wanted]
    found: dict[str, None] = {}
    while left:
        ready = [name for name in left if all(need in found for need in items[name].needs)]
        found |= dict.fromkeys(ready)
        left = [name for name in left if name not in found]
    return list(found)


def behind(items: Items, name: str) -> list[str]:
    """Those that need it, directly or not."""
    found = {name}
    order = ordered(items)
    for other in order:
        if not found.isdisjoint(items[other].needs):
            found.add(other)
    return [other for other in order if other in found and other != name]


def levels(items: Items) -> dict[str, int]:
    """How many tasks one behind the other each has to wait for."""
    found: dict[str, int] = {}
    for name in ordered(items):
        found[name] = 1 + max((found[need] for need in items[name].needs), default=-1)
    return found


def _with_needs(items: Items, names: Iterable[str]) -> set[str]:
    wanted, stack = set[str](), list(names)
    while stack:
        name = stack.pop()
        if name not in wanted:
            wanted.add(name)
            stack += items[name].needs
    return wanted
