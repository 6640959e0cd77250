"""Dev container features: installed as layers, in order, and what they add to a pod."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

from tests.support import registry as registries
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

ROOT = Path(__file__).parents[2]
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
    assert "Step " not in made.stderr
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


def test_recreate_does_what_a_feature_asks_for(rumpel_project: ProjectFactory) -> None:
    """Another option is another layer, and those on it; work comes along."""
    project = rumpel_project()
    project.write({**feature("low"), **feature("high", options={"greeting": {"default": "hi"}})})
    configured(project, {"./low": {}, "./high": {}}, overrideFeatureInstallOrder=["./low"])
    project.run("create", "a").assert_ok()
    project.inside("a", "echo mine >kept")
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "nothing"
    features: dict[str, object] = {"./low": {}, "./high": {"greeting": "servus"}}
    configured(project, features, overrideFeatureInstallOrder=["./low"])
    plan = project.run("recreate", "a", "--plan", "--json").assert_ok().data
    assert plan["action"] == "new image"
    assert [one["node"].rpartition("/")[2] for one in plan["reasons"]] == ["high"], plan
    done = project.run("recreate", "a").assert_ok()
    assert "Installing feature high" in done.stderr
    assert "Installing feature low" not in done.stderr
    assert "high servus" in project.inside("a", "cat /etc/features")
    assert project.inside("a", "cat kept") == "mine"
    configured(project, {})
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "test ! -e /etc/features && cat kept") == "mine"


def test_an_option_of_your_environment(rumpel_project: ProjectFactory) -> None:
    """After consent it is in the image, as the feature wants it; nowhere else."""
    project = rumpel_project()
    project.write(feature("x", 'printf %s "$TOKEN" | sha256sum >/etc/token\n'))
    configured(project, {"./x": {"token": "${localEnv:MY_TOKEN}"}})
    env = {"MY_TOKEN": "very-secret-value"}
    refused = project.run("create", "a", env=env)
    assert refused.code != 0
    assert "MY_TOKEN" in refused.stderr
    assert "very-secret" not in refused.stderr
    project.run("create", "a", "--trust", env=env).assert_ok()
    digest = hashlib.sha256(b"very-secret-value").hexdigest()
    assert project.inside("a", "cat /etc/token").split()[0] == digest
    project.run("stop", "a").assert_ok()
    assert "stopped" in project.run("list").stdout
    project.run("enter", "a", "--", "true").assert_ok()
    assert project.run("create", "a", env={"MY_TOKEN": "another-secret"}).code == 4
    for path in (*project.home.state.rglob("*"), *(project.home.path / "cache").rglob("*")):
        if path.is_file():
            assert b"very-secret" not in path.read_bytes(), path


def test_the_example_of_the_readme(rumpel_project: ProjectFactory) -> None:
    section = (ROOT / "README.md").read_text().partition("### Features")[2]
    example = json.loads(section.partition("```json")[2].partition("```")[0])
    project = rumpel_project()
    project.write(feature("greeter", options={"greeting": {"default": "hello"}}))
    configured(project, example["features"])
    project.run("create", "a").assert_ok()
    assert "greeter moin" in project.inside("a", "cat /etc/features")
    old = next((project.home.path / "cache/rumpel/features").glob("*.tar"))
    os.utime(old, (1, 1))
    assert "feature" not in project.run("gc", "-n").assert_ok().stdout, "a pod has it"
    project.run("delete", "a", "--force").assert_ok()
    project.run("gc").assert_ok()
    assert not old.exists()


def test_a_feature_that_is_wrong(rumpel_project: ProjectFactory) -> None:
    """Told with its place, before anything is made; what fails to install says its last words."""
    project = rumpel_project()
    cases: list[tuple[dict[str, str], dict[str, object], str]] = [
        ({}, {"./gone": {}}, "there is no folder gone"),
        ({}, {"./../..": {}}, "must lie in .devcontainer"),
        (
            {".devcontainer/x/devcontainer-feature.json": '{"id": "x"}'},
            {"./x": {}},
            "has no install.sh",
        ),
        (
            feature("y", mounts=["source=${localEnv:HOME},target=/h"]),
            {"./y": {}},
            "reads",
        ),
        ({}, {"nope": {}}, "names no feature"),
    ]
    for files, features, said in cases:
        project.write(files)
        configured(project, features)
        done = project.run("create", "a")
        assert done.code == 2, done.stderr
        assert said in done.stderr
        assert ".devcontainer/devcontainer.json:1:" in done.stderr
    project.write(feature("bad", "echo no luck today >&2; exit 3\n"))
    configured(project, {"./bad": {}})
    failed = project.run("create", "a")
    assert failed.code != 0
    assert "feature ./bad could not be installed: its script ended with 3" in failed.stderr
    assert "no luck today" in failed.stderr
    assert "Step " not in failed.stderr, "how it is done is ours"
    assert "rumpel logs a feature/bad" in failed.stderr
    assert "no luck today" in project.run("logs", "a", "feature/bad").assert_ok().stdout
    (row,) = project.run("list", "--json").assert_ok().data
    assert row["status"] == "failed at feature/bad"


def test_what_a_feature_does_to_the_host_needs_consent(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.write(
        feature(
            "strong",
            privileged=False,
            capAdd=["SYS_PTRACE"],
            mounts=[
                {"source": "data-${devcontainerId}", "target": "/data", "type": "volume"},
                "type=bind,source=/etc/hostname,target=/name",
            ],
        )
    )
    configured(project, {"./strong": {}})
    refused = project.run("create", "a")
    assert refused.code != 0
    assert "SYS_PTRACE" in refused.stderr
    assert "/etc/hostname" in refused.stderr
    project.run("create", "a", "--trust").assert_ok()
    (container,) = project.containers()
    host = project.docker.inspect(container["Id"])["HostConfig"]
    assert [cap.removeprefix("CAP_") for cap in host["CapAdd"]] == ["SYS_PTRACE"]
    assert not host["Privileged"]
    (volume,) = [mount["Source"] for mount in host["Mounts"] if mount["Target"] == "/data"]
    assert project.inside("a", "test -s /name && echo there") == "there"
    project.run("delete", "a").assert_ok()
    if volume in {one["Name"] for one in project.docker.api.volumes()["Volumes"] or ()}:
        project.docker.api.remove_volume(volume)  # a named one is the user's, so it stays


@pytest.mark.skipif(not registries.is_there(), reason="no docker-registry")
def test_features_of_a_registry(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    """With a login; a tag means the same until newer ones are asked for; a lock file decides."""
    project = rumpel_project()

    def files(number: int) -> dict[str, str]:
        about = {"id": "tool", "version": f"1.0.{number}", "options": {"version": {"default": "x"}}}
        script = f'#!/bin/sh\necho "{number} $VERSION" >/etc/tool\n'
        return {"devcontainer-feature.json": json.dumps(about), "install.sh": script}

    with registries.registry(tmp_path, ("me", "secret")) as registry:
        first = registry.publish("ns/tool", files(1), "1", "1.0.1")
        name = f"{registry.host}/ns/tool"
        configured(project, {f"{name}:1": "9"})
        refused = project.run("create", "a")
        assert refused.code != 0
        assert f"docker login {registry.host}" in refused.stderr
        login(project.home.path / "home/.docker", registry.host, "me", "secret")
        project.run("create", "a").assert_ok()
        assert project.inside("a", "cat /etc/tool") == "1 9"

        registry.publish("ns/tool", files(2), "1", "1.0.2")
        project.run("create", "b").assert_ok()
        assert project.inside("b", "cat /etc/tool") == "1 9", "nobody asked for a newer one"
        row = json.loads(project.run("image", "fetch", "--pull", "--json").stdout)
        assert "there is nothing" not in str(row)
        project.run("create", "c").assert_ok()
        assert project.inside("c", "cat /etc/tool") == "2 9"

        lock = {"features": {f"{name}:1": {"version": "1.0.1", "resolved": f"{name}@{first}"}}}
        project.commit("lock", {".devcontainer/devcontainer-lock.json": json.dumps(lock)})
        project.run("create", "d").assert_ok()
        assert project.inside("d", "cat /etc/tool") == "1 9"

        (project.root / ".devcontainer/devcontainer-lock.json").unlink()
        configured(project, {f"{name}:7": {}})
        missing = project.run("create", "e")
        assert missing.code != 0
        assert f"there is no feature {name}:7" in missing.stderr


def login(folder: Path, host: str, user: str, password: str) -> None:
    """As `docker login` writes it without a helper."""
    word = base64.b64encode(f"{user}:{password}".encode()).decode()
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": word}}}))
