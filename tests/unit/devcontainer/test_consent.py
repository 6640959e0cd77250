"""Tests of consent in devcontainer.json."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer import consent
from rumpel.devcontainer.config import DevConfig
from tests.unit.devcontainer.conftest import Load

NOTHING = hashlib.sha256().hexdigest()
SHOWN = {"TOKEN": "secret-value", "HOME": "/home/u"}


def keys(config: DevConfig) -> list[str]:
    return [effect.key for effect in config.effects]


def with_args(*words: str) -> str:
    return json.dumps({"image": "a", "runArgs": list(words)})


HARMLESS: list[dict[str, Any]] = [
    {},
    {"runArgs": ["--memory=1g", "--network=none", "--runtime=crun", "--cap-drop=ALL", "-e", "A=1"]},
    {"runArgs": ["--security-opt", "no-new-privileges", "--init", "--label", "a=b"]},
    {"runArgs": ["--ipc=private", "--privileged=false", "--pid", "", "--network", "mine"]},
    {"mounts": ["source=cache,target=/c", {"type": "volume", "target": "/d"}]},
    {"mounts": ["type=tmpfs,target=/c"], "runArgs": ["--tmpfs", "/d", "-v", "vol:/e"]},
    {"containerEnv": {"H": "${localEnv:HOME}", "U": "${localEnv:UNSET:x}"}},
    {"customizations": {"x": "${localEnv:TOKEN}"}},
    {"privileged": False, "init": True},
    {"mounts": ["target=/c,volume-opt=type=tmpfs,volume-opt=device=tmpfs"]},
    {"postCreateCommand": "touch /x"},
]

EFFECTS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "commands of this machine": (
        {"initializeCommand": {"a": "touch /x", "b": ["echo", "a b"]}},
        [f"command:echo 'a b' {NOTHING}", f"command:touch /x {NOTHING}"],
    ),
    "privileged": ({"privileged": True}, ["privileged:true"]),
    "privileged argument": ({"runArgs": ["--privileged"]}, ["privileged:true"]),
    "capabilities": (
        {"capAdd": ["SYS_PTRACE"], "runArgs": ["--cap-add=cap_sys_ptrace", "--cap-add", "ALL"]},
        ["cap-add:ALL", "cap-add:SYS_PTRACE"],
    ),
    "device": ({"runArgs": ["--device=/dev/fuse"]}, ["device:/dev/fuse"]),
    "device rule": ({"runArgs": ["--device-cgroup-rule=a *:* rwm"]}, ["device:a *:* rwm"]),
    "gpus": ({"runArgs": ["--gpus", "all"]}, ["device:gpu=-1"]),
    "security": (
        {"securityOpt": ["seccomp=unconfined"], "runArgs": ["--security-opt=apparmor:unconfined"]},
        ["security-opt:apparmor=unconfined", "security-opt:seccomp=unconfined"],
    ),
    "proc": (
        {"runArgs": ["--security-opt=systempaths=unconfined"]},
        ["security-opt:systempaths=unconfined"],
    ),
    "host namespaces": (
        {"runArgs": ["--network=host", "--pid=host", "--ipc=host", "--uts=host", "--userns=host"]},
        [f"namespace:{name}=host" for name in ("ipc", "network", "pid", "userns", "uts")],
    ),
    "cgroup": (
        {"runArgs": ["--cgroupns=host", "--cgroup-parent=/x"]},
        ["cgroup-parent:/x", "namespace:cgroupns=host"],
    ),
    "foreign namespaces": (
        {"runArgs": ["--network=container:db", "--pid=container:db", "--ipc=container:db"]},
        [f"namespace:{name}=container:db" for name in ("ipc", "network", "pid")],
    ),
    "volumes-from": ({"runArgs": ["--volumes-from", "db:ro"]}, ["volumes-from:db:ro"]),
    "localEnv": ({"containerEnv": {"A": "${localEnv:TOKEN}"}}, ["local-env:TOKEN"]),
    "localEnv in a command": ({"postCreateCommand": ["a", "${env:TOKEN}"]}, ["local-env:TOKEN"]),
    "bare -e": ({"runArgs": ["-e", "TOKEN", "-e", "HOME"]}, ["local-env:TOKEN"]),
    "build network": (
        {"build": {"dockerfile": "Dockerfile", "options": ["--network=host"]}},
        ["namespace:build-network=host"],
    ),
    "volume driver": (
        {"mounts": ["target=/c,volume-opt=type=nfs,volume-opt=device=:/x"]},
        ["volume-device::/x"],
    ),
}


@pytest.fixture(autouse=True)
def dockerfile(root: Path) -> None:
    (root / ".devcontainer").mkdir()
    (root / ".devcontainer" / "Dockerfile").write_text("FROM a")


@pytest.mark.parametrize("fields", HARMLESS, ids=str)
def test_needs_no_consent(fields: dict[str, Any], load_text: Load) -> None:
    assert keys(load_text(json.dumps({"image": "a", **fields}), SHOWN)) == []


@pytest.mark.parametrize("name", EFFECTS)
def test_needs_consent(name: str, load_text: Load) -> None:
    fields, expected = EFFECTS[name]
    config = load_text(json.dumps({"image": "a", **fields}), SHOWN)
    assert keys(config) == expected
    assert all(effect.text for effect in config.effects)
    assert not any("secret-value" in str(effect) for effect in config.effects)


@pytest.mark.parametrize(
    "fields",
    [
        {"mounts": ["type=bind,source={0},target=/c"]},
        {"mounts": [{"type": "bind", "source": "{0}", "target": "/c"}]},
        {"mounts": ["type=bind,source={0}/sub/..,target=/c,readonly"]},
        {"runArgs": ["-v", "{0}:/c"]},
        {"runArgs": ["--volume={0}/.:/c:ro"]},
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


def test_a_folder_of_the_repository_is_the_hosts_too(root: Path, load_text: Load) -> None:
    text = '{"image":"a","mounts":["type=bind,source=${localWorkspaceFolder}/x,target=/c"]}'
    assert keys(load_text(text)) == [f"bind:{root}/x"]


def test_the_engines_socket_is_named_for_what_it_is(tmp_path: Path, load_text: Load) -> None:
    socket = tmp_path / "docker.sock"
    link = tmp_path / "innocent"
    link.symlink_to(socket)
    (effect,) = load_text(with_args("-v", f"{link}:/x")).effects
    assert effect.key == f"engine-socket:{socket.resolve()}"
    assert "full control of the host" in effect.text


def test_host_files_by_their_real_path(root: Path, load_text: Load) -> None:
    (root / "env").write_text("A=1\n")
    assert keys(load_text(with_args("--env-file=env"))) == [f"env-file:{root}/env"]


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
