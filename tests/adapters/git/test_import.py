"""From a pod into the user's repository, through the door."""

from __future__ import annotations

import asyncio
import tarfile
import tempfile
from pathlib import Path

import pytest

from rumpel.adapters import git_door, threads
from rumpel.adapters.git_door import Imported
from rumpel.adapters.git_limits import Limits
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import SHA256, LocalStream, Pair, seed_tar
from tests.support.repo import Repo

LIMITS = Limits()
KEPT = ("packed-refs", "usage")


async def load(pair: Pair, pod: Repo | None = None, limits: Limits = LIMITS) -> Imported:
    """One import over a fresh upload-pack."""
    stream = await pair.upload_pack(pod)
    try:
        return await git_door.import_pod(pair.repo, pair.door, stream, limits)
    finally:
        await stream.close()


async def begun(pair: Pair) -> None:
    """An import has made its quarantine."""
    while not list(pair.door.glob("incoming-*")):  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(0.01)


def left_over(door: Path) -> list[str]:
    return sorted(path.name for path in door.iterdir() if path.name not in KEPT)


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
    assert packs == [".idx", ".pack"]
    assert pair.host.git("fsck", "--full", "--no-dangling") == ""


async def test_few_objects_come_as_files(pair: Pair) -> None:
    """A pack for each commit would soon make the user's repository slow."""
    for number in range(3):
        pair.pod.commit(f"{number}", {"README.md": f"# Project\n{number}\n" * 40})
        await load(pair)
    assert list((pair.host.root / ".git/objects/pack").glob("*")) == []
    assert pair.host.git("fsck", "--full", "--no-dangling") == ""


@SHA256
async def test_sha256(pair: Pair) -> None:
    oid = pair.pod.commit("work", {"new.txt": "new\n"})
    assert (await load(pair)).branches == {"alice": oid}
    assert list((pair.host.root / ".git/objects/pack").glob("*")) == []
    newer = pair.pod.commit("many", {f"f/{number}": f"{number}\n" for number in range(200)})
    assert (await load(pair)).branches == {"alice": newer}
    pair.pod.git("reset", "-q", "--hard", oid)
    assert (await load(pair)).branches == {"alice": oid}
    assert list(pair.host.refs("refs/rumpel")) == [f"refs/rumpel/keep/pod-1/old/{newer}"]
    assert pair.host.git("fsck", "--full", "--no-dangling") == ""


async def test_parked_server_sees_newer_commits(pair: Pair) -> None:
    stream = await pair.upload_pack()
    await asyncio.sleep(0.1)
    oid = pair.pod.commit("later")
    assert (await git_door.import_pod(pair.repo, pair.door, stream)).branches == {"alice": oid}
    await stream.close()


async def test_server_of_the_old_protocol(pair: Pair) -> None:
    oid = pair.pod.commit("work", {f"{number}": "x" for number in range(150)})
    stream = await pair.upload_pack(protocol="version=0")
    assert (await git_door.import_pod(pair.repo, pair.door, stream)).branches == {"alice": oid}
    await stream.close()


async def test_pod_without_a_commit(pair: Pair, tmp_path: Path) -> None:
    empty = Repo.create(tmp_path / "empty", pair.host.env)
    assert await load(pair, empty) == Imported({}, ())
    oid = empty.commit("first")
    assert await load(pair, empty) == Imported({"main": oid}, ())


async def test_detached_pod(pair: Pair) -> None:
    pair.pod.git("checkout", "-q", "--detach")
    pair.pod.commit("on no branch")
    assert (await load(pair)).branches == {"alice": pair.pod.oid("alice")}


async def test_shallow_host(pair: Pair, tmp_path: Path) -> None:
    pair.host.commit("two")
    pair.host.git("clone", "-q", "--depth=1", f"file://{pair.host.root}", str(tmp_path / "s"))
    host = Repo(tmp_path / "s", pair.host.env)
    host.git("clone", "-q", str(host.root), str(tmp_path / "p"))
    pod = Repo(tmp_path / "p", pair.host.env)
    oid = pod.commit("work", {"new.txt": "new\n"})
    shallow = await pair.of(host, pod)
    assert await load(shallow) == Imported({"main": oid}, ())
    assert host.git("fsck", "--full", "--no-dangling") == ""


async def test_pod_that_cut_its_history_off_is_told(pair: Pair, tmp_path: Path) -> None:
    other = Repo.create(tmp_path / "other", pair.host.env)
    for number in range(3):
        other.commit(f"{number}", {"x": f"{number}"})
    pair.pod.git("fetch", "-q", "--depth=1", f"file://{other.root}", "main:cut")
    oid = pair.pod.commit("work")
    found = await load(pair)
    assert found.branches == {"alice": oid}
    assert [name for name, _ in found.rejected] == ["cut"]
    assert "shallow" in found.rejected[0][1]


