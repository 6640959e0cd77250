"""Uncommitted work: who waits for whom, and what is not left open."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.git_limits import Limits
from rumpel.daemon.works import WorkKeeper
from rumpel.errors import RumpelError
from rumpel.model import RepoRef
from rumpel.tasks.world import Access, PodAddress

ACCESS = Access(container_id="c", user="dev", as_main=False, is_set_up=True)


class Engine:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def inspect(self, container: str) -> Any:
        self.asked.append("inspect")
        raise RumpelError("gone")

    async def exec_stream(self, *_: Any, **__: Any) -> Any:
        self.asked.append("exec_stream")
        raise RumpelError("gone")


def keeper(engine: Engine, folder: Path) -> WorkKeeper:
    return WorkKeeper(lambda _: cast(DockerHost, engine), folder, lambda _: Limits())


def pod(folder: Path) -> PodAddress:
    repo = RepoRef(repo_id="r" * 40, work_tree=str(folder), common_dir=str(folder / ".git"))
    return PodAddress(
        repo=repo, pod="p", pod_id="i", host="local", workspace_folder="/workspaces/repo"
    )


async def test_what_takes_a_snapshot_is_not_frozen(tmp_path: Path) -> None:
    """Stopped, it would hold the lock until its time is over."""
    engine = Engine()
    works, where = keeper(engine, tmp_path), pod(tmp_path)
    async with works._lock(where):
        freezing = asyncio.ensure_future(works.freeze(where, ACCESS))
        for _ in range(10):
            await asyncio.sleep(0)
        assert engine.asked == []
    with pytest.raises(RumpelError, match="gone"):
        await freezing
    assert engine.asked == ["inspect"]


async def test_no_stream_is_opened_for_a_repository_that_is_gone(tmp_path: Path) -> None:
    engine = Engine()
    with pytest.raises(RumpelError):
        await keeper(engine, tmp_path).put(pod(tmp_path), ACCESS, "1" * 40)
    assert engine.asked == []
