"""Each hostile configuration of the table is asked for, by name, and asked for again."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpel.daemon import dev_file
from rumpel.devcontainer import consent
from rumpel.devcontainer.config import DevConfig
from rumpel.errors import ConfigError
from tests.support.benign import BENIGN
from tests.support.effect_case import CANARY, World, feature
from tests.support.host_effects import HOSTILE, REFUSED
from tests.unit.devcontainer.conftest import POD_ID


@pytest.fixture(name="world")
def repository_and_more(root: Path) -> World:
    world = World(root, root.parent / "outside")
    world.prepare()
    return world


def read(world: World) -> DevConfig:
    return dev_file.load(
        str(world.root),
        is_newer=False,
        is_whole=True,
        granted=(),
        local_env=world.env,
        pod="p",
        pod_id=POD_ID,
        repo_basename="demo",
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_asked_for_and_asked_again_for_one_change(name: str, world: World) -> None:
    case = HOSTILE[name]
    world.put(case.fields, case.files)
    effects = read(world).effects
    granted = world.filled(case.keys)
    assert sorted(effect.key for effect in effects) == sorted(granted)
    assert consent.missing(effects, ()) == effects
    assert consent.missing(effects, granted) == ()
    assert world.filled(case.said) in " ".join(effect.text for effect in effects)
    assert CANARY not in str(effects)

    world.put(case.other, case.other_files)
    asked = consent.missing(read(world).effects, granted)
    assert sorted(effect.key for effect in asked) == sorted(world.filled(case.more))
    assert CANARY not in str(asked)


@pytest.mark.parametrize("name", REFUSED)
def test_nobody_can_agree_to_it(name: str, world: World) -> None:
    fields, files, said = REFUSED[name]
    world.put(fields, files)
    with pytest.raises(ConfigError) as caught:
        read(world)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", BENIGN)
def test_nobody_is_asked_for_an_ordinary_one(name: str, world: World) -> None:
    world.put({}, {**feature(), "devcontainer.json": BENIGN[name]})
    found = read(world)
    assert found.effects == ()
    assert found.private_values == ()
    assert CANARY not in str(found)


def test_there_are_enough() -> None:
    assert len(HOSTILE) >= 40
    assert len(BENIGN) >= 30
