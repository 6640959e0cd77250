"""Dev container features: installed as layers, in order, and what they add to a pod."""

from __future__ import annotations

import json

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

pytestmark = [pytest.mark.slow]
SAY = 'echo "$FEATURE_NAME $GREETING $_REMOTE_USER:$_REMOTE_USER_HOME $PWD" >>/etc/features\n'


def feature(name: str, install: str = "", **more: object) -> dict[str, str]:
    """Its files below .devcontainer."""
    about = {"id": name, "version": "1.0.0", **more}
    script = f"#!/bin/sh\nset -e\nFEATURE_NAME={name}\n{SAY}{install}"
    return {
        f".devcontainer/{name}/devcontainer-feature.json": json.dumps(about),
        f".devcontainer/{name}/install.sh": script,
    }


def configured(project: Project, features: dict[str, object], **more: object) -> None:
    config = {"image": MINI_IMAGE, "features": features, "runArgs": ["--network=none"], **more}
    project.commit("features", {".devcontainer/devcontainer.json": json.dumps(config)})


def test_features_of_the_repository(rumpel_project: ProjectFactory) -> None:
    """Order, options, variables, hooks and entrypoint; the second time all is there."""
    project = rumpel_project()
    files = {
        **feature(
            "second",
            'echo "$FUNNY" >/etc/funny\n',
            installsAfter=["./first"],
            options={"greeting": {"type": "string", "default": "moin"}},
            containerEnv={"PATH": "/opt/second:${PATH}", "SECOND": 'a "b" c'},
            onCreateCommand="echo second-on-create >>/tmp/hooks",
        ),
        **feature(
            "first",
            dependsOn={"./third": {}},
            options={"greeting": {"type": "string", "default": "hello"}},
            onCreateCommand={"a": "echo first-on-create >>/tmp/hooks"},
            entrypoint="sh -c 'echo from first >>/tmp/entry'",
        ),
        **feature("third", options={"greeting": {"type": "boolean", "default": True}}),
    }
    project.write(files)
    nasty = 'it\'s $(touch /etc/evil) `x` "quoted"'
    configured(
        project,
        {"./second": {"funny": nasty}, "./first": {"greeting": "servus"}},
        onCreateCommand="echo own-on-create >>/tmp/hooks",
    )
    made = project.run("create", "a")
    made.assert_ok()
    said = project.inside("a", "cat /etc/features").splitlines()
    assert [line.split()[:3] for line in said] == [
        ["third", "true", "root:/root"],
        ["first", "servus", "root:/root"],
        ["second", "moin", "root:/root"],
    ]
    assert project.inside("a", "cat /etc/funny") == nasty
    assert project.inside("a", "test ! -e /etc/evil && echo no") == "no"
    assert project.inside("a", "echo $SECOND") == 'a "b" c'
    assert project.inside("a", "echo $PATH").startswith("/opt/second:/")
    hooks = project.inside("a", "cat /tmp/hooks").splitlines()
    assert hooks == ["first-on-create", "second-on-create", "own-on-create"]
    assert project.inside("a", "cat /tmp/entry") == "from first"
    graph = project.run("graph", "a").assert_ok().stdout
    assert "feature/third" in graph
    assert "onCreateCommand.second" in graph
    again = project.run("create", "b").assert_ok()
    assert "Installing" not in again.stderr, "its layers are there"
