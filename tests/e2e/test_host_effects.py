"""Hostile configurations for real: refused by name, made after consent, and asked for again.

All of them are in tests/unit/devcontainer/test_host_effects.py; a normal run takes some of them
through the program, RUMPEL_LONG=1 (scripts/long) all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support.effect_case import CANARY, World
from tests.support.host_effects import HOSTILE, REFUSED
from tests.support.project import Project, ProjectFactory
from tests.support.share import share

CONSENT, BAD_CONFIG = 4, 2
RUNNABLE = [name for name, case in HOSTILE.items() if case.can_run]

pytestmark = pytest.mark.here("paths and sockets of this machine")


def prepared(project: Project) -> World:
    world = World(project.root.resolve(), project.root.resolve().parent / "outside")
    world.prepare()
    return world


def create(project: Project, world: World, pod: str, *more: str) -> Any:
    return project.run("create", pod, *more, env=world.env)


def test_without_consent_nothing_is_made(rumpel_project: ProjectFactory) -> None:
    """Nobody can be asked here: the list, and nothing else; what nobody can agree to is an error"""
    project = rumpel_project()
    world = prepared(project)
    for name in share(HOSTILE, 12):
        world.put(HOSTILE[name].fields, HOSTILE[name].files)
        refused = create(project, world, "p")
        refused.assert_error(CONSENT, world.filled(HOSTILE[name].said), "read it, then say --trust")
        assert CANARY not in refused.stderr, name
    for name in share(REFUSED, 5):
        fields, files, said = REFUSED[name]
        world.put(fields, files)
        create(project, world, "p", "--trust").assert_error(BAD_CONFIG, said)
    assert project.containers() == []
    assert not (world.out / "x").exists(), "no command was run"
    assert project.run("list", "-q").stdout == ""


@pytest.mark.parametrize("name", share(RUNNABLE, 3))
def test_after_consent_it_is_made_until_it_changes(
    rumpel_project: ProjectFactory, name: str
) -> None:
    case = HOSTILE[name]
    project = rumpel_project()
    world = prepared(project)
    world.put(_offline(case.fields), case.files)
    create(project, world, "a", "--trust").assert_ok()
    create(project, world, "b").assert_ok()
    assert len(project.containers()) == 2
    world.put(_offline(case.other), case.other_files)
    asked = create(project, world, "c", "--json").assert_code(CONSENT).json()["error"]
    kinds = [item["kind"] for item in asked["details"]["items"]]
    assert sorted(kinds) == sorted(key.partition(":")[0] for key in case.more)
    recreated = project.run("recreate", "a", env=world.env)
    assert recreated.code == CONSENT, recreated
    assert len(project.containers()) == 2


def _offline(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without a network a container starts in half the time."""
    given = fields.get("runArgs", [])
    has_one = any(word.startswith(("--net", "--link")) for word in given)
    return {**fields, "runArgs": given if has_one else [*given, "--network=none"]}


def test_settings_of_a_repository(rumpel_project: ProjectFactory) -> None:
    """None that runs or hands out something; another host only after consent."""
    project = rumpel_project()
    command = f"touch {project.root}/canary"
    for key, value, code, said in (
        ("host", "ssh://nobody@192.0.2.1", CONSENT, "sends your commits to ssh://nobody@192.0.2.1"),
        ("notify", command, BAD_CONFIG, "notify is not a repository's to set"),
        ("signInCommands", {"ANTHROPIC_API_KEY": command}, BAD_CONFIG, "signInCommands is not"),
        ("caCertificates", ["/etc/x"], BAD_CONFIG, "caCertificates is not"),
        ("proxyVariables", True, BAD_CONFIG, "proxyVariables is not"),
        ("gitCredentials", ["git.test"], BAD_CONFIG, "gitCredentials is not"),
        ("lendSignIn", True, BAD_CONFIG, "lendSignIn is not"),
        ("webhook", "http://192.0.2.1", BAD_CONFIG, "there is no setting 'webhook'"),
    ):
        project.write({".rumpelpod.json": json.dumps({key: value})})
        project.run("create", "p").assert_error(code, said)
    assert project.containers() == []
    assert not (project.root / "canary").exists()
