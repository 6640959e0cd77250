from __future__ import annotations

from pathlib import Path

import pytest

from rumpel.devcontainer.lifecycle import Step
from rumpel.errors import ConfigError
from tests.unit.devcontainer.conftest import Load

HEAD = ".devcontainer/devcontainer.json"


def test_resolves_what_a_pod_needs(load_text: Load) -> None:
    config = load_text(
        """{
        "name": "demo", "image": "debian:${localEnv:TAG:bookworm}",
        "workspaceFolder": "/work/${localWorkspaceFolderBasename}",
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
    assert config.workspace_folder == "/work/demo"
    assert (config.container_user, config.remote_user) == ("root", "dev")
    assert config.container_env == {"A": "value", "N": "1", "T": "true", "B": "2"}
    assert config.remote_env == {"PATH": "${containerEnv:PATH}:/x", "GONE": None}
    assert config.mounts == ({"Type": "volume", "Source": "cache", "Target": "/cache"},)
    assert config.run_args.host_config == {"Memory": 1 << 30}
    assert config.override_command is False
    assert (config.wait_for, config.user_env_probe) == ("postCreateCommand", "none")
    assert list(config.hooks.values()) == [
        (Step("", ("/bin/sh", "-c", "make /work/demo")),),
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
    from rumpel.devcontainer.config import load

    config = load(
        str(root), local_env={}, pod="a", pod_id="", repo_basename="r", default_image="base:1"
    )
    assert (config.source, config.image) == (None, "base:1")
    assert config.workspace_folder == "/workspaces/r"
    assert config.warnings == ("no devcontainer.json: the image base:1 is used",)


def test_syntax_errors_name_file_line_and_column(load_text: Load) -> None:
    with pytest.raises(ConfigError, match=rf"^{HEAD}:3:1: ',' or '}}' is expected"):
        load_text('{\n"image": "a"\n"name": "b"}')
