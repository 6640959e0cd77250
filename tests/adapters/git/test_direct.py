"""The everyday import: one git process on the host, and a proof of our own that it is whole."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path

import pytest

from rumpel.adapters import git_door, git_wire
from rumpel.adapters.git_limits import Limits
from rumpel.daemon import imports
from rumpel.daemon.parking import UPLOAD_PACKS
from rumpel.errors import TimedOut
from tests.adapters.git.conftest import LocalStream, Pair
from tests.adapters.git.test_import import left_over, load
from tests.adapters.git.test_servers import GREETING


@pytest.fixture
def called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the verb of each git that rumpel starts."""
    log, folder = tmp_path / "called", tmp_path / "bin"
    folder.mkdir()
    wrapper = folder / "git"
    wrapper.write_text(
        f"#!/bin/sh\nfor word; do case $word in -*|*=*) ;; *) echo $word >>{log}; break;; esac; "
        f'done\nexec {shutil.which("git")} "$@"\n'
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    log.touch()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def verbs(called: Path) -> list[str]:
    return [verb for verb in called.read_text().split() if verb != "upload-pack"]


async def test_one_process_for_a_commit(quick: Pair, called: Path) -> None:
    quick.pod.commit("first of its own")
    await load(quick)
    called.write_text("")
    oid = quick.pod.commit("work", {"src/app.py": "print(2)\n", "new/deep/file": "new\n"})
    assert (await load(quick)).branches == {"alice": oid}
    assert verbs(called) == ["index-pack"]
    assert quick.host.git("fsck", "--full", "--no-dangling") == ""


async def test_no_process_when_nothing_moved_or_the_host_has_it(quick: Pair, called: Path) -> None:
    oid = quick.pod.commit("work")
    await load(quick)
    called.write_text("")
    quick.pod.git("branch", "other")
    assert (await load(quick)).branches == {"alice": oid, "other": oid}
    assert verbs(called) == []
    quick.pod.git("branch", "-D", "-q", "other")
    assert (await load(quick)).branches == {"alice": oid}
    assert verbs(called) == ["update-ref"]  # what `other` was is kept


async def test_amended_commit_takes_two_questions(quick: Pair, called: Path) -> None:
    old = quick.pod.commit("work", {"a": "1\n"})
    await load(quick)
    called.write_text("")
    quick.pod.git("commit", "-q", "--amend", "--allow-empty", "-m", "better")
    assert (await load(quick)).branches == {"alice": quick.pod.oid("alice")}
    assert "fetch" not in verbs(called)
    assert list(quick.host.refs("refs/rumpel")) == [f"refs/rumpel/keep/pod-1/old/{old}"]


async def test_branch_far_behind_is_left_to_git(quick: Pair, called: Path) -> None:
    """The host's branches went on, and the pod knows none: git finds what both have."""
    base = quick.host.oid("main")
    for number in range(3):
        quick.host.commit(f"host {number}", {"README.md": f"{number}\n"})
    assert quick.pod.oid("alice") == base
    oid = quick.pod.commit("work", {"b": "2\n"})
    assert (await load(quick)).branches == {"alice": oid}
    assert "fetch" in verbs(called)


class Silent:
    """Says what it is given, then nothing; `is_read` once somebody waits for more."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.is_read, self.is_closed = asyncio.Event(), asyncio.Event()

    async def read(self) -> tuple[int, bytes] | None:
        if self._pieces:
            return 1, self._pieces.pop(0)
        self.is_read.set()
        await self.is_closed.wait()
        return None

    async def write(self, data: bytes, /) -> None: ...

    async def write_eof(self) -> None: ...

    async def close(self) -> None:
        self.is_closed.set()


@pytest.mark.parametrize("begun", [b"", GREETING[:20], b"000e"])
async def test_time_counts_from_go_though_nobody_greeted(quick: Pair, begun: bytes) -> None:
    stream, go = Silent(*filter(None, [begun])), asyncio.Event()
    importing = asyncio.ensure_future(
        git_door.import_pod(quick.repo, quick.door, stream, Limits(seconds=1), go=go)
    )
    await stream.is_read.wait()
    go.set()
    with pytest.raises(TimedOut, match="within 1 s"):
        await importing
    assert left_over(quick.door) == []


async def shell(pair: Pair) -> LocalStream:
    """What the daemon starts in a pod."""
    return await LocalStream.start(
        *("/bin/sh", "-c", UPLOAD_PACKS, "sh", str(pair.pod.root / ".git")),
        cwd=Path("/"),
        env=pair.home.environment({"GIT_PROTOCOL": "version=2"}),
    )


async def test_one_stream_serves_import_after_import_and_ends_with_it(quick: Pair) -> None:
    stream = await shell(quick)
    for number in range(3):
        oid = quick.pod.commit(f"{number}")
        found = await git_door.import_pod(quick.repo, quick.door, stream)
        assert (found.branches, found.is_stream_free) == ({"alice": oid}, True)
        await stream.write(git_wire.GOODBYE)
    await stream.write_eof()
    async with asyncio.timeout(20):  # a loop that does not look at its input spins for ever
        while await stream.read() is not None:
            pass
        await stream.process.wait()
    await stream.close()


async def test_goodbye_to_who_does_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stuck(Silent):
        async def write(self, data: bytes, /) -> None:
            await self.is_closed.wait()

    monkeypatch.setattr(imports, "GOODBYE_S", 0.01)
    async with asyncio.timeout(20):
        assert not await imports.said_goodbye(Stuck())
    assert await imports.said_goodbye(Silent())
