"""`rumpel config --check`, and that `create` tells of the same: nothing is dropped in silence."""

from __future__ import annotations

import json
from typing import Any

import pexpect

from tests.support.engine import MINI_IMAGE
from tests.support.project import ProjectFactory

RUN: dict[str, Any] = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}
MISSED = {
    "runServices": ["a"],
    "workspaceMount": "source=${localWorkspaceFolder},target=/x,type=bind",
    "appPort": ["3000/udp"],
    "hostRequirements": {"storage": "1gb"},
    "shutdownAction": "stopContainer",
}


def test_what_is_not_honoured_is_one_warning_each(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".devcontainer.json": json.dumps({**RUN, **MISSED}, indent=1)})
    told = project.run("create", "p").assert_ok().stderr.splitlines()
    warned = [line for line in told if line.startswith("warning: .devcontainer.json:")]
    lines = project.root.joinpath(".devcontainer.json").read_text().splitlines()
    found = {}
    for line in warned:
        _, number, column, rest = line.removeprefix("warning: ").split(":", 3)
        found[rest.split()[0]] = lines[int(number) - 1][int(column) - 1 :]
    assert {name.partition(".")[0].partition("[")[0] for name in found} == {*MISSED}
    assert len(warned) == len(MISSED)
    for name, text in found.items():
        is_entry = name.endswith("]")
        assert text.startswith('"3000/udp"' if is_entry else f'"{name.rpartition(".")[2]}"')


def test_check_says_the_same_to_people_and_programs(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".devcontainer.json": json.dumps({**RUN, **MISSED}, indent=1)})
    shown = project.run("config", "--check").assert_code(1)
    rows = [line.split()[:3] for line in shown.stdout.splitlines()[1:]]
    data = project.run("config", "--check", "--json").assert_code(1).json()["data"]
    fields = data["devcontainer"]["fields"]
    assert data["devcontainer"]["source"] == ".devcontainer.json"
    assert rows == [
        [f".devcontainer.json:{one['line']}", one["field"], one["verdict"]] for one in fields
    ]
    verdicts = {one["field"]: one["verdict"] for one in fields}
    assert verdicts["image"] == "honoured"
    assert verdicts["workspaceMount"] == "approximated"
    assert verdicts["runServices"] == "ignored"


def test_features_beside_the_file_are_looked_at(rumpel_project: ProjectFactory) -> None:
    """What `create` would refuse is no field that is honoured."""
    file, folder = ".devcontainer/devcontainer.json", ".devcontainer/greeter"
    project = rumpel_project({file: {**RUN, "features": {"./greeter": {}}}})
    wrong = project.run("config", "--check").assert_code(2).stdout
    assert "there is no folder greeter" in wrong
    project.write({f"{folder}/devcontainer-feature.json": "{", f"{folder}/install.sh": ""})
    assert "feature ./greeter" in project.run("config", "--check").assert_code(2).stdout
    about = {"id": "greeter", "version": "1.0.0", "name": "Greeter"}
    project.write({f"{folder}/devcontainer-feature.json": about})
    project.run("config", "--check").assert_ok()
    project.write({file: {**RUN, "features": {"../greeter": {}}}})
    assert "must lie in .devcontainer" in project.run("config", "--check").assert_code(2).stdout


def test_exit_codes_of_check(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".devcontainer.json": {**RUN, "customizations": {"x": 1}}})
    project.run("config", "--check").assert_ok()
    project.write({".devcontainer.json": {**RUN, "image": 1}})
    wrong = project.run("config", "--check").assert_code(2).stdout
    assert "refused" in wrong
    assert "a string is expected, not a number" in wrong
    project.write({".devcontainer.json": '{"image" 1}'})
    project.run("config", "--check").assert_error(2, ".devcontainer.json:1:10: ':' is expected")


def test_a_compose_file_that_is_missing(rumpel_project: ProjectFactory) -> None:
    compose = {"dockerComposeFile": "compose.yml", "service": "app"}
    project = rumpel_project({".devcontainer.json": json.dumps(compose)})
    words = (".devcontainer.json:1:23: dockerComposeFile: there is no file compose.yml",)
    project.run("create", "p").assert_error(2, *words)
    assert "refused" in project.run("config", "--check").assert_code(2).stdout


def test_all_places_and_a_choice(rumpel_project: ProjectFactory) -> None:
    """The three places of the specification, the first wins; `--config` takes any, by name too."""
    places = (
        ".devcontainer/devcontainer.json",
        ".devcontainer.json",
        ".devcontainer/a/devcontainer.json",
        ".devcontainer/b/devcontainer.json",
        "elsewhere/my.json",
    )
    project = rumpel_project(dict.fromkeys(places, RUN), config=None)

    def source(*args: str) -> str:
        data = project.run("config", "--check", "--json", *args).assert_ok().json()["data"]
        return str(data["devcontainer"]["source"])

    assert source() == places[0]
    (project.root / places[0]).unlink()
    assert source() == places[1]
    for place in places[1:]:
        assert source("--config", place) == place
    assert source("--config", "b") == places[3]
    (project.root / places[1]).unlink()
    project.run("create", "p").assert_error(2, places[2], places[3], "--config")
    (project.root / places[2]).unlink()
    assert source() == places[3]
    project.run("config", "--check", "--config", "a").assert_error(2, "no configuration a")


def test_a_person_is_asked_which_one(rumpel_project: ProjectFactory) -> None:
    """Once for all pods of a request; the pods keep it."""
    named = {name: f".devcontainer/{name}/devcontainer.json" for name in ("a", "b")}
    files = {place: {**RUN, "containerEnv": {"N": name}} for name, place in named.items()}
    project = rumpel_project(files, config=None)
    child = project.spawn("create", "p", "q")
    child.expect_exact(b"2  .devcontainer/b/devcontainer.json")
    child.expect_exact(b"Which one? [1-2] ")
    child.sendline(b"2")
    child.expect_exact(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert [project.inside(pod, "echo $N") for pod in ("p", "q")] == ["b", "b"]
    assert project.run("recreate", "p", "--json").assert_ok().data["action"] == "nothing"
    child = project.spawn("create", "r")
    child.expect_exact(b"Which one? [1-2] ")
    child.sendline(b"3")
    child.expect_exact(b"2 configurations and none is the standard one")
    child.expect_exact(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert project.run("list", "-q").assert_ok().stdout.split() == ["p", "q"]
