"""All collected real files: the same configuration as the reference CLI reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from rumpel.devcontainer import document, jsonc

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
    assert read.config == expected["configuration"]
    assert read.workspace_folder == expected["workspace"]["workspaceFolder"]
