"""Tests of config in devcontainer.json."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumpel.devcontainer import fields, lifecycle
from rumpel.devcontainer.config import describe, load, parse
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.lifecycle import Step
from rumpel.errors import ConfigError
from tests.unit.devcontainer.conftest import POD_ID, Load

HEAD = ".devcontainer/devcontainer.json"


def test_resolves_what_a_pod_needs(load_text: Load) -> None:
    config = load_text(
        """{
        "name": "demo", "image": "debian:${localEnv:TAG:bookworm}",
        "workspaceFolder": "/ws/${localWorkspaceFolderBasename}",
        "containerUser": "root", "remoteUser": "dev",
        "containerEnv": {"A": "${localEnv:A}", "N": 1, "T": true},
        "remoteEnv": {"PATH": "${containerEnv:PATH}:/x", "GONE": null},
        "mounts": ["source=cache,target=/cache,type=volume"],
        "runArgs": ["--memory=1g", "-e", "B=2"],
        "overrideCommand": false, "waitFor": "postCreateCommand", "userEnvProbe": "none",
        "onCreateCommand": "make ${containerWorkspaceFolder}",
        "postCreateCommand": ["a", "b c"],
        "postStartCommand": {"x": "one", "y": ["two", "2"], "z": ""}
        }""",
        {"A": "value"},
    )
    assert config.source == HEAD
    assert config.warnings == ()
    assert (config.image, config.build) == ("debian:bookworm", None)
    assert config.workspace_folder == "/ws/demo"
    assert (config.container_user, config.remote_user) == ("root", "dev")
    assert config.container_env == {"A": "value", "N": "1", "T": "true", "B": "2"}
    assert config.remote_env == {"PATH": "${containerEnv:PATH}:/x", "GONE": None}
    assert config.mounts == ({"Type": "volume", "Source": "cache", "Target": "/cache"},)
    assert config.run_args.host_config == {"Memory": 1 << 30}
    assert config.override_command is False
    assert (config.wait_for, config.user_env_probe) == ("postCreateCommand", "none")
    assert list(config.hooks.values()) == [
        (Step("", ("/bin/sh", "-c", "make /ws/demo")),),
        (),
        (Step("", ("a", "b c")),),
        (Step("x", ("/bin/sh", "-c", "one")), Step("y", ("two", "2"))),
        (),
    ]
    assert config.local_env_used == ("A",)
    assert [effect.key for effect in config.effects] == ["local-env:A"]


def test_without_a_file_the_default_image_is_used(root: Path, load_text: Load) -> None:
    load_text("{}")
    (root / HEAD).unlink()
    config = load(
        str(root), local_env={}, pod="a", pod_id="", repo_basename="r", default_image="base:1"
    )
    assert (config.source, config.image) == (None, "base:1")
    assert config.workspace_folder == "/workspaces/r"
    assert config.warnings == ("no devcontainer.json: the image base:1 is used",)


def test_syntax_errors_name_file_line_and_column(load_text: Load) -> None:
    with pytest.raises(ConfigError, match=rf"^{HEAD}:3:1: ',' or '}}' is expected"):
        load_text('{\n"image": "a"\n"name": "b"}')


WRONG = {
    '{"image": 1}': "1:11: image: a string is expected, not a number",
    '{"build": []}': "1:11: build: an object is expected, not a list",
    '{"build": {"args": {"A": []}}}': "1:26: build.args.A: a string is expected, not a list",
    '{"image": "a", "init": "yes"}': "1:24: init: true or false is expected, not 'yes'",
    '{"image": "a", "runArgs": "--init"}': "1:27: runArgs: a list is expected, not '--init'",
    '{"image": "a", "runArgs": [null]}': "1:28: runArgs[0]: a string is expected, not null",
    '{"image": "a", "mounts": [1]}': "1:27: mounts[0]: a string or an object is expected",
    '{"image": "a", "mounts": [\n"target=/b,x=1"]}': "2:1: mounts[0]: docker knows no mount",
    '{"image": "a", "containerEnv": {"A": null}}': "1:38: containerEnv.A: a string is expected",
    '{"image": "a", "containerEnv": {"A=B": "c"}}': "1:33: containerEnv.A=B: not the name of",
    '{"image": "a", "remoteEnv": {"": "c"}}': "1:30: remoteEnv.: not the name of",
    '{"image": "a", "userEnvProbe": true}': "1:32: userEnvProbe: input should be 'none'",
    '{"image": "a", "postCreateCommand": 1}': "1:37: postCreateCommand: a command is a string, a",
    '{"image": "a", "postCreateCommand": {"a": {}}}': "1:43: postCreateCommand.a: a command is a",
    '{"image": "a", "postCreateCommand": ["a", 1]}': "1:37: postCreateCommand: a command is",
    '{"image": "a", "workspaceFolder": "x"}': "1:35: workspaceFolder: 'x' is not an absolute",
    '{"image": "a", "workspaceFolder": "/rumpel"}': "1:35: workspaceFolder: /rumpel is rumpel's",
    '{"image": "${localEnv}"}': "1:11: image: ${localEnv} needs the name of a variable",
    '{"image": "a", "runArgs": ["--init",\n "--name", "x"]}': "2:2: runArgs[1]: --name cannot be",
    '{"image": "a", "capAdd": ["a b"]}': "1:27: capAdd[0]: 'a b' is not a capability",
    '{"image": "a", "securityOpt": ["x"]}': "1:32: securityOpt[0]: 'x' is not a security option",
    '{"dockerComposeFile": 1}': "1:23: dockerComposeFile: a list is expected, not a number",
    '{"build": {"target": "x"}}': "1:11: build: the build needs a dockerfile",
    '{"build": {"dockerfile": "no"}}': "1:26: build.dockerfile: there is no file .devcontainer/no",
    '{"dockerFile": "no"}': "1:16: dockerFile: there is no file .devcontainer/no",
    '{"build": {"dockerfile": "../../x"}}': "1:26: build.dockerfile: ",
    '{"build": {"dockerfile": "Dockerfile", "context": "../.."}}': "1:51: build.context: ",
    '{"build": {"dockerfile": "Dockerfile", "context": "no"}}': "1:51: build.context: there is no",
    '{"build": {"dockerfile": "Dockerfile", "options": ["--ssh=default"]}}': (
        "1:52: build.options[0]: --ssh cannot be passed on"
    ),
    '{"image": "a", "mounts": ["target=/rumpel/x"]}': "1:27: mounts[0]: /rumpel is rumpel's own",
    '{"image": "a", "runArgs": ["-v", "rumpel-a-0123456789ab-x:/x"]}': (
        "1:28: runArgs[0]: the volume rumpel-a-0123456789ab-x is one of rumpel's own"
    ),
    '{"image": "a", "mounts": ["target=/x,source=${nope}"]}': "1:27: mounts[0]: ${nope} in a mount",
    '{"image": "a", "runArgs": ["-v", "/etc:/workspaces"]}': (
        "1:28: runArgs[0]: /etc would be mounted over the pod's clone"
    ),
    '{"image": "a", "mounts": ["type=tmpfs,target=/workspaces/demo"]}': (
        "1:27: mounts[0]: a tmpfs on /workspaces/demo would lose the workspace at every stop"
    ),
    "[]": "1:1: a JSON object is expected",
    '"a"': "1:1: a JSON object is expected",
}


@pytest.mark.parametrize("text", WRONG)
def test_errors_stand_where_the_value_stands(text: str, root: Path, load_text: Load) -> None:
    (root / ".devcontainer").mkdir()
    (root / ".devcontainer/Dockerfile").write_text("FROM a")
    with pytest.raises(ConfigError) as caught:
        load_text(text)
    assert caught.value.message.startswith(f"{HEAD}:{WRONG[text]}")
    assert caught.value.details["line"] == int(WRONG[text].split(":")[0])


WARNED = {
    '{"image": "a",\n "shutdownAction": "stopContainer"}': ":2:2: shutdownAction has no effect",
    '{"image": "a", "appPort": ["1/udp"]}': ":1:28: appPort[0] has no effect: only TCP",
    '{"image": "a", "runArg": []}': ":1:16: runArg is not a field of the specification and has no "
    "effect (did you mean runArgs?)",
    '{"image": "a", "zzz": 1}': ":1:16: zzz is not a field of the specification and has no effect",
    '{"image": "a", "mounts": [{"target": "/x", "external": true}]}': (
        ":1:44: mounts[0].external is not a field"
    ),
    '{"image": "a", "workspaceMount": "x"}': ":1:16: workspaceMount has no effect: a pod has its",
    '{"image": "a", "name": "${nope}", "remoteUser": "${nope}"}': ":1:49: ${nope} is not known",
    '{"image": "${localEnv:X:a:b}"}': ":1:11: the default of ${localEnv:X:...} ends at its first",
    '{"name": "x"}': ":1:1: neither image nor build: the image debian:bookworm is used",
    '{"image": "a", "image": "b"}': ":1:16: 'image' is repeated, the one on line 1 does not count",
    '{"image": "a", "mounts": ["type=bind,source=${localWorkspaceFolder},target=/workspaces/demo"]}'
    "": ":1:27: mounts[0] on /workspaces/demo has no effect: a pod has its own clone",
    '{"image": "a", "runArgs": ["-v", ".:/workspaces/demo"]}': ":1:28: runArgs[0] on /workspaces/",
    '{"image": "a", "mounts": ["source=w,target=/workspaces"]}': (
        ":1:27: mounts[0] on /workspaces is one of the pod's own, since pods do not share"
    ),
    '{"image": "a", "dockerFile": "Dockerfile"}': ":1:2: image has no effect beside a Dockerfile",
}


@pytest.mark.parametrize("text", WARNED)
def test_what_has_no_effect_is_named_with_its_place(text: str, root: Path, load_text: Load) -> None:
    (root / ".devcontainer").mkdir()
    (root / ".devcontainer/Dockerfile").write_text("FROM a")
    (warning,) = load_text(text).warnings
    assert warning.startswith(HEAD + WARNED[text])


@pytest.mark.parametrize(
    "text",
    [
        '{"image": "a", "$schema": "x", "customizations": {"x": {}}, "settings": {}}',
        '{"image": "a", "shutdownAction": "none", "workspaceMount": "", "privileged": false}',
        '{"image": "a", "updateRemoteUserUID": false, "name": "${nope}"}',
        '{"image": "a", "postStartCommand": "echo ${HOME:-x}", "remoteEnv": {"A": "${x}"}}',
        '{"image": "a", "mounts": ["source=w-${devcontainerId},target=/workspaces/demo"]}',
        '{"image": "a", "mounts": ["source=w,target=/workspaces/demo/node_modules"]}',
    ],
)
def test_no_warning_for_what_is_as_wanted(text: str, load_text: Load) -> None:
    assert load_text(text).warnings == ()


def test_build(root: Path, load_text: Load) -> None:
    (root / "docker").mkdir()
    (root / "docker/Dockerfile").write_text("FROM a")
    config = load_text(
        """{"image": "", "build": {
        "dockerfile": "../docker/Dockerfile", "args": {"A": "${localEnv:A}", "N": 1},
        "target": "t", "cacheFrom": "x", "options": ["--network=none", "--build-arg=B=2"]
        }}""",
        {"A": "1"},
    )
    assert config.image is None
    assert config.build is not None
    assert config.build.dockerfile == str(root / "docker/Dockerfile")
    assert config.build.context == str(root / "docker")
    assert config.build.args == {"A": "1", "N": "1"}
    assert (config.build.target, config.build.cache_from) == ("t", ("x",))
    assert config.build.options == ("--network=none", "--build-arg=B=2")
    assert config.build.api == {"networkmode": "none", "buildargs": {"B": "2"}}


def test_legacy_build_names(root: Path, load_text: Load) -> None:
    (root / ".devcontainer").mkdir()
    (root / ".devcontainer/Dockerfile").write_text("FROM a")
    config = load_text('{"dockerFile": "Dockerfile", "context": ".."}')
    assert config.build is not None
    assert config.build.context == str(root)


def test_a_dockerfile_behind_a_link_out_of_the_repository_is_refused(
    root: Path, load_text: Load
) -> None:
    (root.parent / "Dockerfile").write_text("FROM a")
    (root / ".devcontainer").mkdir()
    (root / ".devcontainer/Dockerfile").symlink_to(root.parent / "Dockerfile")
    with pytest.raises(ConfigError, match="outside the repository"):
        load_text('{"build": {"dockerfile": "Dockerfile"}}')


def test_environment_strength(root: Path, load_text: Load) -> None:
    (root / "env").write_text("A=file\nB=file\nC=file\n")
    config = load_text(
        """{"image": "a", "containerEnv": {"B": "field", "C": "field"},
        "runArgs": ["-e", "C=option", "--env-file", "env"]}"""
    )
    assert config.container_env == {"A": "file", "B": "field", "C": "option"}
    assert config.run_args.env == {}


def test_fields_and_their_options_are_joined(load_text: Load) -> None:
    config = load_text(
        """{"image": "a", "init": false, "capAdd": ["net_admin"], "containerUser": "a",
        "runArgs": ["--init", "--cap-add=NET_ADMIN", "--user=b", "--privileged"]}"""
    )
    assert config.init is True
    assert config.run_args.host_config == {"CapAdd": ["CAP_NET_ADMIN"], "Privileged": True}
    assert config.container_user == "b"
    assert load_text('{"image": "a"}').init is None


def test_volumes_of_the_pod(load_text: Load) -> None:
    text = """{"image": "a", "mounts": ["target=/a", "source=shared,target=/b"],
        "runArgs": ["-v", "/c", "-v", "named:/d"]}"""
    config = load_text(text)
    assert [mount["Target"] for mount in config.mounts] == ["/a", "/b", "/c"]
    assert config.pod_volumes == (config.mounts[0]["Source"], config.mounts[2]["Source"])
    assert config.run_args.host_config == {"Binds": ["named:/d"]}
    assert load_text(text).mounts == config.mounts
    assert load_text(text, pod_id="f" * 32).pod_volumes != config.pod_volumes
    looked_at = load_text(text, pod="", pod_id="")
    assert looked_at.mounts[0] == {"Type": "volume", "Target": "/a"}


def test_devcontainer_id_is_the_pods(load_text: Load) -> None:
    text = '{"image": "a", "containerEnv": {"ID": "${devcontainerId}"}}'
    one, other = load_text(text), load_text(text, pod_id="f" * 32)
    assert len(str(one.container_env["ID"])) == 52
    assert one.container_env == load_text(text).container_env
    assert one.container_env != other.container_env
    assert load_text(text, pod_id="").container_env == {"ID": "${devcontainerId}"}


def test_private_values_are_known_and_never_described(root: Path, load_text: Load) -> None:
    (root / "env").write_text("FILE=file-secret\n")
    config = load_text(
        """{"image": "a", "containerEnv": {"A": "x${localEnv:TOKEN}", "H": "${localEnv:HOME}"},
        "remoteEnv": {"R": "${localEnv:TOKEN}", "P": "plain"},
        "postCreateCommand": "login ${localEnv:TOKEN}",
        "runArgs": ["--env-file=env", "--label=l=${localEnv:TOKEN}", "-e", "OTHER"]}""",
        {"TOKEN": "token-secret", "HOME": "/home/u", "OTHER": "other-secret"},
    )
    assert config.private_env == ("A", "FILE", "OTHER", "R")
    assert set(config.private_values) == {"token-secret", "file-secret", "other-secret"}
    assert "secret" not in repr(config.raw)
    described = describe(config)
    text = json.dumps(described)
    assert "-secret" not in text
    assert described["remote_env"] == {"R": "***", "P": "plain"}
    assert described["container_env"]["H"] == "/home/u"
    assert described["hooks"]["postCreateCommand"][0]["argv"][2] == "login ***"
    assert "token-secret" in str(config.container_env)


def test_described_fields_say_what_becomes_of_them(load_text: Load) -> None:
    config = load_text('{"image": "a",\n"secrets": {}, "workspaceMount": "x", "nope": 1}')
    assert [(one.field, one.line, one.verdict.value) for one in config.fields] == [
        ("image", 1, "honoured"),
        ("secrets", 2, "honoured"),
        ("workspaceMount", 2, "approximated"),
        ("nope", 2, "ignored"),
    ]


def test_container_env_in_commands_waits_for_the_container(load_text: Load) -> None:
    config = load_text('{"image": "a", "postStartCommand": ["x", "${containerEnv:HOME:/y}"]}')
    command = config.hooks["postStartCommand"]
    assert lifecycle.running(command, {"HOME": "/h"}) == (Step("", ("x", "/h")),)
    assert lifecycle.running(command, {}) == (Step("", ("x", "/y")),)
    assert command[0].text == "x '${containerEnv:HOME:/y}'"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    | st.sampled_from(["/a", "a", "--init", "-v", "/x:/y", "type=bind,source=/a,target=/b", "${a}",
                       "${localEnv:A}", "${localEnv}", "source=a,target=/b", "-e", "--memory=1g"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "source", "target", "dockerfile", "args", "options", "a", "A=b"]),
        inner, max_size=3,
    ),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(fields.NAMES)), JSON))
def test_any_value_is_resolved_or_refused_with_its_place(value: dict[str, Any]) -> None:
    caller = Caller(
        root="/nonexistent", local_env={"A": "x"}, pod="p", pod_id=POD_ID, repo_basename="r"
    )
    try:
        config = parse(json.dumps(value), "d.json", caller)
    except ConfigError as error:
        refused = error.message
    else:
        json.dumps(describe(config))
        return
    assert re.match(r"d\.json:\d+:\d+: ", refused)
