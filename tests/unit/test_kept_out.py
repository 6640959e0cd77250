"""Files that come into a pod, and its git: which it would commit, and what it could not be told."""

from __future__ import annotations

import asyncio
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rumpel.adapters.docker_types import Completed
from rumpel.tasks import carry, kept_out


class Here:
    """Runs what a container would, on this machine; `git` is counted."""

    def __init__(self, folder: Path) -> None:
        self._count = folder / "count"
        (folder / "bin").mkdir()
        git = folder / "bin/git"
        git.write_text(f'#!/bin/sh\necho >>{self._count}\nPATH=$REAL exec git "$@"\n')
        git.chmod(0o755)
        self._env = {"REAL": os.environ["PATH"], "PATH": f"{git.parent}:{os.environ['PATH']}"}

    @property
    def calls(self) -> int:
        return len(self._count.read_text().splitlines())

    async def exec_run(
        self, container_id: str, argv: list[str], *, cwd: str, input: bytes | None, **more: Any
    ) -> Completed:
        done = await asyncio.to_thread(
            subprocess.run,
            argv,
            cwd=cwd,
            input=input or b"",
            capture_output=True,
            env={**os.environ, **self._env},
            check=False,
        )
        return Completed(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return Here(tmp_path)


@pytest.fixture
def place(tmp_path: Path, here: Here) -> carry.Place:
    """A repository with a submodule that is not there."""
    repo = tmp_path / "repo"
    git(tmp_path, "init", "-q", str(repo))
    git(repo, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},a/möd")
    (repo / "a/möd").mkdir(parents=True)
    return carry.Place(host=here, container_id="", folder=str(repo), user="")  # type: ignore[arg-type] # a fake one


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)


async def test_one_in_a_submodule_costs_no_more_for_the_others(
    place: carry.Place, here: Here
) -> None:
    names = tuple(f"many/{number}" for number in range(400))
    found = await kept_out.refused(place, ("a/möd/x", "a/möd.x", "a/x", *names))
    assert found == {"a/möd/x": ""}
    assert here.calls < 12


async def test_what_could_not_be_told_is_said(place: carry.Place) -> None:
    repo = Path(place.folder)
    for name in ("full", "broken", "open"):
        git(repo, "init", "-q", name)
    info = repo / "full/.git/info"
    for path in info.iterdir():
        path.unlink()
    info.rmdir()
    info.write_text("in the way")
    (repo / "broken/.git/config").write_text("[")
    (repo / "open/.gitignore").write_text("!*")
    (repo / "none/.git").mkdir(parents=True)
    names = tuple(f"{name}/x" for name in ("full", "broken", "open", "none"))
    found = await kept_out.refused(place, (*names, "top"))
    assert set(found) == {*names}
    assert found["open/x"] == ""
    assert "exist" in found["full/x"]
    assert "bad config line" in found["broken/x"]
    assert found["none/x"] == "it is no repository that git knows"
