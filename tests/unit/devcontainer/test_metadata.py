"""The label devcontainer.metadata below a configuration: the merge of the specification."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.devcontainer import config, metadata
from rumpel.devcontainer.config import DevConfig
from rumpel.devcontainer.document import Caller

CALLER = Caller(
    root="/repo", local_env={"SET": "s3cr3t", "LANG": "C"}, pod="p", pod_id="i" * 32,
    repo_basename="repo",
)  # fmt: skip


def whole(file: dict[str, Any], *entries: Any, label: str | None = None) -> DevConfig:
    """The configuration `file` on an image whose label has `entries`."""
    read = config.parse(json.dumps({"image": "i", **file}), "d.json", CALLER)
    assert read.again is not None
    return read.again(json.dumps(entries) if label is None else label)


def test_of_most_the_last_one_counts_and_the_file_is_last() -> None:
    entries = [
        {"remoteUser": "a", "userEnvProbe": "none", "overrideCommand": False, "waitFor": "x"},
        {"remoteUser": "b", "containerUser": "c"},
    ]
    found = whole({}, *entries)
    assert (found.remote_user, found.container_user) == ("b", "c")
    assert (found.user_env_probe, found.override_command) == ("none", False)
    found = whole(
        {"remoteUser": "f", "userEnvProbe": "loginShell", "overrideCommand": True}, *entries
    )
    assert (found.remote_user, found.container_user) == ("f", "c")
    assert (found.user_env_probe, found.override_command) == ("loginShell", True)
    assert whole({"remoteUser": ""}, *entries).remote_user == "b", "no user is nobody's"


def test_variables_are_merged_by_name() -> None:
    entries = [
        {"containerEnv": {"A": "1", "B": "1"}, "remoteEnv": {"C": "1", "D": "1"}},
        {"containerEnv": {"B": "2"}, "remoteEnv": {"D": None}},
    ]
    found = whole({"containerEnv": {"N": 5}, "remoteEnv": {"C": "f"}}, *entries)
    assert found.container_env == {"A": "1", "B": "2", "N": "5"}
    assert found.remote_env == {"C": "f", "D": None}


def test_rights_are_joined_and_asked_for() -> None:
    entries = [
        {"privileged": True, "capAdd": ["SYS_PTRACE"]},
        {"privileged": False, "init": False, "securityOpt": ["seccomp=unconfined"]},
    ]
    host = whole({"capAdd": ["NET_ADMIN"], "init": True}, *entries)
    assert host.run_args.host_config["Privileged"]
    assert sorted(host.run_args.host_config["CapAdd"]) == ["CAP_NET_ADMIN", "CAP_SYS_PTRACE"]
    assert host.init
    kinds = sorted(effect.kind for effect in host.effects)
    assert kinds == ["cap-add", "cap-add", "privileged", "security-opt"]


def test_a_later_mount_of_the_same_target_counts() -> None:
    entries = [
        {"mounts": ["type=volume,source=image,target=/a", "type=volume,source=image,target=/b"]},
        {"mounts": [{"type": "volume", "source": "later", "target": "/b"}]},
    ]
    found = whole({"mounts": ["type=volume,source=file,target=/a"]}, *entries)
    assert [(mount["Source"], mount["Target"]) for mount in found.mounts] == [
        ("later", "/b"),
        ("file", "/a"),
    ]
    bound = whole({}, {"mounts": ["type=bind,source=/etc,target=/b"]})
    assert [effect.kind for effect in bound.effects] == ["bind"]


def test_commands_come_before_those_of_the_file_and_have_names() -> None:
    entries = [
        {"id": "r.example/x/go:1.2", "onCreateCommand": "one"},
        {"id": "r.example/y/go:1", "onCreateCommand": ["two", "2"], "postStartCommand": "three"},
        {"onCreateCommand": {"a": "four", "b": "five"}},
        {"postCreateCommand": ""},
    ]
    hooks = whole({"onCreateCommand": "six"}, *entries).features.hooks
    assert [(name, by, [step.text for step in steps]) for name, by, steps in hooks] == [
        ("onCreateCommand", "image-go", ["one"]),
        ("onCreateCommand", "image-go-2", ["two 2"]),
        ("postStartCommand", "image-go-2", ["three"]),
        ("onCreateCommand", "image", ["four", "five"]),
    ]


def test_the_greatest_wish_counts_and_ports_are_joined() -> None:
    entries: list[dict[str, Any]] = [
        {"hostRequirements": {"cpus": 8, "memory": "1gb", "gpu": "optional"}, "forwardPorts": [1]},
        {"hostRequirements": {"memory": "2048mb", "gpu": {"cores": 2}}, "forwardPorts": [2, 1]},
    ]
    found = whole(
        {"hostRequirements": {"cpus": 4, "gpu": False}, "forwardPorts": ["db:3"]}, *entries
    )
    assert (found.requires.cpus, found.requires.memory_bytes) == (8, 2 << 30)
    assert found.requires.gpu == "needed"
    assert [port.key for port in found.ports] == ["1", "2", "db:3"]


def test_a_variable_of_the_caller_is_asked_for() -> None:
    entry = {"remoteEnv": {"A": "${localEnv:SET}", "B": "${localEnv:LANG}", "C": "${env:UNSET:d}"}}
    found = whole({}, entry)
    assert found.remote_env == {"A": "s3cr3t", "B": "C", "C": "d"}
    assert [(effect.kind, effect.value) for effect in found.effects] == [("local-env", "SET")]
    assert found.private_env == ("A",)
    assert "s3cr3t" not in json.dumps(config.describe(found), default=str)


@pytest.mark.parametrize("name", sorted(metadata.TAKEN))
def test_no_field_hands_over_a_variable_unasked(name: str) -> None:
    """In each of its shapes it is asked for, or it stays as it is written."""
    word = "${localEnv:SET}"
    for value in (word, [word], {"a": word}, [{"type": "volume", "source": word, "target": "/x"}]):
        found = whole({}, {name: value, "entrypoint": word, "id": f"x/{word}"})
        shown = repr(replace(found, private_values=(), again=None))
        if "s3cr3t" in shown:
            assert ("local-env", "SET") in [(one.kind, one.value) for one in found.effects]


def test_what_no_pod_can_be_made_with_is_left_out() -> None:
    wrong: list[dict[str, Any]] = [
        {"mounts": ["type=bind,source=/etc,target=/workspaces/repo"]},
        {"mounts": ["type=tmpfs,target=/workspaces/repo"]},
        {"mounts": ["type=volume,source=rumpel-agents-0123456789ab,target=/x"]},
        {"mounts": ["type=volume,source=${nope},target=/x"]},
        {"capAdd": ["NOT A CAPABILITY"]},
        {"securityOpt": ["seccomp=/etc/passwd"]},
    ]
    for entry in wrong:
        found = whole({}, {**entry, "remoteUser": "u"})
        assert found.remote_user == "u"
        assert "left out" in "".join(found.warnings), entry
        assert (found.mounts, found.effects) == ((), ())


def test_the_file_has_the_last_word_of_a_port() -> None:
    file = {"forwardPorts": [3000], "portsAttributes": {"3000": {"label": "file"}}}
    entries = [
        {"portsAttributes": {"2999-3001": {"label": "image"}}},
        {"portsAttributes": {"3000": {"label": "later"}}},
    ]
    assert whole(file, *entries).ports[0].label == "file"
    assert whole({"forwardPorts": [3000]}, *entries).ports[0].label == "later"


def test_what_is_no_business_of_an_image_has_no_effect() -> None:
    entry = {
        "image": "other", "build": {"dockerfile": "/etc/passwd"}, "runArgs": ["--privileged"],
        "initializeCommand": "rm -rf /", "features": {"./x": {}}, "workspaceFolder": "/etc",
        "dockerComposeFile": "x", "workspaceMount": "type=bind,source=/,target=/x", "name": "evil",
    }  # fmt: skip
    found, plain = whole({}, entry), whole({})
    assert config.describe(found) == config.describe(plain)


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("", ""),
        ("[]", ""),
        ("{}", ""),
        ("null", "cannot be read"),
        ('"x"', "cannot be read"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        (json.dumps([{}] * 501), "cannot be read"),
        (json.dumps([{"name": "x" * (1 << 20)}]), "cannot be read"),
        ("[null]", "entry 1: an object is expected"),
        ('[{}, {"init": "yes"}]', "entry 2: init: true or false is expected"),
        ('[{"containerEnv": {"A=B": "x"}}]', "not the name of a variable"),
        ('[{"mounts": [{"type": "bind", "target": "/x"}]}]', "mounts[0]: a bind mount needs"),
        ('[{"forwardPorts": ["x:y"]}]', "forwardPorts[0]"),
        ('[{"postStartCommand": {"a": 1}}]', "postStartCommand.a"),
        ('[{"remoteEnv": {"A": "${localEnv}"}}]', "needs the name of a variable"),
    ],
)
def test_a_wrong_label_is_told(label: str, told: str) -> None:
    found = whole({}, label=label)
    assert told in "".join(found.warnings)
    assert bool(told) == bool(found.warnings)
    assert not found.effects


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    "mounts", "init", "privileged", "capAdd", "securityOpt", "remoteUser", "containerEnv",
    "remoteEnv", "forwardPorts", "portsAttributes", "hostRequirements", "onCreateCommand", "id",
    "entrypoint", "otherPortsAttributes", "userEnvProbe", "waitFor",
]  # fmt: skip


@given(st.lists(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON), max_size=3))
def test_no_label_is_an_error(entries: list[Any]) -> None:
    whole({}, *entries)


def test_without_a_file(tmp_path: Path) -> None:
    found = config.load(
        str(tmp_path), local_env={}, pod="p", pod_id="i", repo_basename="r", default_image="d:1"
    )
    assert found.again is not None
    told = found.again('[{"remoteUser": "u"}]')
    assert (told.image, told.remote_user, told.source) == ("d:1", "u", None)
    assert told.workspace_folder == found.workspace_folder
    assert told.warnings == found.warnings
