"""`secrets`: values from a file of the user's, for lifecycle commands and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

pytestmark = [pytest.mark.slow]
CANARY = "canary-9f3a7c1e"
DECLARED = {"TOKEN": {"description": "for the registry"}, "OTHER": {}}


def configured(project: Project, **more: Any) -> None:
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "secrets": DECLARED, **more}
    project.commit("configuration", {".devcontainer/devcontainer.json": json.dumps(config)})


def test_commands_have_them_and_nobody_else(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project, file = rumpel_project(), tmp_path / "secrets.json"
    file.write_text(json.dumps({"TOKEN": CANARY, "UNDECLARED": "x", "OTHER": "two\nlines-of-it"}))
    see = 'echo said: $TOKEN $OTHER; printf %s "$TOKEN" | rev >/tmp/'
    configured(
        project,
        postCreateCommand=f'{see}created; test -z "$UNDECLARED"',
        postStartCommand=f"{see}started",
        postAttachCommand=f"{see}attached",
    )
    made = project.run("create", "a", "--secrets-file", str(file), "-v").assert_ok()
    assert CANARY not in made.stdout + made.stderr
    assert "lines-of-it" not in made.stdout + made.stderr
    entered = project.run("enter", "a", "--", "sh", "-c", "cat /tmp/attached; env").assert_ok()
    assert entered.stdout.startswith(CANARY[::-1])
    assert CANARY not in entered.stdout + entered.stderr
    for name in ("created", "started"):
        assert project.exec("a", "cat", f"/tmp/{name}").stdout == CANARY[::-1]
    assert "said: ***" in project.run("logs", "a", "postCreateCommand").assert_ok().stdout
    file.write_text(f"# another form\nTOKEN={CANARY}-2\n")
    project.run("stop", "a").assert_ok()
    project.run("enter", "a", "--", "true").assert_ok()
    assert project.exec("a", "cat", "/tmp/started").stdout == f"{CANARY}-2"[::-1]
    configured(project, postCreateCommand='test -n "$TOKEN"', containerEnv={"NEW": "1"})
    project.run("recreate", "a").assert_ok()
    file.unlink()
    configured(project, containerEnv={"NEW": "1"}, postAttachCommand="true")
    project.run("recreate", "a").assert_ok()
    told = project.run("enter", "a", "--", "true").assert_ok().stderr
    assert "without secrets" in told
    configured(project, postStartCommand="true")
    gone = project.run("recreate", "a").assert_error(2, f"{file} cannot be read")
    assert "recreate POD --secrets-file FILE" in gone.stderr
    inspected = json.dumps(project.docker.inspect(project.container_id("a")))
    assert CANARY not in inspected
    for path in project.home.state.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_a_command_that_fails_does_not_tell(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project, file = rumpel_project(), tmp_path / "secrets.json"
    file.write_text(json.dumps({"TOKEN": CANARY}))
    configured(project, postCreateCommand="echo $TOKEN; exit 3")
    failed = project.run("create", "a", "--secrets-file", str(file), "--json")
    assert failed.code != 0
    assert CANARY not in failed.stdout + failed.stderr
    assert "OTHER" in failed.stdout + failed.stderr, "it has no value"


def test_values_of_the_environment_are_masked_at_every_start(
    rumpel_project: ProjectFactory,
) -> None:
    """The second one is made of what is stored, which has names of variables only."""
    project, env = rumpel_project(), {"MINE": CANARY}
    say = "echo said: $REMOTE $CONTAINER"
    configured(
        project,
        containerEnv={"CONTAINER": "${localEnv:MINE}-1"},
        remoteEnv={"REMOTE": "${localEnv:MINE}-2"},
        postStartCommand=f"{say}; echo a start >>/tmp/starts",
        postAttachCommand=say,
    )
    told = [project.run("create", "a", "--trust", "-v", env=env).assert_ok()]
    project.run("stop", "a").assert_ok()
    told += [project.run("enter", "a", "--", "true", env=env).assert_ok()]
    told += [project.run("logs", "a", "postStartCommand").assert_ok()]
    assert project.exec("a", "cat", "/tmp/starts").stdout == "a start\n" * 2
    text = "".join(one.stdout + one.stderr for one in told)
    assert text.count("said: *** ***") >= 3, text
    assert CANARY not in text


def test_without_values_a_pod_is_made_and_it_is_told(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, postCreateCommand="echo ${TOKEN-none} >/tmp/token")
    made = project.run("create", "a").assert_ok()
    assert "no value for OTHER, TOKEN (secrets)" in made.stderr
    assert "--secrets-file" in made.stderr
    assert project.inside("a", "cat /tmp/token") == "none"
    assert "secrets" not in project.run("create", "a").assert_ok().stderr


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("[]", "line 1 is no NAME=value"),
        ('{"A": 1}', "A is no text"),
        ('{"A": "x",\n "B"', "line 2, column 5"),
        ("A=1\nno equals sign\n", "line 2 is no NAME=value"),
        ("=x", "line 1 has no name"),
        ("\x00\xff", "not as expected"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_file_is_an_error_without_its_content(
    rumpel_project: ProjectFactory, tmp_path: Path, content: str | None, place: str
) -> None:
    project, file = rumpel_project(), tmp_path / "secrets"
    if content is not None:
        file.write_bytes(content.encode("latin-1"))
    configured(project)
    wrong = project.run("create", "a", "--secrets-file", str(file))
    assert wrong.code != 0
    assert str(file) in wrong.stderr
    assert place in wrong.stderr
    assert "equals sign" not in wrong.stderr
    assert not project.containers()


def test_a_repository_cannot_name_the_file(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project)
    project.write({".rumpelpod.json": json.dumps({"secretsFile": "/etc/passwd"})})
    refused = project.run("create", "a")
    assert refused.code != 0
    assert "not a repository's to set" in refused.stderr
