"""Submodules of a workspace: made in the same request, watched by the same watcher."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from rumpel.adapters.pod_link import MORE_PROGRAM
from tests.adapters.pod.support import LOOK_S, Pod, commit, git

KEY = "modules/libs/one"
PATH = "libs/one"


@dataclass
class Lib:
    """A submodule of the host, and its seed."""

    work: Path
    seed: Path
    oid: str

    @property
    def words(self) -> list[str]:
        return [
            f"code={MORE_PROGRAM}",
            *("submodule=libs/one", "url=https://example.org/one.git"),
            *(f"module={KEY}", f"path={PATH}", "gitdir=../../.git/modules/libs/one"),
            *("worktree=../../../../libs/one", f"seed={self.seed}", "branch=alice"),
            *(f"oid={self.oid}", "upstream=main", "name=Ada", "email=ada@example.org"),
            "remote=origin=https://example.org/one.git",
        ]


@pytest.fixture
def lib(tmp_path: Path, host: Path, seed: Path) -> Lib:
    """Added to the host's repository, and both seeds hold what the host has."""
    work = tmp_path / "lib"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    oid = commit(work, "lib", {"lib.txt": "lib\n", ".gitignore": "*.log\n"})
    git(host, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(work), PATH)
    git(host, "commit", "-q", "-m", "with a submodule")
    git(host, "push", "-q", str(seed), "main")
    path = seed / "modules/1.git"
    path.parent.mkdir()
    git(tmp_path, "clone", "-q", "--bare", "--no-hardlinks", str(work), str(path))
    return Lib(work, path, oid)


async def made(pod: Pod, host: Path, lib: Lib) -> Path:
    tip = git(host, "rev-parse", "main")
    await pod.start()
    assert await pod.setup(tip, "watch=yes", *lib.words) == tip
    return pod.workspace / PATH


async def test_a_work_tree_on_the_pods_branch(pod: Pod, host: Path, lib: Lib) -> None:
    tree = await made(pod, host, lib)
    assert (tree / "lib.txt").read_text() == "lib\n"
    assert git(tree, "status", "--porcelain", "--branch") == "## alice...host/main"
    assert git(tree, "rev-parse", "HEAD", "host/main", "host/HEAD").split() == [lib.oid] * 3
    assert git(tree, "remote").split() == ["host", "origin"]
    assert git(tree, "fsck", "--no-dangling") == ""
    assert pod.git("status", "--porcelain") == ""
    assert pod.git("submodule", "status").split()[:2] == [lib.oid, PATH]
    assert pod.git("submodule", "--quiet", "update", "--init") == ""


async def test_commits_are_noticed(pod: Pod, host: Path, lib: Lib) -> None:
    tree = await made(pod, host, lib)
    before = await pod.ask("modules", str(pod.workspace), KEY)
    await pod.settle()
    commit(tree, "mine", {"new.txt": "n\n"})
    await pod.notice(5)
    assert pod.link.has_submodules
    assert await pod.ask("modules", str(pod.workspace), KEY) != before
    await pod.settle()
    git(tree, "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", "unseen")
    await pod.notice(LOOK_S + 5)


async def test_what_would_be_lost(pod: Pod, host: Path, lib: Lib) -> None:
    tree = await made(pod, host, lib)
    where = str(pod.workspace)
    assert await pod.ask("status", where) == "dirty=0"
    (tree / "lib.txt").write_text("changed\n")
    (tree / "new.txt").write_text("new\n")
    (pod.workspace / "a.txt").write_text("changed\n")
    assert await pod.ask("status", where) == "dirty=3"
    git(tree, "stash", "-q", "-u")
    git(tree, "checkout", "-q", "--detach")
    git(tree, "commit", "-q", "--allow-empty", "-m", "on no branch")
    answer = await pod.ask("loose", where)
    assert answer.startswith("commits=1 stashes=1 ")
    assert answer.endswith(" hidden=0")
    git(pod.workspace, "update-index", "--skip-worktree", "a.txt")
    assert (await pod.ask("loose", where)).endswith(" hidden=1")
    (pod.workspace / "a.txt").unlink()
    assert (await pod.ask("loose", where)).endswith(" hidden=0"), "as in a sparse checkout"
    assert await pod.ask("modules", where) == " +0=modules/libs/one", "on no branch at all"


