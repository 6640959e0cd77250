"""A fresh workspace."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rumpel.errors import RumpelError
from tests.adapters.pod.support import POD_ID, Pod, commit, git, kill_session


def push(host: Path, seed: Path) -> None:
    git(host, "push", "-q", "--prune", str(seed), "+refs/heads/*:refs/heads/*")


async def test_a_clone_on_its_own_branch(pod: Pod, host: Path, seed: Path) -> None:
    tip = git(host, "rev-parse", "main")
    await pod.start()
    assert await pod.setup(tip, "remote=origin=https://example.org/x.git") == tip
    assert pod.git("status", "--porcelain", "--branch") == "## alice...host/main"
    assert (pod.workspace / "a.txt").read_text() == "a2\n"
    assert pod.git("for-each-ref", "--format=%(refname) %(objectname) %(symref)").splitlines() == [
        f"refs/heads/alice {tip} ",
        f"refs/remotes/host/HEAD {tip} refs/remotes/host/main",
        f"refs/remotes/host/feature/x {git(host, 'rev-parse', 'feature/x')} ",
        f"refs/remotes/host/main {tip}",
    ]
    assert pod.git("remote").splitlines() == ["host", "origin"]
    assert pod.git("remote", "get-url", "origin") == "https://example.org/x.git"
    assert pod.git("config", "user.name") == "Ada"
    assert pod.git("config", "user.email") == "ada@example.org"
    assert (pod.workspace / ".git/rumpel/pod").read_text() == f"{POD_ID}\n"
    assert pod.git("fsck", "--no-dangling") == ""
    pod.git("fetch", "-q", "host")
    assert "commits-reach-the-host" in pod.git("remote", "get-url", "--push", "host")


async def test_again_moves_nothing(pod: Pod, host: Path) -> None:
    tip = git(host, "rev-parse", "main")
    await pod.start()
    await pod.setup(tip)
    mine = commit(pod.workspace, "mine", {"new.txt": "n\n"})
    pod.git("checkout", "-q", "-b", "other")
    pod.git("branch", "-q", "--unset-upstream", "alice")
    (pod.workspace / "a.txt").write_text("dirty\n")
    assert await pod.setup(tip) == mine
    assert pod.git("status", "--porcelain", "--branch") == "## other\n M a.txt"
    pod.git("pack-refs", "--all")
    assert await pod.setup(tip) == mine


async def test_detached_host_has_no_upstream(pod: Pod, host: Path, seed: Path) -> None:
    old = git(host, "rev-parse", "main~")
    git(seed, "update-ref", "--no-deref", "HEAD", old)
    await pod.start()
    assert await pod.setup(old, upstream="") == old
    assert pod.git("rev-parse", "host/HEAD") == old
    assert pod.git("symbolic-ref", "-q", "refs/remotes/host/HEAD", check=False) == ""
    assert pod.git("status", "--porcelain", "--branch") == "## alice"


async def test_unborn_host(pod: Pod, seed: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(tmp_path / "empty.git"))
    pod.seed = tmp_path / "empty.git"
    await pod.start()
    assert await pod.setup("") == "-"
    assert pod.git("symbolic-ref", "HEAD") == "refs/heads/alice"
    assert pod.git("for-each-ref") == ""
    commit(pod.workspace, "first", {"x": "x\n"})


async def test_sha256_and_shallow(pod: Pod, tmp_path: Path) -> None:
    work, deep = tmp_path / "new", tmp_path / "deep"
    git(tmp_path, "init", "-q", "-b", "main", "--object-format=sha256", str(deep))
    commit(deep, "one", {"x": "1\n"})
    tip = commit(deep, "two", {"x": "2\n"})
    git(tmp_path, "clone", "-q", "--bare", "--depth=1", f"file://{deep}", str(work))
    pod.seed = work
    await pod.start()
    assert await pod.setup(tip) == tip
    assert pod.git("rev-list", "--count", "HEAD") == "1"
    commit(pod.workspace, "mine", {"y": "y\n"})
    assert pod.git("fsck", "--no-dangling") == ""


async def test_restores_branches_of_an_earlier_container(pod: Pod, host: Path) -> None:
    tip, old = git(host, "rev-parse", "main"), git(host, "rev-parse", "main~")
    await pod.start()
    assert await pod.setup(old, f"restore=alice={old}", f"restore=fix/a=b={tip}") == old
    assert pod.git("rev-parse", "fix/a=b") == tip
    assert pod.git("status", "--porcelain", "--branch") == "## alice...host/main [behind 1]"


async def test_hostile_values_stay_values(pod: Pod, host: Path, tmp_path: Path) -> None:
    tip = git(host, "rev-parse", "main")
    evil = 'it\'s "q" \\ $(touch pwned) `x` ;\n.\n[alias]\nx = !sh'
    await pod.start()
    await pod.setup(tip, f"remote=or'i\"gin={evil}", f"name={evil}")
    assert pod.git("config", "user.name") == evil
    assert pod.git("config", "remote.or'i\"gin.url") == evil
    assert pod.git("config", "alias.x", check=False) == ""


async def test_what_fails_is_said_and_may_be_asked_again(pod: Pod, host: Path) -> None:
    tip = git(host, "rev-parse", "main")
    await pod.start()
    with pytest.raises(RumpelError, match="checking out 1111"):
        await pod.setup("1" * 40)
    assert await pod.setup(tip) == tip
    with pytest.raises(RumpelError, match="exit code"):
        await pod.ask("nonsense")
    assert await pod.ask("status", str(pod.workspace)) == "dirty=0"


async def test_two_setups_at_once_do_not_disturb_each_other(pod: Pod, host: Path) -> None:
    tip = git(host, "rev-parse", "main")
    await pod.start()
    assert await asyncio.gather(*(pod.setup(tip) for _ in range(3))) == [tip] * 3
    assert pod.git("status", "--porcelain") == ""


async def test_killed_at_any_moment_it_goes_on(pod: Pod, host: Path) -> None:
    tip = git(host, "rev-parse", "main")
    for delay_ms in (1, 3, 6, 9, 12, 16, 20, 25):
        await pod.start()
        running = asyncio.ensure_future(pod.setup(tip))
        await asyncio.sleep(delay_ms / 1000)
        await asyncio.to_thread(kill_session, pod.stream.process.pid)
        await asyncio.wait({running})
        running.exception()
        await pod.start()
        assert await pod.setup(tip) == tip
        assert pod.git("status", "--porcelain", "--branch") == "## alice...host/main"
        assert pod.git("fsck") == ""
        await asyncio.to_thread(shutil.rmtree, pod.workspace)


async def test_a_symref_is_not_written_through(pod: Pod, host: Path, seed: Path) -> None:
    tip, old = git(host, "rev-parse", "main"), git(host, "rev-parse", "main~")
    await pod.start()
    await pod.setup(tip)
    git(seed, "update-ref", "--no-deref", "HEAD", old)
    await pod.ask("fetch", str(pod.workspace))
    assert pod.git("rev-parse", "host/HEAD", "host/main").split() == [old, tip]
    git(seed, "symbolic-ref", "HEAD", "refs/heads/feature/x")
    await pod.ask("fetch", str(pod.workspace))
    assert pod.git("symbolic-ref", "refs/remotes/host/HEAD") == "refs/remotes/host/feature/x"


async def test_fetch_follows_the_host(pod: Pod, host: Path, seed: Path) -> None:
    await pod.start()
    await pod.setup(git(host, "rev-parse", "main"))
    new = commit(host, "three", {"c": "c\n"})
    git(host, "branch", "-q", "-D", "feature/x")
    git(host, "branch", "-q", "feature")
    push(host, seed)
    await pod.ask("fetch", str(pod.workspace))
    refs = pod.git("for-each-ref", "--format=%(refname:short) %(objectname)", "refs/remotes")
    assert refs.splitlines() == [f"host/HEAD {new}", f"host/feature {new}", f"host/main {new}"]
    pod.git("pack-refs", "--all")
    await pod.ask("fetch", str(pod.workspace))


async def test_status_counts_files(pod: Pod, host: Path) -> None:
    await pod.start()
    await pod.setup(git(host, "rev-parse", "main"))
    pod.git("config", "status.showUntrackedFiles", "no")
    (pod.workspace / "a.txt").write_text("x")
    (pod.workspace / "new\nline").write_text("x")
    (pod.workspace / "x.log").write_text("ignored")
    assert await pod.ask("status", str(pod.workspace)) == "dirty=2"
    subprocess.run(["rm", "-rf", str(pod.workspace / ".git")], check=True)
    with pytest.raises(RumpelError, match="not a git repository"):
        await pod.ask("status", str(pod.workspace))


async def test_branches_of_other_pods(pod: Pod, host: Path, seed: Path) -> None:
    tip = git(host, "rev-parse", "main")
    git(seed, "config", "uploadpack.hideRefs", "refs/rumpelpod")
    for name in ("bob", "bob@bob", "x/y@bob", "alice", "x/y@alice"):
        git(seed, "update-ref", f"refs/rumpelpod/{name}", tip)
    await pod.start()
    await pod.setup(tip, "share=yes")

    def seen() -> list[str]:
        return pod.git(
            "for-each-ref", "--format=%(refname:lstrip=3)", "refs/remotes/rumpelpod"
        ).split()

    assert seen() == []
    prefix, folder = "refs/remotes/rumpelpod", str(pod.workspace)
    lines = f"delete {prefix}/none\nupdate {prefix}/old {tip}\nupdate {prefix}/old@bob {tip}"
    await pod.ask("peers", folder, "alice", lines)
    assert seen() == ["old", "old@bob"]
    with pytest.raises(RumpelError, match="update-ref"):
        await pod.ask("peers", folder, "alice", f"update {prefix}/old/x {tip}")
    await pod.ask("peers", folder, "alice", "all")
    assert seen() == ["bob", "bob@bob", "x/y@bob"]
    pod.git("update-ref", "-d", f"{prefix}/bob")
    pod.git("fetch", "-q", "rumpelpod")
    assert seen() == ["bob", "bob@bob", "x/y@bob"]
    assert "rumpelpod" not in pod.git("ls-remote", "host")
    for remote in ("host", "rumpelpod"):
        said = subprocess.run(
            ["git", "push", remote], cwd=pod.workspace, capture_output=True, text=True, check=False
        )
        assert said.returncode != 0
        assert "by themselves" in said.stderr


async def test_a_git_without_negative_refspecs(
    pod: Pod, host: Path, seed: Path, tmp_path: Path
) -> None:
    tip = git(host, "rev-parse", "main")
    git(seed, "update-ref", "refs/rumpelpod/bob", tip)
    old = tmp_path / "old"
    old.mkdir()
    real = shutil.which("git")
    (old / "git").write_text(
        '#!/bin/sh\n[ "$*" != version ] || { echo git version 2.25.1; exit; }\n'
        f'exec {real} "$@"\n'
    )
    (old / "git").chmod(0o755)
    await pod.start(env={"PATH": f"{old}:{os.environ['PATH']}"})
    await pod.setup(tip, "share=yes")
    await pod.ask("peers", str(pod.workspace), "alice", "all")
    assert "^" not in (pod.workspace / ".git/config").read_text()
    assert pod.git("rev-parse", "rumpelpod/bob") == tip
