"""From a pod into the user's repository, through the door."""

from __future__ import annotations

from pathlib import Path

from rumpel.adapters import git_door, threads
from rumpel.adapters.git_door import Imported
from rumpel.adapters.git_wire import Limits
from tests.adapters.git.conftest import Pair
from tests.support.repo import Repo

LIMITS = Limits()


async def load(pair: Pair, pod: Repo | None = None, limits: Limits = LIMITS) -> Imported:
    """One import over a fresh upload-pack."""
    stream = await pair.upload_pack(pod)
    try:
        return await git_door.import_pod(pair.repo, pair.door, stream, limits)
    finally:
        await stream.close()


def left_over(door: Path) -> list[str]:
    return sorted(path.name for path in door.iterdir() if path.name != "packed-refs")


async def test_new_commits_arrive_and_nothing_else_changes(pair: Pair) -> None:
    before = pair.host.refs()
    oid = pair.pod.commit("work", {"new.txt": "new\n"})
    found = await load(pair)
    assert found.rejected == ()
    assert found == Imported({"alice": oid}, ())
    assert pair.host.git("show", f"{oid}:new.txt") == "new"
    assert pair.host.git("fsck", "--full", "--no-dangling") == ""
    assert pair.host.refs() == before
    assert await threads.call(git_door.branches, pair.door) == {"alice": oid}
    assert left_over(pair.door) == []


async def test_moves_new_branches_and_deletions_are_followed(pair: Pair) -> None:
    first = pair.pod.commit("one")
    assert (await load(pair)).branches == {"alice": first}
    pair.pod.git("commit", "-q", "--amend", "--allow-empty", "-m", "other")
    pair.pod.git("branch", "fix/login", "HEAD~1")
    amended, fix = pair.pod.oid("HEAD"), pair.pod.oid("HEAD~1")
    assert (await load(pair)).branches == {"alice": amended, "fix/login": fix}
    assert pair.host.refs("refs/rumpel") == {f"refs/rumpel/keep/pod-1/old/{first}": first}
    pair.pod.git("branch", "-q", "-D", "fix/login")
    pair.pod.git("branch", "fix", "HEAD")
    assert (await load(pair)).branches == {"alice": amended, "fix": amended}
    assert f"refs/rumpel/keep/pod-1/old/{fix}" in pair.host.refs("refs/rumpel")
    assert left_over(pair.door) == []


async def test_many_objects_come_as_a_pack(pair: Pair) -> None:
    oid = pair.pod.commit("many", {f"f/{number}.txt": f"{number}\n" for number in range(200)})
    assert (await load(pair)).branches == {"alice": oid}
    packs = sorted(path.suffix for path in (pair.host.root / ".git/objects/pack").iterdir())
    assert packs == [".idx", ".pack", ".rev"]
    assert pair.host.git("fsck", "--full", "--no-dangling") == ""
