"""The compose program itself: what it makes of files that were read here."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rumpel.adapters import compose
from rumpel.daemon import compose as daemon_compose
from rumpel.devcontainer import compose_sources
from rumpel.devcontainer.document import Caller
from rumpel.errors import CommandFailed, ConfigError, NotFound

NEEDED = not (shutil.which("docker-compose") or shutil.which("docker"))
pytestmark = pytest.mark.skipif(NEEDED, reason="no compose on PATH")


@pytest.fixture(name="root")
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "demo"
    (root / ".devcontainer/other").mkdir(parents=True)
    return root.resolve()


def canonical(root: Path, *names: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    caller = Caller(root=str(root), local_env=env or {}, pod="p", pod_id="", repo_basename="demo")
    folder = root / ".devcontainer"
    files = compose_sources.names([*names], caller, folder)
    sources = compose_sources.read(files, caller, frozenset())
    given = {name: (env or {})[name] for name in sources.variables & (env or {}).keys()}
    found: dict[str, Any] = daemon_compose.canonical(sources, given)["services"]
    return found


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / ".devcontainer" / name.replace("__", "/").replace("_yml", ".yml")
        path.write_text(text)


def test_files_lie_over_each_other_in_their_order(root: Path) -> None:
    write(
        root,
        a_yml="services: {app: {image: one, environment: {A: a, B: a}, command: [x, $$HOME]}}",
        b_yml="services: {app: {image: two, environment: {B: b}}}",
    )
    found = canonical(root, "a.yml", "b.yml")["app"]
    assert (found["image"], found["environment"]) == ("two", {"A": "a", "B": "b"})
    assert found["command"] == ["x", "$HOME"]
    assert canonical(root, "b.yml", "a.yml")["app"]["image"] == "one"


def test_what_another_file_extends_is_relative_to_that(root: Path) -> None:
    write(
        root,
        a_yml="services: {app: {extends: {file: other/base.yml, service: base}, env_file: x.env}}\n"
        "volumes: {v: }",
        other__base_yml=(
            "services: {base: {image: i, env_file: [in.env], volumes: ['./here:/a', 'v:/b'],"
            " extends: {file: deep.yml, service: deep}}}"
        ),
        other__deep_yml="services: {deep: {build: sub, image: deep, labels: {deep: 'yes'}}}",
    )
    (root / ".devcontainer/x.env").write_text("A=outer\n")
    (root / ".devcontainer/other/in.env").write_text("B=inner\n")
    (root / ".devcontainer/other/sub").mkdir()
    found = canonical(root, "a.yml")["app"]
    other = f"{root}/.devcontainer/other"
    assert found["environment"] == {"A": "outer", "B": "inner"}
    assert f"{other}/here" in json.dumps(found["volumes"])
    assert f"{other}/sub" in json.dumps(found["build"])
    assert "deep" in json.dumps(found["labels"])


def test_variables_are_those_that_are_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the caller, or of `.env`, which is weaker; never of the daemon."""
    monkeypatch.setenv("OF_THE_DAEMON", "canary")
    (root / ".devcontainer/.env").write_text("B=file\nC=file\n")
    write(
        root,
        a_yml=(
            "services: {app: {image: i, environment: {A: '${A:-none}', B: '${B}', C: '${C}',"
            " D: '${OF_THE_DAEMON:-unset}', E: , OF_THE_DAEMON: }}}"
        ),
    )
    found = canonical(root, "a.yml", env={"B": "mine", "E": "e", "OTHER": "x"})["app"]
    set_ones = {name: text for name, text in found["environment"].items() if text is not None}
    assert set_ones == {"A": "none", "B": "mine", "C": "file", "D": "unset", "E": "e"}


def test_what_it_refuses_is_told_without_our_folders(root: Path) -> None:
    write(root, a_yml="services: {app: {image: i, frobnicate: 1}}")
    with pytest.raises(ConfigError) as refused:
        canonical(root, "a.yml")
    assert refused.value.message == (
        "compose refuses the project: The Compose file '.devcontainer/a.yml' is invalid because: "
        "Unsupported config option for services.app: 'frobnicate'"
    )
    write(
        root,
        a_yml="services: {app: {extends: {file: other/b.yml, service: b}}}",
        other__b_yml="services: {b: {image: i, frobnicate: 1}}",
    )
    with pytest.raises(ConfigError, match=r"The Compose file '\.devcontainer/other/b\.yml' is"):
        canonical(root, "a.yml")


@pytest.mark.parametrize("times", [100, 20_000])
def test_what_variables_come_to_is_bounded(root: Path, times: int) -> None:
    """Of the program's output, and of its memory."""
    (root / ".devcontainer/.env").write_text(f"BIG={'x' * 200_000}\n")
    labels = ", ".join(f"'l{number}=${{BIG}}'" for number in range(times))
    write(root, a_yml=f"services: {{app: {{image: i, labels: [{labels}]}}}}")
    with pytest.raises(ConfigError, match="the compose project is larger than 8 MiB"):
        canonical(root, "a.yml")


def test_none_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFound) as missing:
        compose.find()
    assert "docker-compose" in (missing.value.hint or "")


def test_the_plugin_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a docker without it is passed over."""
    for name, script in (("docker", "exit 0"), ("docker-compose", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    assert compose.find().argv == (f"{tmp_path}/docker", "compose")
    other = tmp_path / "without"
    other.mkdir()
    for name, script in (("docker", "exit 1"), ("docker-compose", "exit 0")):
        (other / name).write_text(f"#!/bin/sh\n{script}\n")
        (other / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{other}{os.pathsep}/bin")
    assert compose.find().argv == (f"{other}/docker-compose",)


@pytest.mark.parametrize("end", ["; echo", ""])
async def test_a_long_line_is_cut_but_within_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Neither at its end, nor where it has no end (what came first went)."""
    says = "printf %01990d 0; printf canary-7c1e; printf %01000d 0; printf canary-7c1e"
    script = f"#!/bin/sh\nif [ $# -lt 3 ]; then exit 0; fi\n{says}{end}\nexit 1\n"
    (tmp_path / "docker").write_text(script)
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    lines: list[str] = []
    with pytest.raises(CommandFailed) as failed:
        await compose.up(
            {},
            project="p",
            url="",
            folder=tmp_path,
            on_line=lines.append,
            private=["canary-7c1e"],
        )
    shown = "0" * 1990 + "***" + "0" * 7
    assert (lines, failed.value.details["tail"]) == ([shown], shown + "\n")
