"""Files of a compose project before a program reads them: what they cost, and what they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer import compose_sources, compose_yaml, config
from rumpel.devcontainer.compose import Composer
from rumpel.devcontainer.document import Caller
from rumpel.errors import ConfigError
from tests.support.composed import SOURCE, app, as_written
from tests.support.composed import read as composed
from tests.unit.devcontainer.conftest import POD_ID


@pytest.fixture(name="caller")
def caller_of(root: Path) -> Caller:
    env = {"HOME": "/home/u", "MY_TOKEN": "very-secret", "EMPTY": ""}
    return Caller(root=str(root), local_env=env, pod="p", pod_id=POD_ID, repo_basename="demo")


def test_the_same_file_many_times_is_many_files(caller: Caller) -> None:
    path = Path(caller.root, ".devcontainer/c.json")
    path.parent.mkdir()
    path.write_text(json.dumps({"services": {"app": app()}}))
    file = json.dumps({"dockerComposeFile": ["c.json"] * 51, "service": "app"})
    composer = Composer(granted=frozenset(), canonical=as_written)
    with pytest.raises(ConfigError, match="compose reads more than 50 files"):
        config.parse(file, SOURCE, caller, composer=composer)


LINES: list[tuple[str, dict[str, str]]] = [
    ("A=b", {"A": "b"}),
    ("A: b", {"A": "b"}),
    ("A:b=c", {"A": "b=c", "A:b": "c"}),
    ("A=b:c", {"A": "b:c"}),
    ("A=b:c\nA: d", {"A": "b:c"}),
    ("export A=b\nexport\tB: c", {"A": "b", "B": "c"}),
    ("\ufeffA=b", {"A": "b"}),
    ("'A'=b\n\"B\": 'c'", {"A": "b", "B": "c"}),
    ("A=b # c\nB='b # c' # d\nC=b#c", {"A": "b", "B": "b # c", "C": "b#c"}),
    ("A=\"x\" # \"y\"", {"A": "x"}),
    ("A=\nB=''\nC:", {"A": "", "B": "", "C": ""}),
    ("A=\"b\nC='d", {"A": "b", "C": "d"}),
    ("A\n\n=", {"": ""}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "read"), LINES)
def test_lines_of_variables_in_the_forms_of_either_program(text: str, read: Any) -> None:
    assert compose_sources.lines(text.encode()) == read


def test_a_yaml_form_of_variables_is_as_private_as_any(caller: Caller) -> None:
    folder = Path(caller.root, ".devcontainer")
    folder.mkdir()
    (folder / ".env").write_text("DB_PASSWORD: of-dotenv\n")
    (folder / "web.env").write_text("OF_FILE: of-a-file\nSpring:Key=of-another\n")
    said = {"A": "${DB_PASSWORD}", "OF_FILE": "of-a-file", "Spring:Key": "of-another"}
    found = composed(caller, {"app": app(), "web": app(environment=said, env_file="web.env")})
    assert found.warnings == ()
    assert found.project is not None
    expected = {("environment", name) for name in said}
    assert set(found.project.beside[0].private) == expected


NO_PATHS: list[tuple[dict[str, Any], str]] = [
    ({"env_file": "~nosuchuser0/x"}, "~nosuchuser0/x: there is no such user"),
    ({"env_file": "a\0b"}, "env_file takes the path of a file"),
    ({"env_file": "\ud800"}, "env_file takes the path of a file"),
    ({"env_file": "a" * 5000}, "cannot be read: File name too long"),
    ({"extends": {"file": "a\0b", "service": "x"}}, "extends takes the path of a file"),
    ({"secrets": ["s"]}, "only a file of this machine is handled"),
    ({"ports": [{"target": 1, "published": "1" * 5000}]}, ""),
    ({"ports": [{"target": "1" * 5000}]}, "is not a port"),
]


@pytest.mark.parametrize(("keys", "told"), NO_PATHS)
def test_what_can_be_no_path_and_no_port(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any], told: str
) -> None:
    # As if the reader let them through, which YAML escapes do for some.
    monkeypatch.setattr(compose_yaml, "load", lambda data, name: json.loads(data))
    secrets = {"s": {"file": "/a\0b"}}
    if told:
        with pytest.raises(ConfigError, match=told):
            composed(caller, {"app": app(**keys)}, secrets=secrets)
    else:
        found = composed(caller, {"app": app(**keys)}).project
        assert found is not None
        assert [one.wish for one in found.ports] == [None]


def test_a_name_of_a_file_that_can_be_none(caller: Caller) -> None:
    composer = Composer(granted=frozenset(), canonical=as_written)
    Path(caller.root, ".env").write_text("COMPOSE_FILE=a\0b\n")
    file = json.dumps({"dockerComposeFile": [], "service": "app"})
    with pytest.raises(ConfigError, match="is not the path of a file"):
        config.parse(file, SOURCE, caller, composer=composer)