async def test_never_the_parent(pod: Pod, host: Path, lib: Lib) -> None:
    """Taken out of the pod again, its folder is one of the parent."""
    await made(pod, host, lib)
    where = str(pod.workspace)
    refs = pod.git("for-each-ref")
    pod.git("submodule", "--quiet", "deinit", "-f", PATH)
    newer = commit(lib.work, "newer", {"lib.txt": "2\n"})
    git(lib.work, "push", "-q", str(lib.seed), "main")
    assert await pod.ask("fetch", where, KEY, str(lib.seed)) == ""
    assert pod.git("for-each-ref") == refs
    git_dir = pod.workspace / ".git" / KEY
    git_dir.joinpath("config").write_text("[core]\n\trepositoryformatversion = 0\n")
    assert git(git_dir, "rev-parse", "host/main") == newer
    assert await pod.ask("status", where) == "dirty=0"
    pod.git("rm", "-q", "-r", "--cached", PATH)
    (pod.workspace / PATH).rmdir()
    assert (await pod.ask("modules", where, KEY, "modules/none")).endswith(" 1=gone")


async def test_a_set_up_that_was_interrupted(pod: Pod, host: Path, lib: Lib) -> None:
    tree = await made(pod, host, lib)
    mine = commit(tree, "mine", {"new.txt": "n\n"})
    tip = git(host, "rev-parse", "main")
    assert await pod.setup(tip, "watch=yes", *lib.words) == tip
    assert git(tree, "rev-parse", "HEAD") == mine, "what is made is left alone"
    (pod.workspace / ".git/rumpel/pod").unlink()
    assert await pod.setup(tip, "watch=yes", *lib.words) == tip
    assert git(tree, "rev-parse", "HEAD") == mine, "each has a mark of its own"


@pytest.mark.parametrize("is_old_style", [False, True])
async def test_baked_ones(pod: Pod, host: Path, lib: Lib, is_old_style: bool) -> None:
    """Ignored files and times are kept; remotes, hooks and branches of the image are not."""
    work = pod.workspace
    git(host, "clone", "-q", str(host), str(work))
    if is_old_style:
        (work / PATH).rmdir()
        git(host, "clone", "-q", str(lib.work), str(work / PATH))
    else:
        git(work, "-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init")
    tree = work / PATH
    (tree / "cache.log").write_text("warm\n")
    (tree / "junk.txt").write_text("junk\n")
    stamp = (tree / "lib.txt").stat().st_mtime_ns
    git(tree, "config", "remote.evil.url", "https://evil.example")
    git(tree, "branch", "baked")
    assert await made(pod, host, lib) == tree
    assert (tree / ".git").read_text() == "gitdir: ../../.git/modules/libs/one\n"
    assert git(tree, "remote").split() == ["host", "origin"]
    assert git(tree, "branch", "--format=%(refname:short)") == "alice"
    assert (tree / "cache.log").exists()
    assert not (tree / "junk.txt").exists()
    assert (tree / "lib.txt").stat().st_mtime_ns == stamp
    assert git(tree, "status", "--porcelain") == ""


async def test_a_mount_on_its_folder_is_left_alone(pod: Pod, host: Path, lib: Lib) -> None:
    tree = pod.workspace / PATH
    tree.mkdir(parents=True)
    (tree / "precious.txt").write_text("the user's\n")
    with pod.mountinfo.open("a") as table:
        table.write(
            f"23 22 8:1 /home/ada {str(tree).replace(' ', chr(92) + '040')} rw - ext4 d rw\n"
        )
    await made(pod, host, lib)
    assert [path.name for path in tree.iterdir()] == ["precious.txt"]