async def test_last_words_of_git_come_without_their_end(pair: Pair) -> None:
    pair.pod.commit("work", {"new.txt": "new\n"})
    blob = pair.pod.oid("HEAD:new.txt")
    (pair.pod.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(RumpelError, match="corruption on the remote side") as caught:
        await load(pair)
    assert caught.value.message.isprintable()


async def test_linked_worktree_as_host(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = await pair.of(Repo(tmp_path / "side", pair.host.env), pair.pod)
    oid = pair.pod.commit("work", {"new.txt": "new\n"})
    assert (await load(side)).branches == {"alice": oid}
    assert pair.host.git("cat-file", "-t", oid) == "commit"


async def test_host_that_borrows_objects(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("clone", "-q", "--shared", str(pair.host.root), str(tmp_path / "shared"))
    host = Repo(tmp_path / "shared", pair.host.env)
    oid = pair.pod.commit("work", {"new.txt": "new\n"})
    assert (await load(await pair.of(host, pair.pod))).branches == {"alice": oid}
    assert host.git("fsck", "--full", "--no-dangling") == ""


async def test_state_on_another_file_system(pair: Pair) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        if Path(folder).stat().st_dev == pair.host.root.stat().st_dev:
            pytest.skip("/dev/shm is on the same file system")
        pair.door = Path(folder, "pod-1")
        oid = pair.pod.commit("many", {f"f/{number}": f"{number}\n" for number in range(200)})
        assert (await load(pair)).branches == {"alice": oid}
    assert pair.host.git("fsck", "--full", "--no-dangling") == ""
    assert not list((pair.host.root / ".git/objects").rglob("tmp_*"))


async def test_import_after_the_user_threw_everything_away(pair: Pair) -> None:
    oid = pair.pod.commit("work", {"new.txt": "new\n"})
    await load(pair)
    pair.host.git("gc", "-q", "--prune=now")
    assert pair.host.run_git("cat-file", "-e", oid).returncode != 0
    assert (await load(pair)).branches == {"alice": oid}
    assert pair.host.git("show", f"{oid}:new.txt") == "new"


async def test_configuration_of_user_and_environment_plays_no_part(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = pair.home.path / "canary"
    for key, value in {
        "core.fsmonitor": f"touch {canary}",
        "core.hooksPath": str(pair.home.path),
        "fetch.fsckObjects": "false",
        "fetch.prune": "true",
        "remote.pushDefault": "x",
    }.items():
        pair.host.git("config", key, value)
        pair.host.git("config", "--global", key, value)
    hook = pair.home.path / "reference-transaction"
    hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
    hook.chmod(0o755)
    oid = pair.pod.git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "x")
    (pair.pod.root / ".git/refs/heads/alice").write_text(f"{oid}\n")
    canary.unlink(missing_ok=True)
    with monkeypatch.context() as patch:
        patch.setenv("GIT_DIR", "/nowhere")
        patch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
        stream = await pair.upload_pack()
        assert (await git_door.import_pod(pair.repo, pair.door, stream)).branches == {"alice": oid}
        await stream.close()
    assert not canary.exists()


async def test_an_import_leaves_another_one_alone(pair: Pair) -> None:
    """One that was made ready waits beside the one that runs."""
    go = asyncio.Event()
    stream = await pair.upload_pack()
    waiting = asyncio.ensure_future(git_door.import_pod(pair.repo, pair.door, stream, go=go))
    await begun(pair)
    oid = pair.pod.commit("one")
    assert (await load(pair)).branches == {"alice": oid}
    second = pair.pod.commit("two")
    go.set()
    assert await waiting == Imported({"alice": second}, ())
    await stream.close()
    assert left_over(pair.door) == []


async def test_cancelled_import_leaves_nothing(pair: Pair) -> None:
    stream = await LocalStream.start("sleep", "60", cwd=Path("/"), env=pair.host.env)
    task = asyncio.ensure_future(git_door.import_pod(pair.repo, pair.door, stream))
    await begun(pair)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert left_over(pair.door) == []
    await stream.close()


async def test_removed_door_has_no_branches(pair: Pair) -> None:
    await load(pair)
    await git_door.remove(pair.door)
    await git_door.remove(pair.door)
    assert await threads.call(git_door.branches, pair.door) == {}


async def test_host_that_is_a_partial_clone(pair: Pair, tmp_path: Path) -> None:
    for number in range(3):
        pair.host.commit(f"{number}", {"README.md": f"{number}\n"})
    pair.host.git("config", "uploadpack.allowFilter", "true")
    url = f"file://{pair.host.root}"
    pair.host.git("clone", "-q", "--filter=blob:none", url, str(tmp_path / "partial"))
    host = Repo(tmp_path / "partial", pair.host.env)
    partial = await pair.of(host, pair.pod)
    pair.pod.git("pull", "-q", "origin", "main")
    oid = pair.pod.commit("work", {"new.txt": "new\n"})
    assert await load(partial) == Imported({"alice": oid}, ())
    assert host.git("show", f"{oid}:new.txt") == "new"
    await seed_tar(partial.repo, tmp_path / "seed.tar")
    with tarfile.open(tmp_path / "seed.tar") as tar:
        tar.extractall(tmp_path / "seed")
    assert Repo(tmp_path / "seed", pair.host.env).git("fsck", "--full") == ""
