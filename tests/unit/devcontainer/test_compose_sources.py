"""Files of a compose project before a program reads them: what they cost, and what they name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rumpel.devcontainer import config
from rumpel.devcontainer.compose import Composer
from rumpel.devcontainer.document import Caller
from rumpel.errors import ConfigError
from tests.support.composed import SOURCE, app, as_written
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
