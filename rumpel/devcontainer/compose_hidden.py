"""Where in a compose project values stand that are never stored: found by asking twice.

The program is asked once more with other values in their place; where the two models differ, there
they are, also in parts. Where such a value has to be a number that cannot be, and texts which hold
it count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rumpel.devcontainer.build import Build
    from rumpel.devcontainer.compose import Beside, Composed

Place = tuple[str | int, ...]
MIN_HELD = 4
"""A shorter value is in many a text by chance: there it is the whole text, or not found."""


def sealed(made: Composed) -> Composed:
    """With the places of all but the pod's own service; those are in its create body."""
    shadow = made.shadow
    beside = {} if shadow is None else {one.name: one for one in shadow.beside}
    parts = {"volumes": made.volumes, "networks": made.networks}
    others = shadow and {"volumes": shadow.volumes, "networks": shadow.networks}
    return replace(
        made,
        build=_build(made, made.build, None if shadow is None else shadow.build),
        beside=tuple(_service(made, one, beside.get(one.name)) for one in made.beside),
        # What is on the engine has that name there, for everybody to see, and is found by it.
        private=tuple(one for one in places(made, parts, others) if one[2:] != ("name",)),
    )


def _service(made: Composed, one: Beside, other: Beside | None) -> Beside:
    found = set(places(made, one.body, None if other is None else other.body))
    environment = one.body.get("environment") or {}
    found |= {("environment", name) for name in environment.keys() & made.hidden_env}
    return replace(
        one,
        private=tuple(sorted(found, key=str)),
        build=_build(made, one.build, None if other is None else other.build),
    )


def _build(made: Composed, one: Build | None, other: Build | None) -> Build | None:
    if one is None:
        return None
    found = places(made, dict(one.args), None if other is None else dict(other.args))
    return replace(one, private_args=tuple(sorted({str(place[0]) for place in found})))


def private_env(made: Composed) -> set[str]:
    """Names of the pod's own variables."""
    other = None if made.shadow is None else made.shadow.env
    found = {str(place[0]) for place in places(made, made.env, other)}
    return found | (made.env.keys() & made.hidden_env)


def places(made: Composed, value: Any, other: Any) -> Iterator[Place]:
    """Of texts in `value`; `other` is the same of the shadow, None where there is none."""
    if not made.hidden_values:
        return
    yield from _differing(value, other) if other is not None else _holding(value, made)


def _differing(value: Any, other: Any) -> Iterator[Place]:
    if isinstance(value, dict) and isinstance(other, dict):
        for key, inner in value.items():
            yield from ((key, *rest) for rest in _differing(inner, other.get(key)))
    elif isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        for at, pair in enumerate(zip(value, other, strict=True)):
            yield from ((at, *rest) for rest in _differing(*pair))
    elif isinstance(value, dict | list):
        yield from _texts(value)
    elif isinstance(value, str) and value != other:
        yield ()


def _texts(value: Any) -> Iterator[Place]:
    if isinstance(value, str):
        yield ()
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *rest) for rest in _texts(inner))


def _holding(value: Any, made: Composed) -> Iterator[Place]:
    if isinstance(value, str):
        if any(
            one == value or (len(one) >= MIN_HELD and one in value) for one in made.hidden_values
        ):
            yield ()
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ((key, *rest) for rest in _holding(inner, made))
