"""The host's branches into a gateway's repository, and the tar it is born from."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from rumpel.adapters import git, git_push, threads
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import SHA256, LocalStream, Pair, seed_tar
from tests.support.repo import Repo

HEADS = "+refs/heads/*:refs/heads/*"
THEN = 'git receive-pack "$1" || exit; git --git-dir="$1" symbolic-ref HEAD "$2"'


async def seed(pair: Pair, tmp_path: Path) -> Repo:
    """The gateway's repository as it is born."""
    repo = await threads.call(git.discover, str(pair.host.root))
    await seed_tar(repo, tmp_path / "seed.tar")
    with tarfile.open(tmp_path / "seed.tar") as tar:
        tar.extractall(tmp_path / "host.git")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("seed-")] == []
    return Repo(tmp_path / "host.git", pair.home.environment(None))


async def push(pair: Pair, bare: Repo, *refspecs: str, prune: bool = True) -> None:
    repo = await threads.call(git.discover, str(pair.host.root))
    head = await threads.call(git.head, repo)
    stream = await LocalStream.start(
        *("sh", "-c", THEN, "sh", str(bare.root), f"refs/heads/{head.branch}"),
        cwd=Path("/"),
        env=bare.env,
    )
    await git_push.push_from(repo, stream, refspecs or (HEADS,), prune=prune, timeout_s=20)


async def test_seed_is_a_whole_repository(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("branch", "fix/login")
    bare = await seed(pair, tmp_path)
    assert bare.git("fsck", "--full") == ""
    assert bare.refs() == pair.host.refs("refs/heads")
    assert bare.git("symbolic-ref", "HEAD") == "refs/heads/main"
    bare.git("clone", "-q", "--shared", str(bare.root), str(tmp_path / "work"))
    assert (tmp_path / "work/README.md").read_text() == "# Project\n"


async def test_seed_has_no_stash_and_nothing_thrown_away(pair: Pair, tmp_path: Path) -> None:
    pair.host.write({"README.md": "secret\n"})
    pair.host.git("stash")
    secret = pair.host.oid("stash")
    bare = await seed(pair, tmp_path)
    assert bare.run_git("cat-file", "-e", secret).returncode != 0


async def test_push_follows_moves_deletions_and_head(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("branch", "fix")
    bare = await seed(pair, tmp_path)
    pair.host.git("branch", "-D", "fix")
    pair.host.git("switch", "-q", "-c", "fix/login")
    pair.host.git("commit", "-q", "--amend", "-m", "other")
    await push(pair, bare)
    assert bare.refs() == pair.host.refs("refs/heads")
    assert bare.git("symbolic-ref", "HEAD") == "refs/heads/fix/login"


async def test_user_hooks_and_configuration_cannot_stop_a_push(pair: Pair, tmp_path: Path) -> None:
    bare = await seed(pair, tmp_path)
    hook = pair.host.root / ".git/hooks/pre-push"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    for key, value in {
        "push.gpgSign": "true",
        "push.followTags": "true",
        "push.pushOption": "x",
        "push.recurseSubmodules": "check",
        "protocol.allow": "never",
    }.items():
        pair.host.git("config", key, value)
    pair.host.git("tag", "-a", "-m", "x", "v1")
    pair.host.commit("two")
    await push(pair, bare)
    assert bare.refs() == pair.host.refs("refs/heads")


async def test_detached_head_is_sent(pair: Pair, tmp_path: Path) -> None:
    pair.host.commit("two")
    pair.host.git("checkout", "-q", "--detach", "HEAD~1")
    oid = pair.host.commit("detached")
    bare = await seed(pair, tmp_path)
    assert bare.git("rev-parse", "HEAD") == oid
    assert bare.git("fsck", "--full") == ""
    newer = pair.host.commit("newer")
    await push(pair, bare, HEADS, "+HEAD:refs/rumpel/head")
    assert bare.refs("refs/rumpel") == {"refs/rumpel/head": newer}


async def test_repository_without_a_commit(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("update-ref", "-d", "refs/heads/main")
    bare = await seed(pair, tmp_path)
    assert bare.refs() == {}
    assert bare.git("symbolic-ref", "HEAD") == "refs/heads/main"
    await push(pair, bare)
    pair.host.commit("first")
    await push(pair, bare)
    assert bare.refs() == pair.host.refs("refs/heads")


@SHA256
async def test_sha256_repository(pair: Pair, tmp_path: Path) -> None:
    bare = await seed(pair, tmp_path)
    pair.host.commit("two")
    await push(pair, bare)
    assert bare.refs() == pair.host.refs("refs/heads")
    assert len(bare.oid("HEAD")) == 64


async def test_shallow_repository(pair: Pair, tmp_path: Path) -> None:
    pair.host.commit("two")
    pair.host.commit("three")
    url = f"file://{pair.host.root}"
    pair.host.git("clone", "-q", "--depth=2", url, str(tmp_path / "shallow"))
    shallow = Pair(
        Repo(tmp_path / "shallow", pair.host.env), pair.pod, pair.door, pair.home, pair.repo
    )
    bare = await seed(shallow, tmp_path)
    assert bare.git("fsck", "--full") == ""
    assert bare.git("rev-list", "--count", "HEAD") == "2"
    shallow.host.commit("four")
    await push(shallow, bare)
    assert bare.git("rev-list", "--count", "HEAD") == "3"


async def test_linked_worktree(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Pair(Repo(tmp_path / "side", pair.host.env), pair.pod, pair.door, pair.home, pair.repo)
    side.host.commit("on the side")
    bare = await seed(side, tmp_path)
    assert bare.git("symbolic-ref", "HEAD") == "refs/heads/side"
    side.host.commit("more")
    await push(side, bare)
    assert bare.refs() == pair.host.refs("refs/heads")


async def test_refused_push_says_why(pair: Pair, tmp_path: Path) -> None:
    bare = await seed(pair, tmp_path)
    bare.git("config", "receive.denyNonFastForwards", "true")
    pair.host.git("commit", "-q", "--amend", "-m", "other")
    with pytest.raises(RumpelError, match="non-fast-forward"):
        await push(pair, bare)


async def test_server_that_is_no_git(pair: Pair, tmp_path: Path) -> None:
    stream = await LocalStream.start("sh", "-c", "echo hello", cwd=tmp_path, env=pair.host.env)
    with pytest.raises(RumpelError, match="git push failed"):
        await git_push.push_from(pair.repo, stream, (HEADS,), prune=True, timeout_s=20)
