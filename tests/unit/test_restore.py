"""Who may write while work is put back, and under which name a pod comes back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from rumpel.adapters.git_trash import Deleted
from rumpel.daemon import undelete
from rumpel.errors import NameTaken, RumpelError
from rumpel.model import RepoRef
from rumpel.tasks import restore
from rumpel.tasks.world import PodAddress, SyncReport

OID = "a" * 40
REPO = RepoRef(repo_id="r", work_tree="/r", common_dir="/r/.git")
INPUTS = restore.Inputs(
    address=PodAddress(repo=REPO, host="local", pod="p", pod_id="a1", workspace_folder="/w"),
    container_id="c",
    user="u",
    as_main=False,
    oid=OID,
    is_new=False,
)
ENTRY = Deleted(
    pod="p",
    pod_id="a1",
    host="local",
    base_branch=None,
    base_oid=None,
    branches={"p": OID, "fix2": OID},
    snapshot=None,
    deleted_at=1.0,
    expires_at=2.0,
)


class Recorder:
    """Links and works: remembers what was asked for, and fails at `broken`."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def call(*_: Any) -> Any:
            self.asked.append(name)
            if name == self.broken:
                raise RumpelError(f"{name} failed")
            return SyncReport(branches={}) if name in ("sync", "look") else None

        return call


def context(pod: Recorder) -> Any:
    return SimpleNamespace(world=SimpleNamespace(links=pod, works=pod), log=str, fault=str)


async def test_nothing_runs_between_what_is_saved_and_what_is_put() -> None:
    pod = Recorder()
    await restore.run(context(pod), INPUTS)
    assert pod.asked[:6] == ["freeze", "look", "take", "put", "thaw", "connect"]


@pytest.mark.parametrize("broken", ["freeze", "look", "take", "put"])
async def test_the_pod_goes_on_whatever_fails(broken: str) -> None:
    pod = Recorder(broken)
    with pytest.raises(RumpelError, match=f"{broken} failed"):
        await restore.run(context(pod), INPUTS)
    assert pod.asked[-3:] == [broken, "thaw", "connect"]


async def test_a_new_pod_is_not_frozen() -> None:
    pod = Recorder()
    await restore.run(context(pod), replace(INPUTS, is_new=True))
    await restore.undo(context(pod), replace(INPUTS, is_new=True))
    assert pod.asked == ["put", "bring_files", "sync", "refresh_dirty"]


def test_a_name_that_one_of_its_branches_has() -> None:
    """Its own branch is renamed to it: one of the two would be lost."""
    app: Any = SimpleNamespace(pods=SimpleNamespace(find=lambda *_: None))
    where: Any = SimpleNamespace(ref=REPO)
    for name in ("p", "fix3"):
        undelete._refuse_taken(app, where, ENTRY, name)
    with pytest.raises(NameTaken, match="branch 'fix2'"):
        undelete._refuse_taken(app, where, ENTRY, "fix2")
