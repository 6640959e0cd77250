"""Tests of consent in devcontainer.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer import consent
from rumpel.devcontainer.config import DevConfig
from tests.unit.devcontainer.conftest import Load

SHOWN = {"TOKEN": "secret-value", "HOME": "/home/u"}


def keys(config: DevConfig) -> list[str]:
    return [effect.key for effect in config.effects]


def with_args(*words: str) -> str:
    return json.dumps({"image": "a", "runArgs": list(words)})


HARMLESS: list[dict[str, Any]] = [
    {},
    {"runArgs": ["--memory=1g", "--network=none", "--runtime=crun", "--cap-drop=ALL", "-e", "A=1"]},
    {"runArgs": ["--security-opt", "no-new-privileges", "--init", "--label", "a=b"]},
    {"runArgs": ["--ipc=private", "--privileged=false", "--pid", "", "--network", "bridge"]},
    {"mounts": ["source=cache,target=/c", {"type": "volume", "target": "/d"}]},
    {"mounts": ["type=tmpfs,target=/c"], "runArgs": ["--tmpfs", "/d", "-v", "vol:/e"]},
    {"containerEnv": {"H": "${localEnv:HOME}", "U": "${localEnv:UNSET:x}"}},
    {"customizations": {"x": "${localEnv:TOKEN}"}},
    {"privileged": False, "init": True},
    {"mounts": ["target=/c,volume-opt=type=tmpfs,volume-opt=device=tmpfs,volume-opt=o=size=1m"]},
    {"runArgs": ["--log-driver=local", "--log-opt=max-size=1m", "--runtime=runc"]},
    {"runArgs": ["--network=default", "--ipc=shareable", "-p", "127.0.0.2:80:80"]},
    {"postCreateCommand": "touch /x"},
]


@pytest.mark.parametrize("fields", HARMLESS, ids=str)
def test_needs_no_consent(fields: dict[str, Any], load_text: Load) -> None:
    assert keys(load_text(json.dumps({"image": "a", **fields}), SHOWN)) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"mounts": ["type=bind,source={0},target=/c"]},
        {"mounts": [{"type": "bind", "source": "{0}", "target": "/c"}]},
        {"mounts": ["type=bind,source={0}/sub/..,target=/c"]},
        {"runArgs": ["-v", "{0}:/c"]},
        {"runArgs": ["--volume={0}/.:/c:rw"]},
        {"runArgs": ["--mount", "type=bind,src={0},dst=/c"]},
        {"mounts": ["target=/c,volume-opt=type=none,volume-opt=o=bind,volume-opt=device={0}"]},
        {"mounts": ["target=/c,volume-driver=local,volume-opt=device={0}"]},
    ],
    ids=str,
)
def test_every_bind_mount_by_its_real_path(
    fields: dict[str, Any], tmp_path: Path, load_text: Load
) -> None:
    real = tmp_path / "real"
    (real / "sub").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(real)
    text = json.dumps({"image": "a", **fields}).replace("{0}", str(link))
    assert keys(load_text(text)) == [f"bind:{real.resolve()}"]


def test_a_seccomp_profile_is_bound_to_its_content(root: Path, load_text: Load) -> None:
    seen = []
    for content in ("{}", '{"a": 1}', "{ }"):
        (root / "s.json").write_text(content)
        config = load_text(with_args("--security-opt", "seccomp=s.json"))
        seen.append([key for key in keys(config) if "security" in key and "seccomp=" in key])
    assert seen[0] == seen[2]
    assert seen[0] != seen[1]


def test_a_variable_is_named_with_the_fields_that_read_it(load_text: Load) -> None:
    text = """{"image": "a", "containerEnv": {"A": "${localEnv:TOKEN}"},
        "runArgs": ["-e", "T=${localEnv:TOKEN}"]}"""
    (effect,) = load_text(text, SHOWN).effects
    assert effect.text == "hands over TOKEN of your environment (containerEnv.A, runArgs[1])"


def test_consent_is_by_effect_not_by_wording(load_text: Load) -> None:
    one = load_text('{"image":"a","privileged":true,"capAdd":["ALL"]}')
    other = load_text('{// c\n"image":"b","runArgs":["--cap-add=all"],"privileged":true}')
    assert consent.digest(one.effects) == consent.digest(other.effects)
    granted = {"privileged:true"}
    assert [effect.key for effect in consent.missing(one.effects, granted)] == ["cap-add:ALL"]
    assert consent.missing(one.effects, set(keys(one))) == ()
