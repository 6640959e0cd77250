"""pod_work.sh in local shells: whatever the work is, it comes back in another clone."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from rumpel.resources import resource_text
from tests.adapters.pod.support import SHELLS, git
from tests.support.dirty import PROGRESS, dirty, photo_of

FILES = {
    ".gitignore": b"*.log\nignored/\n",
    ".gitattributes": b"*.crlf text eol=crlf\n",
    "src/app.py": b"print(1)\n",
    "src/lib.py": b"print(2)\n",
    "docs/one.crlf": b"a\r\nb\r\n",
    "run.sh": b"#!/bin/sh\n",
    "data.bin": bytes(range(256)),
}
LIMITS = ("1000000", "100000", "-")


def work(shell: str, *args: str) -> str:
    """What the program prints. Raises AssertionError when it fails."""
    argv = [*SHELLS[shell], "-c", resource_text("pod_work.sh"), "rumpel", *args]
    done = subprocess.run(argv, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(folder: Path, script: str) -> None:
    done = subprocess.run(["sh", "-ec", script], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A pod's: with a space and a quote in its path, on branch p."""
    folder = tmp_path / "work space's"
    git(tmp_path, "init", "-q", "-b", "p", str(folder))
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    (folder / ".git/rumpel").mkdir()
    return folder


def carried(workspace: Path, oid: str, tmp_path: Path) -> Path:
    """Another clone of the first commit, with the snapshot in it."""
    target = tmp_path / "other/work space's"
    target.parent.mkdir()
    git(tmp_path, "clone", "-q", "--no-hardlinks", str(workspace), str(target))
    git(target, "remote", "remove", "origin")
    git(target, "checkout", "-q", "--detach", "HEAD")
    git(target, "fetch", "-q", str(workspace), "+refs/heads/*:refs/heads/*")
    git(target, "switch", "-q", "p")
    (target / ".git/rumpel").mkdir()
    scratch = workspace / ".git/rumpel/scratch"
    git(target, "fetch", "-q", str(scratch), "refs/heads/snapshot:refs/rumpel/restore")
    assert git(target, "rev-parse", "refs/rumpel/restore").strip() == oid
    return target


@pytest.mark.parametrize("progress", sorted(PROGRESS))
def test_everything_comes_back(shell: str, workspace: Path, tmp_path: Path, progress: str) -> None:
    seed = random.randrange(1 << 30)
    run(workspace, dirty(random.Random(seed), progress))
    before = photo_of(workspace)
    answer = work(shell, "take", str(workspace), "p", *LIMITS)
    word, oid, kind, *_, left = answer.split()
    assert (word, kind, left) == ("snapshot", "work=1", "left=0"), f"{answer}, seed {seed}"
    git(workspace / ".git/rumpel/scratch", "fsck", "--strict", "--no-dangling")
    again = work(shell, "take", str(workspace), "p", *LIMITS)
    assert again == answer, f"the same work is the same commit, seed {seed}"
    target = carried(workspace, oid, tmp_path)
    work(shell, "close", str(workspace))
    assert photo_of(workspace) == before, f"it was changed by looking, seed {seed}"
    shutil.rmtree(workspace)
    run(
        target,
        "echo junk >junk; echo junk >>src/lib.py; git add -A; rm -f data.bin; echo j >assumed;"
        "git add assumed; git update-index --assume-unchanged assumed; echo k >assumed;"
        "git update-index --skip-worktree run.sh; echo s >run.sh",
    )
    assert work(shell, "put", str(target), oid, "p") == f"restored {oid}\n"
    assert photo_of(target) == before, f"seed {seed}"
    git(target, "fsck", "--no-dangling", "--connectivity-only")
    assert not (target / ".git/rumpel/scratch").exists()


