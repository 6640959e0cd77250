"""Who may write down what was imported: not an import that ends when the last look was taken."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rumpel.adapters.git_door import Imported
from rumpel.cache.events import EventLog
from rumpel.daemon.imports import Imports
from rumpel.daemon.podsync import PodSync
from rumpel.errors import HostUnreachable
from rumpel.model import RepoRef
from rumpel.tasks.world import Access, PodAddress

POD = PodAddress(
    repo=RepoRef(repo_id="r", work_tree="/r", common_dir="/r/.git"),
    host="local",
    pod="p",
    pod_id="a1",
    workspace_folder="/w",
)
ACCESS = Access(container_id="c", user="u", as_main=False)
OLD, NEW = {"p": "a" * 40}, {"p": "b" * 40}


class World:
    """Door, repository, submodules and large files of one pod; an import waits to be let go."""

    def __init__(self) -> None:
        self.branches: dict[str, Any] = {}
        self.writes: list[Any] = []
        self.asked: list[asyncio.Future[dict[str, str]]] = []
        self.limits = None

    def path(self, *_: Any) -> Path:
        return Path("/door")

    async def upload_pack(self, *_: Any) -> Any:
        async def close() -> None: ...

        return SimpleNamespace(close=close)

    async def import_from(self, state: PodSync, *_: Any, publish: Any, **__: Any) -> Imported:
        """As `Doors` and `git_door.import_pod` do it: fetch, replace the list, show."""
        self.asked.append(asyncio.get_running_loop().create_future())
        imported = Imported(await self.asked[-1], ())
        async with state.current():
            self.writes.append(imported.branches)
        await publish(imported)
        return imported

    async def publish(self, pod_id: str, _: str, branches: dict[str, str]) -> None:
        await asyncio.sleep(0)
        self.branches[pod_id] = branches

    async def bring(self, *_: Any, **__: Any) -> None: ...

    async def sync(self, *_: Any, **__: Any) -> tuple[()]:
        return ()

    def unsaved(self, _: str) -> int:
        return 0


async def begun(world: World, imports: Imports, state: PodSync) -> asyncio.Task[Any]:
    count = len(world.asked)
    task = asyncio.ensure_future(imports.run(state, is_asked_for=True))
    await turns()
    assert len(world.asked) == count + 1
    return task


async def turns() -> None:
    """What can run without waiting for anybody has run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_import_that_ends_after_the_last_look_writes_nothing() -> None:
    world: Any = World()
    imports = Imports(
        doors=world,
        repo=lambda _: world,
        modules=world,
        large=world,
        events=EventLog(time.time, lambda: None),
    )
    late, last = PodSync(POD, ACCESS), PodSync(POD, ACCESS)
    other = await begun(world, imports, late)
    await late.end()  # as `LinkManager.close` does, at the beginning of the last look
    look = await begun(world, imports, last)
    world.asked[1].set_result(NEW)
    assert (await look).branches == NEW
    world.asked[0].set_result(OLD)
    with pytest.raises(HostUnreachable, match="closed"):
        await other
    assert world.branches == {"a1": NEW}
    assert world.writes == [NEW]


async def test_who_takes_over_waits_for_what_is_just_written() -> None:
    state, order = PodSync(POD, ACCESS), list[str]()

    async def write() -> None:
        async with state.current():
            order.append("begun")
            await asyncio.sleep(0.01)
            order.append("written")

    writing = asyncio.ensure_future(write())
    await turns()
    await state.end()
    assert order == ["begun", "written"]
    await writing
