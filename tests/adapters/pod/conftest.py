"""A pod in a folder: real git and real shells behind local streams."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.adapters.pod.support import Pod, commit, git, shells


@pytest.fixture(params=shells())
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A repository of the user with two branches."""
    work = tmp_path / "host"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    commit(work, "one", {"a.txt": "a\n", "src/b.txt": "b\n", ".gitignore": "*.log\nbuild/\n"})
    git(work, "branch", "feature/x")
    commit(work, "two", {"a.txt": "a2\n"})
    return work


@pytest.fixture
def seed(tmp_path: Path, host: Path) -> Path:
    path = tmp_path / "rumpel" / "host.git"
    git(tmp_path, "clone", "-q", "--bare", "--no-hardlinks", str(host), str(path))
    return path


@pytest.fixture
async def pod(shell: str, seed: Path, tmp_path: Path) -> AsyncIterator[Pod]:
    """Not started yet; the workspace folder does not exist."""
    table = tmp_path / "mountinfo"
    table.write_text("22 1 0:40 / / rw,relatime - overlay overlay rw\n")
    pod = Pod(shell, seed, tmp_path / "work space's", table)
    yield pod
    await pod.end()
