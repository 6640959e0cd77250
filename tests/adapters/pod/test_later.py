"""A workspace whose files are left to a snapshot: each is written once, and none is missing."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.adapters.pod.support import Pod, git
from tests.adapters.pod.test_work import FILES, LIMITS, run, work
from tests.support.dirty import PROGRESS, dirty, photo_of


@pytest.fixture
def first(host: Path) -> str:
    return git(host, "rev-parse", "main")


@pytest.fixture
async def bare(pod: Pod, first: str) -> Pod:
    """Set up, with `later`."""
    await pod.start()
    assert await pod.setup(first, "later=yes") == first
    return pod


def names(pod: Pod) -> list[str]:
    return sorted(path.name for path in pod.workspace.iterdir())


async def test_only_head_is_set(bare: Pod, first: str) -> None:
    assert names(bare) == [".git"]
    assert bare.git("rev-parse", "HEAD") == first
    assert bare.git("log", "-g", "--format=%gs", "alice") == "rumpel: updating HEAD"
    assert await bare.setup(first, "later=yes") == first
    assert names(bare) == [".git"], "the same again"


@pytest.mark.parametrize("by", ["files", "setup", "take"])
async def test_the_files_come_without_a_snapshot(bare: Pod, first: str, by: str) -> None:
    """Whoever finds it like that: nobody is to work in a pod whose files all seem deleted."""
    (bare.workspace / "mine").write_text("mine")
    (bare.workspace / ".git/rumpel/index").write_text("of one that was killed")
    if by == "files":
        assert await bare.ask("files", str(bare.workspace)) == ""
    elif by == "setup":
        assert await bare.setup(first) == first
    else:
        assert " files=1 " in work(bare.shell, "take", str(bare.workspace), "alice", *LIMITS)
    assert bare.git("status", "--porcelain") == "?? mine"
    tracked = [bare.workspace / name for name in bare.git("ls-files").split()]
    assert {oct(path.stat().st_mode & 0o444) for path in tracked} == {"0o444"}
    (bare.workspace / "a.txt").unlink()
    assert await bare.setup(first) == first
    assert "D a.txt" in bare.git("status", "--porcelain"), "what is deleted now stays so"


async def test_what_is_there_keeps_it_from_being_left(pod: Pod, first: str) -> None:
    pod.workspace.mkdir()
    (pod.workspace / "old").write_text("old")
    await pod.start()
    await pod.setup(first, "later=yes")
    assert pod.git("status", "--porcelain") == "?? old"


@pytest.mark.parametrize("progress", sorted(PROGRESS))
def test_a_snapshot_is_put_there(shell: str, tmp_path: Path, progress: str) -> None:
    seed, source, target = random.randrange(1 << 30), tmp_path / "a", tmp_path / "b"
    git(tmp_path, "init", "-q", "-b", "p", str(source))
    filters = {".gitattributes": b"*.crlf text eol=crlf\n*.up filter=up\n", "one.up": b"UP\n"}
    for name, content in {**FILES, **filters}.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(content)
    git(source, "config", "filter.up.clean", "tr A-Z a-z")
    git(source, "config", "filter.up.smudge", "tr a-z A-Z")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "first")
    (source / ".git/rumpel").mkdir()
    run(source, dirty(random.Random(seed), progress))
    before = photo_of(source)
    oid = work(shell, "take", str(source), "p", *LIMITS).split()[1]
    shutil.copytree(source / ".git", target / ".git")
    scratch = target / ".git/rumpel/scratch"
    git(target, "fetch", "-q", str(scratch), "refs/heads/snapshot:refs/rumpel/restore")
    (target / ".git/index").unlink()
    (target / ".git/rumpel/later").touch()
    assert work(shell, "put", str(target), oid, "p") == f"restored {oid}\n"
    assert photo_of(target) == before, f"seed {seed}"
    assert (target / "one.up").read_bytes() == (source / "one.up").read_bytes()
    assert not (target / ".git/rumpel/later").exists()
