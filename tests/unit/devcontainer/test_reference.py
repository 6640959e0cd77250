"""Files written by hand, one for each trait of real ones, are read as the reference reads them."""

from __future__ import annotations

import re
import shutil
from typing import Any

import pytest

from rumpel.devcontainer import document, jsonc
from rumpel.devcontainer.positions import FieldError
from rumpel.errors import ConfigError
from tests.support import reference
from tests.support.reference import Case, same

CASES = {case.name: case for case in reference.cases()}
READ = [name for name, case in CASES.items() if case.refused is None]
REFUSED = [name for name in CASES if name not in READ]
FOLDERS = {
    "an image and compose": "/workspaces/demo",
    "a workspaceFolder that becomes empty": "/workspaces/demo",
}
"""Argued: there `/`, where nothing would be mounted, and no folder at all."""


def read(case: Case) -> document.Document:
    caller = document.Caller(
        root=reference.ROOT, local_env=reference.ENV, pod="", pod_id="", repo_basename="demo"
    )
    parsed = jsonc.parse(case.source, "d.json")
    try:
        return document.read(parsed, caller)
    except FieldError as error:
        raise parsed.located(error) from error


@pytest.mark.parametrize("name", READ)
def test_is_read_as_the_reference_reads_it(name: str) -> None:
    expected: dict[str, Any] = CASES[name].expected or {}
    found = read(CASES[name])
    assert same(found.config, expected["configuration"]), found.config
    assert found.workspace_folder == FOLDERS.get(name, expected["workspaceFolder"])


@pytest.mark.parametrize("name", REFUSED)
def test_a_mistake_has_its_position(name: str) -> None:
    position = str(CASES[name].refused).partition(": ")[0]
    with pytest.raises(ConfigError, match=rf"^d\.json:{position}: "):
        read(CASES[name])


def test_every_trait_is_there() -> None:
    """What was met in the collected files of other projects, and more."""
    sources = {name: case.source for name, case in CASES.items()}
    text = b"\n".join(sources[name] for name in READ)
    for trait in (
        rb"^// ", rb"/\*", rb"\r\n", rb"^\xef\xbb\xbf", rb",\s*[}\]]", rb"[\x80-\xff]", rb"\t",
        rb'"dockerFile"', rb'"build"', rb'"dockerComposeFile": \[', rb'"dockerComposeFile": "',
        rb'"extensions"', rb'"settings"', rb'"devPort"', rb'"features"', rb'"mounts": \["',
        rb"\$\{localEnv:", rb"\$\{env:", rb"\$\{localWorkspaceFolder\}",
        rb"\$\{localWorkspaceFolderBasename\}", rb"\$\{containerWorkspaceFolder\}",
        rb"\$\{containerWorkspaceFolderBasename\}", rb"\$\{containerEnv:", rb"\$\{devcontainerId\}",
    ):  # fmt: skip
        assert re.search(trait, text, re.MULTILINE), trait
    assert len(READ) >= 50
    assert len(REFUSED) >= 15


@pytest.mark.skipif(shutil.which("devcontainer") is None, reason="no reference CLI (npm) on PATH")
@pytest.mark.timeout(300)
def test_the_reference_still_reads_them_so() -> None:
    other = {
        name: found
        for name in CASES
        if (found := reference.ask(CASES[name])) != CASES[name].expected
    }
    assert other == {}