@pytest.mark.parametrize("where", ["p", "--detach"])
def test_apart_from_commits_the_host_refuses(
    shell: str, workspace: Path, tmp_path: Path, where: str
) -> None:
    known = git(workspace, "rev-parse", "HEAD").strip()
    git(workspace, "switch", "-q", where)
    (workspace / "big one").write_bytes(random.randbytes(1_500_000))
    (workspace / "big.log").write_bytes(random.randbytes(1_500_000))
    run(workspace, "echo 6 >made.log; git add -A -f; git commit -qm large")
    blob = git(workspace, "rev-parse", "HEAD:big one").strip()
    (workspace / "src/app.py").write_text("stashed\n")
    git(workspace, "stash", "-q")
    run(workspace, "rm data.bin; echo 2 >small; git add -A; git commit -qm little")
    run(workspace, "echo 3 >staged; git add staged; echo 4 >src/lib.py; echo 5 >untracked")
    run(workspace, "mkdir ignored; echo 8 >'ignored/o ne'; git add -f ignored; echo 9 >only.log")
    run(workspace, "echo 7 >>made.log")
    before = photo_of(workspace)
    take = ("take", str(workspace), "p", *LIMITS[:2], f"{'0' * 40},{known}")
    answer = work(shell, *take)
    assert " work=1 " in answer
    assert work(shell, *take) == answer
    oid, scratch = answer.split()[1], workspace / ".git/rumpel/scratch"
    assert photo_of(workspace) == before
    assert git(scratch, "rev-list", oid).split() == [oid, known]
    assert blob not in git(scratch, "rev-list", "--objects", oid)
    left = git(scratch, "show", f"{oid}:left")
    for text in (
        "large (its files are kept)",
        "little (its",
        "file big one",
        "file big.log",
        "stash WIP",
    ):
        assert text in left
    git(workspace, "update-ref", "refs/heads/known", known)
    target = carried(workspace, oid, tmp_path)
    git(target, "reset", "-q", "--hard", known)
    work(shell, "put", str(target), oid, "p")
    assert git(target, "rev-parse", "HEAD").strip() == known
    status = git(target, "status", "--porcelain").split()
    assert status == [
        "D",
        "data.bin",
        "M",
        "src/lib.py",
        *["??", "small", "??", "staged", "??", "untracked"],
    ]
    assert [(target / name).read_text() for name in ("small", "src/lib.py")] == ["2\n", "4\n"]
    assert (target / "made.log").read_text() == "6\n7\n", "ignored, but it was committed"
    assert (target / "ignored/o ne").read_text() == "8\n", "and that was to be"
    assert not (target / "only.log").exists()


def test_a_clean_workspace_is_none(shell: str, workspace: Path) -> None:
    take = ("take", str(workspace), "p", *LIMITS)
    (workspace / "ignored").mkdir()
    (workspace / "ignored/file").write_text("x")
    (workspace / "src/app.py").touch()
    assert work(shell, *take) == "clean\n"
    git(workspace, "tag", "light")
    git(workspace, "tag", "-a", "-m", "t", "heavy")
    assert work(shell, *take) == "clean\n", "a tag on a safe commit is no work"
    git(workspace, "switch", "-q", "-c", "side")
    assert " work=0 " in work(shell, *take), "only the branch that is checked out"


@pytest.mark.parametrize("flag", ["--skip-worktree", "--assume-unchanged"])
def test_a_changed_file_that_git_looks_away_from(
    shell: str, workspace: Path, tmp_path: Path, flag: str
) -> None:
    take = ("take", str(workspace), "p", *LIMITS)
    git(workspace, "update-index", "--skip-worktree", "run.sh", "docs/one.crlf")
    (workspace / "run.sh").unlink()
    shutil.rmtree(workspace / "docs")
    assert work(shell, *take) == "clean\n", "as in a sparse checkout"
    git(workspace, "update-index", flag, "src/app.py")
    assert work(shell, *take) == "clean\n"
    (workspace / "src/app.py").write_text("WORK\n")
    answer = work(shell, *take)
    assert " work=1 files=1 " in answer
    target = carried(workspace, answer.split()[1], tmp_path)
    work(shell, "put", str(target), answer.split()[1], "p")
    assert (target / "src/app.py").read_text() == "WORK\n"


