"""A workspace that is not empty: a checkout baked into the image, other files, mounts."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from rumpel.errors import Conflict, RumpelError
from tests.adapters.pod.support import POD_ID, Pod, commit, git

OLD_NS = 1_500_000_000_123_456_789
BAKED = ("a.txt", "src/b.txt", ".gitignore", "build/out.o", "x.log")


def detached(work: Path) -> None:
    git(work, "checkout", "-q", "--detach", "HEAD~")


def unborn(work: Path) -> None:
    git(work, "checkout", "-q", "--orphan", "nothing")


def dirty_index(work: Path) -> None:
    (work / "src/b.txt").write_text("staged\n")
    (work / "staged-new").write_text("x\n")
    git(work, "add", "-A")
    git(work, "rm", "-q", "--cached", "a.txt")


def dirty_tree(work: Path) -> None:
    (work / "src/b.txt").write_text("edited\n")
    (work / "a.txt").unlink()


def untracked(work: Path) -> None:
    (work / "junk").mkdir()
    (work / "junk/file").write_text("x\n")


def conflict(work: Path, *how: str) -> None:
    """Stop `git HOW other` in a conflict in src/b.txt."""
    git(work, "checkout", "-q", "-b", "other", "HEAD~")
    theirs = commit(work, "theirs", {"src/b.txt": "theirs\n"})
    git(work, "checkout", "-q", "-b", "ours", "main")
    commit(work, "ours", {"src/b.txt": "ours\n"})
    git(work, *[theirs if word == "THEIRS" else word for word in how], check=False)
    assert "UU src/b.txt" in git(work, "status", "--porcelain")


def mid_merge(work: Path) -> None:
    conflict(work, "merge", "THEIRS")


def mid_rebase(work: Path) -> None:
    conflict(work, "rebase", "THEIRS")


def mid_cherry_pick(work: Path) -> None:
    conflict(work, "cherry-pick", "THEIRS")


def mid_revert(work: Path) -> None:
    commit(work, "r1", {"src/b.txt": "r1\n"})
    commit(work, "r2", {"src/b.txt": "r2\n"})
    git(work, "revert", "--no-edit", "HEAD~", check=False)
    assert (work / ".git/REVERT_HEAD").exists()


def mid_am(work: Path) -> None:
    git(work, "checkout", "-q", "-b", "other", "HEAD~")
    commit(work, "theirs", {"src/b.txt": "theirs\n"})
    patch = git(work, "format-patch", "-1", "--stdout")
    git(work, "checkout", "-q", "main")
    commit(work, "ours", {"src/b.txt": "ours\n"})
    git(work, "am", "-q", text=patch + "\n", check=False)
    assert (work / ".git/rebase-apply").is_dir()


def mid_bisect(work: Path) -> None:
    git(work, "bisect", "start", "HEAD", "HEAD~")


def stale_locks(work: Path) -> None:
    for name in ("index.lock", "HEAD.lock", "config.lock", "packed-refs.lock"):
        (work / ".git" / name).write_text("")
    (work / ".git/refs/heads/alice.lock").write_text("")


def corrupt_index(work: Path) -> None:
    (work / ".git/index").write_bytes(b"DIRC nonsense")


def no_index(work: Path) -> None:
    (work / ".git/index").unlink()


def skipped(work: Path) -> None:
    git(work, "update-index", "--skip-worktree", "src/b.txt")
    git(work, "update-index", "--assume-unchanged", "a.txt")
    (work / "src/b.txt").unlink()
    (work / "a.txt").write_text("hidden\n")


def sparse(work: Path) -> None:
    git(work, "sparse-checkout", "set", "--sparse-index", "build")


def split_index(work: Path) -> None:
    git(work, "update-index", "--split-index")
    dirty_index(work)


def stashed(work: Path) -> None:
    (work / "a.txt").write_text("stash me\n")
    git(work, "stash", "-q")


def folder_for_file(work: Path) -> None:
    (work / "a.txt").unlink()
    (work / "a.txt").mkdir()
    (work / "a.txt/x").write_text("x\n")


def linked_worktree(work: Path) -> None:
    """What COPY makes of a linked worktree or a submodule: a .git that leads nowhere."""
    shutil.rmtree(work / ".git")
    (work / ".git").write_text("gitdir: /home/ada/project/.git/worktrees/w\n")


STATES = [
    detached, unborn, dirty_index, dirty_tree, untracked, mid_merge, mid_rebase, mid_cherry_pick,
    mid_revert, mid_am, mid_bisect, stale_locks, corrupt_index, no_index, skipped, sparse,
    split_index, stashed, folder_for_file, linked_worktree,
]  # fmt: skip


@pytest.fixture
def baked(pod: Pod, host: Path, tmp_path: Path) -> Path:
    """A checkout as `COPY . .` brings it: hooks, remotes, branches, ignored files, old mtimes."""
    work = pod.workspace
    git(tmp_path, "clone", "-q", str(host), str(work))
    for name in ("build/out.o", "x.log", "sub/gone.txt"):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(name)
    hook = work / ".git/hooks/post-checkout"
    hook.write_text("#!/bin/sh\ntouch /tmp/rumpel-was-here; exit 1\n")
    hook.chmod(0o755)
    git(work, "branch", "baked-branch")
    git(work, "tag", "baked-tag")
    git(work, "config", "core.hooksPath", "/nowhere")
    git(work, "config", "alias.evil", "!evil")
    age(work)
    return work


def age(work: Path) -> None:
    for path in work.rglob("*"):
        if ".git" not in path.parts and path.is_file():
            os.utime(path, ns=(OLD_NS, OLD_NS))


def mtimes(work: Path) -> dict[str, int]:
    return {name: (work / name).stat().st_mtime_ns for name in BAKED if (work / name).is_file()}


def assert_clean(pod: Pod, tip: str) -> None:
    work = pod.workspace
    assert pod.git("status", "--porcelain", "--branch") == "## alice...host/main"
    assert pod.git("rev-parse", "HEAD") == tip
    refs = pod.git("for-each-ref", "--format=%(refname)").splitlines()
    assert [ref for ref in refs if not ref.startswith("refs/remotes/host/")] == ["refs/heads/alice"]
    assert pod.git("remote") == "host"
    assert pod.git("config", "alias.evil", check=False) == ""
    assert [path.name for path in (work / ".git/hooks").iterdir()] == ["reference-transaction"]
    assert (work / "x.log").read_text() == "x.log"
    assert (work / "build/out.o").read_text() == "build/out.o"
    assert not (work / "junk").exists()
    assert (work / "a.txt").read_text() == "a2\n"
    assert (work / "src/b.txt").read_text() == "b\n"
    assert pod.git("fsck", "--no-dangling", "--connectivity-only") == ""
    assert not list((work / ".git").rglob("*.lock"))


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_a_baked_checkout_is_made_clean(
    pod: Pod, baked: Path, host: Path, state: Callable[[Path], None]
) -> None:
    tip = git(host, "rev-parse", "main")
    await asyncio.to_thread(state, baked)
    age(baked)
    await pod.start()
    assert await pod.setup(tip) == tip
    assert_clean(pod, tip)
    kept = {"build/out.o", "x.log", ".gitignore"}
    assert kept <= {name for name, ns in mtimes(baked).items() if ns == OLD_NS}


async def test_what_is_equal_is_not_written(pod: Pod, baked: Path, host: Path) -> None:
    new = commit(host, "three", {"src/b.txt": "b3\n", "c.txt": "c\n"})
    git(host, "rm", "-q", "c.txt")
    git(host, "push", "-q", str(pod.seed), "main")
    await pod.start()
    assert await pod.setup(new) == new
    changed = {name for name, ns in mtimes(baked).items() if ns != OLD_NS}
    assert changed == {"src/b.txt"}
    assert pod.git("status", "--porcelain") == ""


async def test_a_file_that_was_tracked_goes_even_if_it_is_ignored_now(
    pod: Pod, baked: Path, host: Path
) -> None:
    (host / ".gitignore").write_text("*.log\nbuild/\na.txt\n")
    git(host, "rm", "-q", "a.txt")
    new = commit(host, "three", {})
    git(host, "push", "-q", str(pod.seed), "main")
    await pod.start()
    await pod.setup(new)
    assert not (baked / "a.txt").exists()
    assert (baked / "x.log").exists()


async def test_a_checkout_of_another_object_format(
    pod: Pod, host: Path, baked: Path, tmp_path: Path
) -> None:
    shutil.rmtree(baked / ".git")
    git(baked, "init", "-q", "--object-format=sha256")
    commit(baked, "x", {})
    (baked / "junk").write_text("")
    age(baked)
    tip = git(host, "rev-parse", "main")
    await pod.start()
    await pod.setup(tip)
    assert_clean(pod, tip)
    assert (baked / "a.txt").stat().st_mtime_ns == OLD_NS


async def test_a_copy_of_another_pod_is_taken_over(pod: Pod, baked: Path, host: Path) -> None:
    (baked / ".git/rumpel").mkdir()
    (baked / ".git/rumpel/pod").write_text("another\n")
    tip = git(host, "rev-parse", "main")
    await pod.start()
    await pod.setup(tip)
    assert_clean(pod, tip)
    assert (baked / ".git/rumpel/pod").read_text() == f"{POD_ID}\n"


async def test_files_without_git_are_kept_where_the_commit_has_none(
    pod: Pod, baked: Path, host: Path
) -> None:
    shutil.rmtree(baked / ".git")
    (baked / "mine").write_text("mine\n")
    (baked / "src/b.txt").write_text("other\n")
    age(baked)
    tip = git(host, "rev-parse", "main")
    await pod.start()
    with pytest.raises(RumpelError, match="11111"):
        await pod.setup("1" * 40)  # also when the first try ended half-way
    await pod.setup(tip)
    assert pod.git("status", "--porcelain").splitlines() == ["?? mine", "?? sub/"]
    assert (baked / "src/b.txt").read_text() == "b\n"
    assert {name for name, ns in mtimes(baked).items() if ns != OLD_NS} == {"src/b.txt"}


@pytest.mark.parametrize("has_git", [True, False])
async def test_a_folder_of_the_host_is_not_touched(
    pod: Pod, baked: Path, host: Path, has_git: bool
) -> None:
    if not has_git:
        shutil.rmtree(baked / ".git")
    mount(pod, "/home/ada/project", "ext4")
    before = snapshot(baked)
    await pod.start()
    with pytest.raises(Conflict, match="mounted folder"):
        await pod.setup(git(host, "rev-parse", "main"))
    assert snapshot(baked) == before


async def test_a_set_up_that_was_cut_off_goes_on(pod: Pod, baked: Path, host: Path) -> None:
    """On a folder of the host too: what is there is our own."""
    shutil.rmtree(baked)
    mount(pod, "/home/ada/project", "ext4")
    await pod.start()
    with pytest.raises(RumpelError, match="11111"):
        await pod.setup("1" * 40)
    stale_locks(baked)
    tip = git(host, "rev-parse", "main")
    assert await pod.setup(tip) == tip
    assert pod.git("status", "--porcelain", "--branch") == "## alice...host/main"


async def test_a_volume_may_hold_a_copy_of_the_image(pod: Pod, baked: Path, host: Path) -> None:
    """Docker fills a new volume from the image; but one with another pod's work stays."""
    mount(pod, "/var/lib/docker/volumes/code/_data", "ext4")
    tip = git(host, "rev-parse", "main")
    await pod.start()
    await pod.setup(tip)
    assert_clean(pod, tip)
    (baked / ".git/rumpel/pod").write_text("another\n")
    (baked / "mine").write_text("")
    with pytest.raises(Conflict, match="another pod"):
        await pod.setup(tip)
    assert (baked / "mine").exists()


def mount(pod: Pod, root: str, kind: str) -> None:
    place = str(pod.workspace).replace(" ", "\\040")
    pod.mountinfo.write_text(
        "22 1 0:40 / / rw,relatime - overlay overlay rw\n"
        f"30 22 8:1 {root} {place} rw,relatime shared:1 master:2 - {kind} /dev/sda1 rw\n"
        "31 22 8:1 /x /etc/hosts rw,relatime - ext4 /dev/sda1 rw\n"
    )


def snapshot(work: Path) -> str:
    listing = ["find", str(work), "-printf", "%p %s %T@ %m\n"]
    return subprocess.run(listing, capture_output=True, text=True, check=True).stdout
