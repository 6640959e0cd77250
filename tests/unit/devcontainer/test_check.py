"""`rumpel config --check`: what becomes of every field, in files that are right and wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer import check, field_table, fields, jsonc
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.field_table import FOR_OTHERS, Verdict
from rumpel.devcontainer.positions import Path as Place
from rumpel.devcontainer.positions import dotted
from rumpel.errors import ConfigError
from tests.unit.devcontainer.test_corpus import FILES

SPECIFICATION = {
    "$schema", "additionalProperties", "appPort", "build", "capAdd", "containerEnv",
    "containerUser", "context", "customizations", "dockerComposeFile", "dockerFile",
    "features", "forwardPorts", "hostRequirements", "image", "init", "initializeCommand",
    "mounts", "name", "onCreateCommand", "otherPortsAttributes", "overrideCommand",
    "overrideFeatureInstallOrder", "portsAttributes", "postAttachCommand",
    "postCreateCommand", "postStartCommand", "privileged", "remoteEnv", "remoteUser",
    "runArgs", "runServices", "secrets", "securityOpt", "service", "shutdownAction",
    "updateContentCommand", "updateRemoteUserUID", "userEnvProbe", "waitFor",
    "workspaceFolder", "workspaceMount",
}  # fmt: skip
"""All properties of the schema of devcontainer.json."""
OLD = {"extensions", "settings", "devPort", "allowComments", "workspaceFile"}


def look(root: Path, text: str, files: tuple[str, ...] = ()) -> list[tuple[str, int, int, str]]:
    (root / ".devcontainer").mkdir(exist_ok=True)
    for name in files:
        (root / ".devcontainer" / name).write_text("FROM a")
    (root / ".devcontainer/devcontainer.json").write_text(text, newline="")
    found = check.check(str(root), config_path=None, local_env={}, repo_basename="demo")
    assert found["source"] == ".devcontainer/devcontainer.json"
    return [
        (row["field"], row["line"], row["column"], f"{row['verdict']}: {row['note']}")
        for row in found["fields"]
    ] + [("exit", 0, 0, str(found["exit_code"]))]


CASES: dict[str, tuple[str, list[str]]] = {
    "honoured": (
        '{"image": "a",\n "name": "b"}',
        ["1:2 image honoured", "2:2 name honoured", "exit 0"],
    ),
    "for other tools": (
        '{"image": "a", "customizations": {"x": 1}, "settings": {}}',
        ["image honoured", f"customizations ignored: {FOR_OTHERS}", "settings ignored", "exit 0"],
    ),
    "approximated": (
        '{"image": "a", "workspaceMount": "x", "waitFor": "onCreateCommand"}',
        ["image honoured", "workspaceMount approximated", "waitFor honoured", "exit 0"],
    ),
    "as it is done anyway": (
        '{"image": "a", "workspaceMount": "", "waitFor": "postStartCommand",'
        ' "shutdownAction": "none", "updateRemoteUserUID": false}',
        ["image honoured", "workspaceMount honoured", "waitFor honoured",
         "shutdownAction honoured", "updateRemoteUserUID honoured", "exit 0"],
    ),
    "no effect": (
        '{"image": "a", "appPort": ["9:1/udp"], "nmae": 1}',
        ["image honoured", "appPort honoured", "appPort[0] ignored: has no effect: only TCP",
         "nmae ignored: is not a field of the specification and has no effect (did you mean name?)",
         "exit 1"],
    ),
    "members": (
        '{"build": {"dockerfile": "D", "args": {"A": 1},\n "argz": {}}, "hostRequirements":\n'
        '{"cpus": 4, "gpu": "optional"}}',
        ["1:12 build.dockerfile honoured", "1:31 build.args honoured",
         "2:2 build.argz ignored: is not a field of the specification and has no effect "
         "(did you mean args?)",
         "3:2 hostRequirements.cpus approximated: gives a warning when the engine has less",
         "3:13 hostRequirements.gpu approximated",
         "exit 1"],
    ),
    "an image beside a Dockerfile": (
        '{"image": "a", "dockerFile": "D", "context": ".", "build": {"target": "t"}}',
        ["image ignored: has no effect beside a Dockerfile", "dockerFile honoured",
         "context honoured", "build.target honoured", "exit 1"],
    ),
    "both names of a Dockerfile": (
        '{"build": {"dockerfile": "E", "context": "..", "args": {}}, "dockerFile": "D"}',
        ["build.dockerfile ignored: has no effect beside dockerFile",
         "build.context ignored: has no effect beside dockerFile", "build.args honoured",
         "dockerFile honoured", "exit 1"],
    ),
    "an old name without a Dockerfile": (
        '{"image": "a", "context": ".", "build": {"target": "t"}}',
        ["image honoured", "context ignored: has no effect without dockerFile",
         "build ignored: has no effect without a dockerfile", "exit 1"],
    ),
    "ports": (
        """{"image": "a", "forwardPorts": [3000, 9000],
        "portsAttributes": {"3000": {"label": "web", "onAutoForward": "openBrowser"},
          "4000": {"label": "no"}, "9000-9010": {"onAutoForward": "notify"}, "80": {}},
        "otherPortsAttributes": {"onAutoForward": "ignore", "colour": 1}}""",
        ["image honoured", "forwardPorts honoured", "portsAttributes.3000.label honoured",
         "portsAttributes.3000.onAutoForward approximated: its address is told",
         "portsAttributes.4000 ignored: is about no port of forwardPorts",
         "portsAttributes.9000-9010.onAutoForward honoured",
         "portsAttributes.80 ignored: is about no port",
         "otherPortsAttributes.onAutoForward approximated: it is not told of",
         "otherPortsAttributes.colour ignored: is not a field", "exit 1"],
    ),
    "mounts": (
        '{"image": "a", "workspaceFolder": "/w", "mounts": ["target=/x",\n'
        ' {"target": "/w", "type": "bind", "source": "${localWorkspaceFolder}", "external": 1}]}',
        ["image honoured", "workspaceFolder honoured", "mounts honoured",
         "2:2 mounts[1] approximated: on /w has no effect: a pod has its own clone",
         "2:72 mounts[1].external ignored: is not a field", "exit 1"],
    ),
    "an option of runArgs": (
        '{"image": "a", "runArgs": ["--init",\n  "--name", "x"]}',
        ["image honoured", "runArgs honoured", "2:3 runArgs[1] refused: --name cannot", "exit 2"],
    ),
    "every wrong type": (
        '{"image": 1, "init": "yes",\n "features": [], "capAdd": [2],\n "mounts": [3], "name": ""}',
        ["1:2 image refused: a string is expected, not a number",
         "1:14 init refused: true or false is expected, not 'yes'",
         "2:2 features refused: an object is expected, not a list",
         "2:18 capAdd honoured", "2:29 capAdd[0] refused: a string is expected, not a number",
         "3:2 mounts honoured",
         "3:13 mounts[0] refused: a string or an object is expected, not a number",
         "3:17 name honoured", "exit 2"],
    ),
    "compose": (
        '{"dockerComposeFile": "c.yml", "service": "s", "runServices": ["s"]}',
        ["dockerComposeFile honoured", "service honoured", "runServices honoured", "exit 0"],
    ),
    "compose beside an image": (
        '{"image": "a", "dockerComposeFile": "c.yml"}',
        ["image honoured", "dockerComposeFile ignored: has no effect beside an image",
         "exit 1"],
    ),
    "compose without its file": (
        '{"image": "a", "service": "s"}',
        ["image honoured", "service ignored: has no effect without dockerComposeFile", "exit 1"],
    ),
    "runArgs beside compose": (
        '{"dockerComposeFile": "c.yml", "service": "s", "runArgs": ["--init"]}',
        ["dockerComposeFile honoured", "service honoured", "runArgs ignored: has no effect beside",
         "exit 1"],
    ),
    "a variable without a name": (
        '{"image": "a",\n "extensions": ["x", "${localEnv}"]}',
        ["image honoured", "2:2 extensions ignored",
         "2:22 extensions[1] refused: ${localEnv} needs the name", "exit 2"],
    ),
    "the name of a variable": (
        '{"image": "a", "containerEnv": {\n"A=B": "c"}}',
        ["image honoured", "1:16 containerEnv honoured",
         "2:1 containerEnv.A=B refused: not the name of a variable", "exit 2"],
    ),
    "wrong ports": (
        '{"image": "a", "forwardPorts": [0], "portsAttributes": {"1": {"label": "x"}}}',
        ["image honoured", "forwardPorts honoured", "1:33 forwardPorts[0] refused: 0 is not a port",
         "portsAttributes.1.label honoured", "exit 2"],
    ),
    "types of what has no effect": (
        '{"image": "a", "hostRequirements": {"memory": "8 gb", "gpu": 7},'
        ' "customizations": 5, "shutdownAction": []}',
        ["image honoured",
         "hostRequirements.memory ignored: has no effect: a size such as 512mb or 8gb is expected",
         'hostRequirements.gpu ignored: has no effect: true, false, "optional" or {cores, memory}',
         "customizations ignored: has no effect: an object is expected",
         "shutdownAction ignored: has no effect: input should be 'none'", "exit 1"],
    ),
    "types of what is for this machine": (
        '{"image": "a", "appPort": true, "secrets": {"A=": 1}}',
        ["image honoured", "appPort refused: a list is expected, not a boolean",
         "secrets honoured", "secrets.A= refused: not the name of a variable", "exit 2"],
    ),
    "a command that nobody can wait for": (
        '{"image": "a", "waitFor": "x"}',
        ["image honoured", "waitFor refused: input should be 'initializeCommand'", "exit 2"],
    ),
    "a command that is none": (
        '{"image": "a", "postStartCommand": 1, "postAttachCommand": {"a": "b", "c": "d"}}',
        ["image honoured", "postStartCommand refused: a command is a string",
         "postAttachCommand honoured", "exit 2"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_file(name: str, root: Path) -> None:
    text, expected = CASES[name]
    found = look(root, text, ("D", "E"))
    *rows, last = expected
    assert found.pop()[3] == last.removeprefix("exit ")
    assert len(found) == len(rows), found
    for (field, line, column, what), row in zip(found, rows, strict=True):
        shown = f"{field} {what}"
        place, _, rest = row.partition(" ")
        if place[0].isdigit():
            assert f"{line}:{column}" == place
            row = rest
        assert shown.startswith(row), shown


def test_without_a_file(root: Path) -> None:
    found = check.check(str(root), config_path=None, local_env={}, repo_basename="r")
    assert found == {"source": None, "fields": [], "warnings": [], "exit_code": 0}


def test_what_is_no_object_has_no_fields(root: Path) -> None:
    with pytest.raises(ConfigError, match=r":1:1: a JSON object is expected"):
        look(root, "[]")


def test_warnings_of_no_field(root: Path) -> None:
    (root / ".devcontainer.json").write_text('{"image": "${x}", "image": "${localEnv:A:b:c}${y}"}')
    found = check.check(str(root), config_path=None, local_env={}, repo_basename="r")
    assert [text.partition(": ")[2] for text in found["warnings"]] == [
        "'image' is repeated, the one on line 1 does not count",
        "the default of ${localEnv:A:...} ends at its first ':'",
        "${y} is not known here and stays",
    ]


def test_the_table_has_every_field_of_the_specification() -> None:
    assert SPECIFICATION | OLD == fields.NAMES
    assert all(known.note for known in field_table.FIELDS.values())


@pytest.mark.skipif(not FILES, reason="the corpus does not lie beside the checkout")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_field_of_a_real_file_is_told_at_its_key(file: Path, root: Path) -> None:
    caller = Caller(root=str(root), local_env={}, pod="", pod_id="", repo_basename="demo")
    reports, _ = check.of_content(file.read_bytes(), "x/y.json", caller)
    parsed = jsonc.parse(file.read_bytes(), "y.json")
    lines = re.split("\r\n|\n|\r", parsed.text)
    named: dict[str, Place] = {dotted(path): path for path in parsed.values}
    for one in reports:
        path = named[one.field]
        here = lines[one.line - 1][one.column - 1 :]
        if isinstance(path[-1], str):
            assert here.startswith(f'"{path[-1]}"')
        assert one.note
        assert one.verdict in Verdict
    told = {str(named[one.field][0]) for one in reports}
    value: dict[str, Any] = parsed.value
    empty = {name for name, inner in value.items() if inner in ({}, [])}
    assert told | empty == {*value}
