"""In which order features are installed, and with what: as the reference's own program says.

Its nine sets of local features, then generated ones: 20 in a normal run, 500 in a long one
(RUMPEL_LONG=1, scripts/long).
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rumpel.daemon import features
from rumpel.devcontainer import feature_order
from rumpel.devcontainer.positions import FieldError
from tests.support import reference_cli
from tests.support.share import COMMIT, IS_LONG

About = Mapping[str, Any]
Set = tuple[About, Mapping[str, About], tuple[str, ...]]
"""`features` of the file, what each one says, `overrideFeatureInstallOrder`."""


def needs(**others: Any) -> About:
    return {"dependsOn": {f"./{name}": given for name, given in others.items()}}


def after(*others: str) -> About:
    return {"installsAfter": [f"./{name}" for name in others]}


SETS: Mapping[str, Set] = {
    "needs, simple": ({"./a": {}}, {"a": needs(b={"magicNumber": "50"}), "b": {}}, ()),
    "needs, with options": (
        {"./b": {}, "./a": {}},
        {
            "a": needs(d={}, c={}, b={"optionA": "a", "optionB": "a"}),
            "b": {},
            "c": needs(b={"optionA": "a", "optionB": "b"}, e={}),
            "d": needs(b={"optionA": "b", "optionB": "a"}),
            "e": needs(b={"optionA": "b", "optionB": "b"}),
        },
        (),
    ),
    "needs and after": (
        {"./a": {}}, {"a": {**after("c"), **needs(c={"magicNumber": "321"})}, "c": {}}, (),
    ),
    "after, simple": ({"./a": {}, "./c": {"magicNumber": "321"}}, {"a": after("c"), "c": {}}, ()),
    "wish, simple": (
        {f"./{name}": {} for name in "abcd"}, {name: {} for name in "abcd"}, ("./c", "./b", "./d"),
    ),
    "wish, intermediate": (
        {f"./{name}": {} for name in "abcd"},
        {"a": after("b"), "b": {}, "c": {}, "d": {}},
        ("./c", "./d", "./b"),
    ),
    "wish, in rounds": (
        {f"./{name}": {} for name in "abc"},
        {"a": {}, "b": after("a"), "c": after("b")},
        ("./c", "./b", "./a"),
    ),
    "a circle of needs": ({"./a": {}, "./b": {}}, {"a": needs(b={}), "b": needs(a={})}, ()),
    "a circle of after": ({"./a": {}, "./b": {}}, {"a": after("b"), "b": after("a")}, ()),
}  # fmt: skip


def generated(seed: str) -> Set:
    """Up to six features; one in some has a circle, options that differ, or a wish."""
    chance = random.Random(seed)
    known = "abcdef"[: chance.randint(2, 6)]

    # An option is always text or always yes or no: the reference takes "2" and true for the same.
    kinds: Mapping[str, tuple[str | bool, ...]] = {
        "x": ("1", "2"), "y": ("a", "B"), "magic": (True, False),
    }  # fmt: skip

    def options() -> dict[str, str | bool]:
        names = chance.sample(sorted(kinds), chance.choice([0, 0, 0, 1, 2]))
        return {name: chance.choice(kinds[name]) for name in names}

    said: dict[str, About] = {}
    for at, name in enumerate(known):
        # Mostly of earlier ones only: no circle then.
        others = known if chance.random() < 0.05 else known[:at]
        wanted = [one for one in others if chance.random() < 0.3 and one != name]
        waits = [one for one in others if chance.random() < 0.3 and one != name]
        said[name] = {**needs(**{one: options() for one in wanted}), **after(*waits)}
    chosen = chance.sample(known, chance.randint(1, len(known)))
    first = chance.sample(known, chance.choice([0, 0, 1, 2]))
    declared = {f"./{name}": options() for name in chosen}
    return declared, said, tuple(f"./{name}" for name in first)


def put(root: Path, wanted: Set) -> None:
    declared, said, first = wanted
    folder = root / ".devcontainer"
    for name, about in said.items():
        (folder / name).mkdir(parents=True)
        described = json.dumps({"id": name, "version": "1.0.0", **about})
        (folder / name / "devcontainer-feature.json").write_text(described)
        (folder / name / "install.sh").write_text("#!/bin/sh\n")
    config = {"image": "x", "features": declared, "overrideFeatureInstallOrder": list(first)}
    (folder / "devcontainer.json").write_text(json.dumps(config))


def theirs(root: Path) -> list[Any] | None:
    """None: there is no order."""
    done = reference_cli.run(
        "features", "resolve-dependencies", "--workspace-folder", str(root),
        env=dict(os.environ), check=False,
    )  # fmt: skip
    if done.returncode:
        assert "No viable installation order" in done.stderr, done
        return None
    found = json.loads(done.stdout[done.stdout.index("{\n") :])
    return [(one["id"], one["options"]) for one in found["installOrder"]]


def ours(root: Path, cache: Path, wanted: Set) -> list[Any] | None:
    fetch = features.fetcher(cache, str(root), ".devcontainer/devcontainer.json", is_newer=False)
    try:
        nodes = feature_order.ordered(wanted[0], fetch, first=wanted[2])
    except FieldError as error:
        if "wait for each other" not in error.reason:
            raise
        return None
    return [(node.ref.written, dict(node.options)) for node in nodes]


@pytest.mark.parametrize("name", SETS)
def test_its_own_sets(tmp_path: Path, name: str) -> None:
    root = tmp_path / "repo"
    put(root, SETS[name])
    found = ours(root, tmp_path / "cache", SETS[name])
    assert found == theirs(root)
    assert (found is None) == ("circle" in name)


@pytest.mark.timeout(600)
def test_generated_sets(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    count = 500 if IS_LONG else 20
    record_property("examples", count)
    for number in range(count):
        wanted = generated(f"{COMMIT} {number}")
        root = tmp_path / str(number)
        put(root, wanted)
        assert ours(root, tmp_path / "cache", wanted) == theirs(root), wanted