def test_an_edit_in_the_second_of_the_index_is_seen(shell: str, workspace: Path) -> None:
    """Same size, same second: git must look into the file (racy git)."""
    for number in range(5):
        (workspace / "src/app.py").write_text(f"print({number + 2})\n")
        git(workspace, "add", "-A")
        git(workspace, "commit", "-qm", "next")
        (workspace / "src/app.py").write_text(f"print({number + 5})\n")
        assert " work=1 " in work(shell, "take", str(workspace), "p", *LIMITS)
        taken = git(
            workspace / ".git/rumpel/scratch", "cat-file", "-p", "snapshot:files/src/app.py"
        )
        assert taken == f"print({number + 5})"
        git(workspace, "checkout", "-q", "src/app.py")


def test_content_behind_a_filter_that_is_only_staged(
    shell: str, workspace: Path, tmp_path: Path
) -> None:
    """As with Git LFS: the index has a pointer, the content is nowhere but in the file."""
    run(
        workspace,
        "printf '*.big filter=point\\n' >.gitattributes; git config filter.point.smudge cat;"
        "git config filter.point.clean 'sed s/content/pointer/'; echo content >a.big;"
        "git add .; git show :a.big | grep pointer",
    )
    oid = work(shell, "take", str(workspace), "p", *LIMITS).split()[1]
    target = carried(workspace, oid, tmp_path)
    work(shell, "put", str(target), oid, "p")
    assert (target / "a.big").read_text() == "content\n"
    assert git(target, "show", ":a.big") == "pointer"


def test_an_unborn_branch(shell: str, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        git(tmp_path, "init", "-q", "-b", "p", str(folder))
        (folder / ".git/rumpel").mkdir()
    assert work(shell, "take", str(one), "p", *LIMITS) == "clean\n"
    run(one, "echo a >a; git add a; echo b >>a; echo c >c")
    before = photo_of(one)
    oid = work(shell, "take", str(one), "p", *LIMITS).split()[1]
    git(two, "fetch", "-q", str(one / ".git/rumpel/scratch"), "snapshot:refs/rumpel/restore")
    work(shell, "put", str(two), oid, "p")
    assert photo_of(two) == before


def test_what_does_not_fit_is_named(shell: str, workspace: Path) -> None:
    run(
        workspace,
        "head -c 5000 /dev/zero >large; head -c 5000 /dev/zero >large.log; echo s >small;"
        "git init -q nested; head -c 900000 /dev/urandom >nested/file",
    )
    answer = work(shell, "take", str(workspace), "p", "4000", "100", "-")
    assert answer.split()[-1] == "left=2"
    left = git(workspace / ".git/rumpel/scratch", "cat-file", "blob", "snapshot:left")
    assert "file large" in left.split("\n")
    assert "repository nested" in left
    files = git(workspace / ".git/rumpel/scratch", "ls-tree", "-r", "--name-only", "snapshot:files")
    assert "small" in files
    assert "large" not in files


def test_a_changed_submodule_and_a_worktree_come_along(
    shell: str, workspace: Path, tmp_path: Path
) -> None:
    library = tmp_path / "library"
    git(tmp_path, "init", "-q", "-b", "main", str(library))
    run(library, "echo l >l; git add l; git -c user.name=x -c user.email=x@x commit -qm l")
    git(
        workspace, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(library), "lib"
    )
    git(workspace, "commit", "-qam", "with a submodule")
    tree = tmp_path / "linked"
    git(workspace, "worktree", "add", "-q", "-b", "linked", str(tree))
    take = ("take", str(workspace), "p", *LIMITS)
    assert work(shell, *take) == "clean\n"
    git(workspace, "config", "submodule.lib.ignore", "all")
    (workspace / "lib/new").write_text("new\n")
    (tree / "src/app.py").write_text("in the worktree\n")
    oid = work(shell, *take).split()[1]
    target = carried(workspace, oid, tmp_path)
    shutil.rmtree(workspace)
    shutil.rmtree(tree)
    target.rename(workspace)
    work(shell, "put", str(workspace), oid, "p")
    assert (workspace / "lib/new").read_text() == "new\n"
    assert git(workspace / "lib", "status", "--porcelain").strip() == "?? new"
    assert git(tree, "status", "--porcelain").strip() == "M src/app.py"
    assert (tree / "src/app.py").read_text() == "in the worktree\n"
