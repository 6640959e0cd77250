"""Faults of this machine and of servers that die: nothing that a branch is refused for."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rumpel.adapters import git_door, git_run, threads
from rumpel.adapters.git_limits import Refused
from rumpel.adapters.git_wire import MAX_DRAIN_BYTES
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import BLOB, Liar, bands, listing, number, pkt
from tests.adapters.git.test_import import left_over, load
from tests.adapters.git.test_turns import Flood

OID = "1" * 40
Instead = Callable[[str], None]


@pytest.fixture
def instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Instead:
    """What our own `git index-pack` does from now on, as a line of sh; "" for what it always does.

    The one of git fetch is another.
    """
    folder, line = tmp_path / "bin", tmp_path / "instead"
    folder.mkdir()
    (folder / "git").write_text(
        f'#!/bin/sh\ncase " $* " in *" index-pack "*) . {line};; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    (folder / "git").chmod(0o755)
    line.touch()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def change(text: str) -> None:
        line.write_text(f"{text}\n")

    return change


@pytest.mark.parametrize(
    "fault",
    [
        "kill -KILL $$",
        "kill -TERM $$",
        "cat >/dev/null; echo 'fatal: write error: No space left on device' >&2; exit 128",
    ],
)
async def test_a_fault_of_this_machine_refuses_nothing(
    quick: Pair, instead: Instead, fault: str
) -> None:
    old = quick.pod.commit("before")
    await load(quick)
    oid = quick.pod.commit("work")
    instead(fault)
    with pytest.raises(RumpelError, match="import failed") as caught:
        await load(quick)
    assert not isinstance(caught.value, Refused)
    assert await threads.call(git_door.branches, quick.door) == {"alice": old}
    assert left_over(quick.door) == []
    instead("")
    assert (await load(quick)).branches == {"alice": oid}


@pytest.mark.parametrize("fault", ["kill -XFSZ $$", "kill -SEGV $$", "exit 1"])
async def test_what_a_pack_does_to_git_is_a_reason(
    quick: Pair, instead: Instead, fault: str
) -> None:
    quick.pod.commit("work")
    instead(fault)
    stream = await quick.upload_pack()
    found = await git_door.import_pod(quick.repo, quick.door, stream, reopen=quick.upload_pack)
    await stream.close()
    assert [name for name, _ in found.rejected] == ["alice"]


@pytest.mark.parametrize(
    ("code", "said", "is_ours"),
    [
        (128, "error: index-pack died of signal 9; fatal: index-pack failed", True),
        (128, "error: index-pack died of signal 25; fatal: index-pack failed", False),
        (128, "fatal: cannot create thread: Resource temporarily unavailable", True),
        (128, "fatal: Out of memory, malloc failed", False),
        (128, "fatal: early EOF", False),
        (-15, "", True),
        (0, "warning: No space left on device", False),
    ],
)
def test_whose_fault_it_is(code: int, said: str, is_ours: bool) -> None:
    assert git_run.is_hosts_fault(code, said) == is_ours


async def test_a_branch_whose_server_died_is_asked_for_once_more(quick: Pair) -> None:
    oid = quick.pod.commit("work")
    dead = Liar(listing({b"refs/heads/alice": oid}))
    found = await git_door.import_pod(quick.repo, quick.door, dead, reopen=quick.upload_pack)
    assert (found.branches, found.rejected) == ({"alice": oid}, ())


async def test_a_server_that_died_is_no_refusal(quick: Pair) -> None:
    dead = Liar(listing({b"refs/heads/alice": OID}))
    with pytest.raises(RumpelError, match="the pod hung up") as caught:
        await git_door.import_pod(quick.repo, quick.door, dead)
    assert not isinstance(caught.value, Refused)


def endless() -> Iterator[bytes]:
    """A pack with 256 MiB that are not compressed, and nobody has made before it is read."""
    block, times = bytes(1 << 16), 4096
    size = len(block) * times
    yield pkt(b"packfile\n")
    first, rest = BLOB << 4 | size & 15 | 0x80, size >> 4
    yield bands(b"PACK\0\0\0\2\0\0\0\1" + bytes([first]) + number(rest))
    deflater = zlib.compressobj(0)
    for _ in range(times):
        if data := deflater.compress(block):
            yield bands(data)


async def test_nothing_is_read_for_an_index_pack_that_has_ended(
    quick: Pair, good: str, instead: Instead
) -> None:
    await load(quick)
    instead("echo 'fatal: bad object' >&2; exit 128")
    refs = {b"refs/heads/alice": good, b"refs/heads/evil": OID}
    flood = Flood([listing(refs)], endless())
    found = await git_door.import_pod(quick.repo, quick.door, flood, reopen=quick.upload_pack)
    assert found.rejected == (("evil", "fatal: bad object"),)
    assert found.branches == {"alice": good}
    assert not found.is_stream_free
    assert flood.given < MAX_DRAIN_BYTES + (4 << 20)
    assert left_over(quick.door) == []
