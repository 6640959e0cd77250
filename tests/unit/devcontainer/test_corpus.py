"""All collected real files: the same configuration as the reference CLI reads, none differs.

They name what is in no repository of ours, so they lie beside the checkout; where they do not,
test_reference.py has a file of our own for each of their traits.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rumpel.devcontainer import document, jsonc
from rumpel.devcontainer.config import describe, parse
from rumpel.errors import ConfigError
from tests.support.reference import same
from tests.unit.devcontainer.conftest import POD_ID

CORPUS = Path(__file__).resolve().parents[4] / "shared" / "devcontainers" / "corpus"
FILES = sorted(CORPUS.glob("*.json"))
ENV = {"HOME": "/home/u", "USER": "u", "SHELL": "/bin/bash"}

pytestmark = pytest.mark.skipif(not FILES, reason="the corpus does not lie beside the checkout")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_reads_as_the_reference_does(file: Path) -> None:
    expected = json.loads((CORPUS.parent / "expected" / file.name).read_text())
    # PATH was not fixed when the expectations were recorded: the one that uses it shows it.
    path = re.findall(r'"PATH": "(/[^"]*)"', json.dumps(expected["configuration"]))
    caller = document.Caller(
        root="/srv/demo",
        local_env=ENV | ({"PATH": path[0]} if path else {}),
        pod="",
        pod_id="",
        repo_basename="demo",
    )
    read = document.read(jsonc.parse(file.read_bytes(), file.name), caller)
    assert same(read.config, expected["configuration"])
    assert read.workspace_folder == expected["workspace"]["workspaceFolder"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_file_becomes_a_pod_or_says_why_not(file: Path, root: Path) -> None:
    """With the files it names in place; what is refused is refused for one of a few reasons."""
    caller = document.Caller(
        root=str(root), local_env=ENV, pod="a", pod_id=POD_ID, repo_basename="demo"
    )
    config = document.read(jsonc.parse(file.read_bytes(), "x"), caller).config
    folder = root / ".devcontainer"
    build = config.get("build") or {}
    for name in (build.get("dockerfile") or config.get("dockerFile"), ".env", "devcontainer.env"):
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("")
    (root / ".env").write_text("")
    try:
        found = parse(file.read_bytes(), ".devcontainer/devcontainer.json", caller)
    except ConfigError as error:
        refused = error.message
    else:
        assert (found.image is None) != (found.build is None)
        json.dumps(describe(found))
        return
    assert re.match(r"\.devcontainer/devcontainer\.json:\d+:\d+: ", refused)
    assert re.search(
        r"is not a port|names no feature|--(rm|name) cannot|outside the repo"
        r"|over the pod's clone",
        refused,
    )
