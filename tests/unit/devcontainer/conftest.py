"""A repository folder with a devcontainer.json, loaded the way the daemon does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer.config import DevConfig, load

Load = Callable[..., DevConfig]
POD_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    folder.mkdir()
    return folder.resolve()


@pytest.fixture
def load_text(root: Path) -> Load:
    """`load_text('{"image": "a"}')`: the resolved configuration of that file."""

    def run(text: str, env: Mapping[str, str] | None = None, **more: Any) -> DevConfig:
        (root / ".devcontainer").mkdir(exist_ok=True)
        (root / ".devcontainer" / "devcontainer.json").write_text(text, newline="")
        arguments: dict[str, Any] = {
            "local_env": env or {},
            "pod": "a",
            "pod_id": POD_ID,
            "repo_basename": "demo",
        }
        return load(str(root), **(arguments | more))

    return run
