"""What the user's own checkout is asked before a pod is made."""

from __future__ import annotations

import pytest

from rumpel.adapters import git_run, git_worktree, proc
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import Pair


async def test_uncommitted_files_are_counted_and_the_index_stays(pair: Pair) -> None:
    index = pair.host.root / ".git/index"
    assert await git_worktree.uncommitted(pair.repo) == 0
    pair.host.write({"README.md": "changed\n", "new\nline": "x", "folder/a": "", "folder/b": ""})
    before = index.read_bytes()
    assert await git_worktree.uncommitted(pair.repo) == 3
    assert index.read_bytes() == before


async def test_what_is_used_uncommitted_does_not_count(pair: Pair) -> None:
    used = [".devcontainer/devcontainer.json", ".rumpelpod.json", "*"]
    pair.host.write(dict.fromkeys(used[:2], "{}"))
    assert await git_worktree.uncommitted(pair.repo, besides=used) == 0
    pair.host.write({".devcontainer/Dockerfile": "", "README.md": "changed\n"})
    assert await git_worktree.uncommitted(pair.repo, besides=used) == 2


async def test_a_status_that_fails_is_no_number(pair: Pair) -> None:
    (pair.host.root / ".git/index").write_bytes(b"broken")
    assert await git_worktree.uncommitted(pair.repo) is None


def test_a_repository_nobody_can_write(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    git_worktree.check_writable(pair.repo)
    # Root may write whatever the mode says; the shape `read-only` has the real thing.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(RumpelError, match="cannot be written: permission denied"):
        git_worktree.check_writable(pair.repo)


def test_a_failed_command_is_named(pair: Pair) -> None:
    done = proc.Completed(("git",), 128, b"", b"fatal: no\n")
    said = git_run.failed(("-c", "pack.x=true", "pack-objects", "--quiet"), done).message
    assert said == "git pack-objects failed: fatal: no"
