"""`initializeCommand`: on this machine, after consent, before pods are made from what it left."""

from __future__ import annotations

import json
from typing import Any

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

DOCKERFILE = f"FROM {MINI_IMAGE}\nCOPY made /made\n"


def configured(project: Project, command: Any) -> None:
    config = {
        "build": {"dockerfile": "Dockerfile"},
        "runArgs": ["--network=none"],
        "initializeCommand": command,
    }
    project.write(
        {".devcontainer/devcontainer.json": config, ".devcontainer/Dockerfile": DOCKERFILE}
    )


def test_it_runs_here_once_for_a_request(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    text = 'echo "$WHO $PWD" >.devcontainer/made; echo run >>/dev/stderr; echo x >>runs'
    configured(project, text)
    refused = project.run("create", "a", env={"WHO": "me"})
    assert refused.code != 0
    assert f"runs on this machine: {text}" in refused.stderr
    assert not (project.root / "runs").exists()

    done = project.run("create", "a", "b", "--trust", env={"WHO": "me"}).assert_ok()
    assert "Running initializeCommand | run" in done.stderr
    assert project.inside("a", "cat /made") == f"me {project.root}", "before the image is built"
    assert (project.root / "runs").read_text() == "x\n"
    project.run("create", "a", "b").assert_ok()
    project.run("enter", "a", "--", "true").assert_ok()
    project.run("recreate", "a", "--plan").assert_ok()
    assert (project.root / "runs").read_text() == "x\n", "no pod is made"
    project.run("recreate", "a", env={"WHO": "you"}).assert_ok()
    assert project.inside("a", "cat /made") == f"you {project.root}"
    assert (project.root / "runs").read_text() == "x\nx\n"
    project.run("fork", "a", "c").assert_ok()
    project.run("delete", "--force", "c").assert_ok()
    project.run("undelete", "c").assert_ok()
    assert (project.root / "runs").read_text() == "x\n" * 4


def test_what_it_makes_may_be_all_of_it(rumpel_project: ProjectFactory) -> None:
    """Dockerfile, env file and feature are there only once it has run; its secrets are not kept."""
    project = rumpel_project()
    script = [
        "mkdir -p .devcontainer/made",
        f"printf 'FROM {MINI_IMAGE}' >.devcontainer/Dockerfile",
        'echo "WHO=$0" >.devcontainer/env',
        """echo '{"id": "made"}' >.devcontainer/made/devcontainer-feature.json""",
        "printf '#!/bin/sh\\necho yes >/made' >.devcontainer/made/install.sh",
    ]
    config = {
        "build": {"dockerfile": "Dockerfile"},
        "runArgs": ["--network=none", "--env-file", ".devcontainer/env"],
        "features": {"./made": {}},
        "initializeCommand": ["sh", "-c", "; ".join(script), "${localEnv:TOKEN}"],
    }
    project.write({".devcontainer/devcontainer.json": config})
    env = {"TOKEN": "very-secret-value"}
    refused = project.run("create", "a", env=env)
    assert "${localEnv:TOKEN}" in refused.stderr
    assert "very-secret" not in refused.stderr
    project.run("create", "a", "--trust", env=env).assert_ok()
    assert project.inside("a", "cat /made; echo $WHO").split() == ["yes", "very-secret-value"]
    for path in project.home.state.rglob("*"):
        if path.is_file():
            assert b"very-secret" not in path.read_bytes(), path


def test_a_script_that_changed_is_asked_for_again(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, "sh ./.devcontainer/init.sh")
    project.write({".devcontainer/init.sh": "echo one >.devcontainer/made\n"})
    project.run("create", "a", "--trust").assert_ok()
    project.run("create", "b").assert_ok()
    project.write({".devcontainer/init.sh": "echo two >.devcontainer/made\n"})
    refused = project.run("create", "c")
    assert "runs on this machine: sh ./.devcontainer/init.sh" in refused.stderr
    assert "is another one since you agreed" in refused.stderr
    child = project.spawn("create", "c")
    child.expect_exact("[y/N]")
    child.sendline("n")
    child.expect_exact("you did not agree to what touches the host")
    child.wait()
    assert (project.root / ".devcontainer/made").read_text() == "one\n"


def test_what_cannot_be_started(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"a": ["no-such-program"], "b": "sleep 7000"})
    failed = project.run("create", "a", "--trust")
    assert failed.code not in (0, 70)
    assert "no-such-program cannot be started" in failed.stderr


def test_a_batch_runs_it_once(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, "echo made >.devcontainer/made; echo x >>runs")
    project.git("add", "-A")
    project.git("commit", "-qm", "configured")
    tasks = [{"name": name, "command": "cat /made"} for name in ("a", "b", "c")]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    project.run("batch", "run", "--trust", "batch.json").assert_ok()
    assert (project.root / "runs").read_text() == "x\n"


def test_what_fails_stops_all_and_leaves_nothing(rumpel_project: ProjectFactory) -> None:
    """The first of several that fails ends the others, and what they began."""
    project = rumpel_project()
    command = {"bad": "sleep 0.3; echo no luck; exit 3", "slow": ["sh", "-c", "sleep 7000"]}
    configured(project, command)
    failed = project.run("create", "a", "--trust")
    assert failed.code != 0
    assert "initializeCommand 'bad' failed on this machine: it exited with 3" in failed.stderr
    assert "no luck" in failed.stderr
    assert failed.elapsed_s < 30
    assert project.containers() == []
    assert project.run("list", "-q").stdout.strip() == ""
