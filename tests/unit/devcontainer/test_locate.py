"""Tests of locate in devcontainer.json."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpel.devcontainer import locate
from rumpel.errors import ConfigError


def put(root: Path, *places: str) -> None:
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text("{}")


FOLDER, FILE = locate.STANDARD


def test_nothing(root: Path) -> None:
    assert locate.find(str(root)) == []
    assert locate.choose(str(root), None) is None


def test_order_of_the_specification(root: Path) -> None:
    put(root, FILE, ".devcontainer/b/devcontainer.json", ".devcontainer/a/devcontainer.json")
    put(root, FOLDER, ".devcontainer/a/deep/devcontainer.json")
    assert locate.find(str(root)) == [
        FOLDER,
        FILE,
        ".devcontainer/a/devcontainer.json",
        ".devcontainer/b/devcontainer.json",
    ]
    assert locate.choose(str(root), None) == FOLDER


def test_one_named_configuration_is_taken_several_are_a_choice(root: Path) -> None:
    put(root, ".devcontainer/b/devcontainer.json")
    assert locate.choose(str(root), None) == ".devcontainer/b/devcontainer.json"
    put(root, ".devcontainer/a/devcontainer.json")
    with pytest.raises(ConfigError, match="2 configurations and none") as caught:
        locate.choose(str(root), None)
    assert caught.value.hint == "--config .devcontainer/a/devcontainer.json"
    assert caught.value.details["candidates"] == locate.find(str(root))


@pytest.mark.parametrize(
    "asked", ["b", ".devcontainer/b", ".devcontainer/b/devcontainer.json", "x/../other.json"]
)
def test_asked_by_path_or_by_name(asked: str, root: Path) -> None:
    put(root, FOLDER, ".devcontainer/b/devcontainer.json", "other.json", "x/y")
    found = locate.choose(str(root), asked)
    assert found == ("other.json" if "other" in asked else ".devcontainer/b/devcontainer.json")
    assert locate.choose(str(root), str(root / str(found))) == found


def test_asked_but_missing_or_outside(root: Path) -> None:
    put(root, FOLDER, "../out.json")
    with pytest.raises(ConfigError, match="no configuration nope") as caught:
        locate.choose(str(root), "nope")
    assert caught.value.hint == f"--config {FOLDER}"
    with pytest.raises(ConfigError, match="outside the repository"):
        locate.choose(str(root), "../out.json")


def test_a_folder_of_that_name_is_no_configuration(root: Path) -> None:
    (root / FILE).mkdir()
    assert locate.choose(str(root), None) is None
