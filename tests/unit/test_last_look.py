"""What a forced delete still saves of a pod whose repository cannot be imported."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rumpel.adapters.git_trash import Deleted, Snapshot
from rumpel.errors import RumpelError
from rumpel.model import RepoRef
from rumpel.tasks import guard, keep
from rumpel.tasks.world import Access, PodAddress, Taken

OID = "a" * 40
POD = PodAddress(
    repo=RepoRef(repo_id="r", work_tree="/r", common_dir="/r/.git"),
    host="local",
    pod="p",
    pod_id="a1",
    workspace_folder="/w",
)
ACCESS = Access(container_id="c", user="u", as_main=False)
SNAPSHOT = Snapshot(oid=OID, pod_id="a1", kind="delete", at=1, ref="r")


class BrokenPod:
    """Links and works of a pod whose commits cannot be imported; its files can be read."""

    def __init__(self, *, can_take: bool) -> None:
        self.can_take = can_take
        self.buried: list[tuple[Deleted, bool]] = []

    async def connect(self, *_: Any) -> None: ...

    looked = connect

    async def freeze(self, *_: Any) -> None: ...

    async def sync(self, *_: Any) -> None:
        raise RumpelError("broken objects")

    look = sync

    def branches(self, _: str) -> dict[str, str]:
        return {"p": OID}

    def deleted_modules(self, _: PodAddress) -> tuple[()]:
        return ()

    async def keep(self, _: PodAddress) -> int:
        return 1

    async def take(self, *_: Any) -> Taken:
        if not self.can_take:
            raise RumpelError("no files either")
        return Taken(snapshot=SNAPSHOT, is_work=True, files=3, left=("file huge",))

    async def bury(self, _: PodAddress, entry: Deleted, *, was_seen: bool) -> None:
        self.buried.append((entry, was_seen))


def context(pod: BrokenPod) -> Any:
    world = SimpleNamespace(
        stand_ins=set(),
        links=pod,
        works=pod,
        container=lambda *_: SimpleNamespace(status="running"),
        looked=pod.looked,
        host=str,
    )
    return SimpleNamespace(world=world, log=str, fault=str)


def inputs(*, force: bool) -> keep.Inputs:
    return keep.Inputs(
        address=POD,
        access=ACCESS,
        base_branch=None,
        base_oid=None,
        forwards=(),
        force=force,
        keep_s=60.0,
        can_look=True,
        stand_in=None,
        was_stopped=False,
        tips=(),
        lost=(),
    )


async def test_a_failing_import_still_lets_keep_look() -> None:
    ctx = context(BrokenPod(can_take=True))
    found = await guard.run(ctx, guard.Inputs(address=POD, access=ACCESS, force=True))
    assert found.can_look
    assert found.lost == ("broken objects",)


async def test_a_snapshot_is_taken_without_an_import() -> None:
    pod = BrokenPod(can_take=True)
    done = await keep.run(context(pod), inputs(force=True))
    assert (done.snapshot, done.files, done.lost) == (OID, 3, ("broken objects", "file huge"))
    ((entry, was_seen),) = pod.buried
    assert (entry.snapshot, was_seen) == (OID, True)
    with pytest.raises(RumpelError, match="broken objects"):
        await keep.run(context(pod), inputs(force=False))


async def test_a_pod_that_could_not_be_looked_into_was_not_seen() -> None:
    pod = BrokenPod(can_take=False)
    await keep.run(context(pod), inputs(force=True))
    ((entry, was_seen),) = pod.buried
    assert (entry.snapshot, was_seen) == (None, False)
