"""A workspace in which commands ran beforehand, taken over by a pod."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from rumpel.errors import RumpelError
from rumpel.resources import resource_text
from rumpel.tasks import builder
from tests.adapters.pod.support import POD_ID, SHELLS, Pod, commit, git

KEY = "0123456789abcdef"


def script(pod: Pod, *words: str) -> bytes:
    argv = [*SHELLS[pod.shell], "-c", resource_text("prebuild.sh"), "rumpel", *words]
    return subprocess.run(argv, capture_output=True, check=True).stdout


async def built(pod: Pod, oid: str, *, config: str = "") -> None:
    """As the builder leaves it: set up, used, and stripped."""
    await pod.start()
    await pod.setup(oid, "copy=yes", branch="prebuild", upstream="")
    (pod.workspace / "a.txt").write_text("changed by a command\n")
    (pod.workspace / "new.txt").write_text("new\n")
    (pod.workspace / "build").mkdir()
    (pod.workspace / "build/out").write_text("warm\n")
    hook = pod.workspace / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o755)
    tree = git(pod.workspace, "rev-parse", f"{oid}^{{tree}}")
    words = (str(pod.workspace), KEY, tree, oid)
    assert builder.judge(builder.parse(script(pod, "look", *words, "none")), oid) == ""
    if config:
        script(pod, "leave", *words, config)
    script(pod, "refresh", str(pod.workspace))
    left = sorted(path.name for path in (pod.workspace / ".git").iterdir())
    assert left == ["HEAD", "config", "hooks", "index", "info", "objects", "refs", "rumpel"]


async def test_all_that_the_commands_did_is_kept(pod: Pod, host: Path) -> None:
    tip = git(host, "rev-parse", "main")
    await built(pod, tip, config="[core]\n\thookspath = .husky\n[alias]\n\tx = status")
    for _ in range(2):
        assert await pod.setup(tip, f"prebuilt={KEY}", "remote=origin=https://x.org/y") == tip
        assert pod.git("status", "--porcelain", "--branch").splitlines() == [
            "## alice...host/main",
            " M a.txt",
            "?? new.txt",
        ]
    assert (pod.workspace / "build/out").read_text() == "warm\n"
    assert pod.git("for-each-ref", "--format=%(refname)").splitlines() == [
        "refs/heads/alice",
        "refs/remotes/host/HEAD",
        "refs/remotes/host/feature/x",
        "refs/remotes/host/main",
    ]
    assert pod.git("config", "core.hooksPath") == ".husky"
    assert pod.git("config", "user.name") == "Ada"
    assert pod.git("remote").splitlines() == ["host", "origin"]
    assert pod.git("fsck", "--no-dangling") == ""
    hooks = sorted(path.name for path in (pod.workspace / ".git/hooks").iterdir())
    assert hooks == ["pre-commit", "reference-transaction"]
    assert (pod.workspace / ".git/rumpel/pod").read_text() == f"{POD_ID}\n"


async def test_other_content_is_checked_out_around_it(pod: Pod, host: Path, seed: Path) -> None:
    tip = git(host, "rev-parse", "main")
    await built(pod, tip)
    moved = commit(host, "three", {"src/b.txt": "b3\n", "c.txt": "c\n"})
    git(host, "push", "-q", str(seed), "main")
    assert await pod.setup(moved, f"prebuilt={KEY}") == f"{moved} moved"
    assert pod.git("status", "--porcelain").splitlines() == ["M a.txt", "?? new.txt"]
    assert (pod.workspace / "src/b.txt").read_text() == "b3\n"
    assert (pod.workspace / "a.txt").read_text() == "changed by a command\n"


async def test_the_commit_wins_over_what_a_command_changed(
    pod: Pod, host: Path, seed: Path
) -> None:
    tip = git(host, "rev-parse", "main")
    await built(pod, tip)
    moved = commit(host, "three", {"a.txt": "a3\n", "new.txt": "tracked\n"})
    git(host, "push", "-q", str(seed), "main")
    assert await pod.setup(moved, f"prebuilt={KEY}") == f"{moved} moved"
    assert pod.git("status", "--porcelain") == ""
    assert (pod.workspace / "a.txt").read_text() == "a3\n"
    assert (pod.workspace / "build/out").read_text() == "warm\n"


async def test_interrupted_it_is_taken_over_again(pod: Pod, host: Path) -> None:
    tip = git(host, "rev-parse", "main")
    await built(pod, tip)
    assert await pod.setup(tip, f"prebuilt={KEY}") == tip
    (pod.workspace / ".git/rumpel/pod").unlink()
    (pod.workspace / ".git/index.lock").touch()
    assert await pod.setup(tip, f"prebuilt={KEY}") == tip
    assert pod.git("status", "--porcelain").splitlines() == ["M a.txt", "?? new.txt"]


async def test_another_prebuild_is_refused(pod: Pod, host: Path) -> None:
    tip = git(host, "rev-parse", "main")
    await built(pod, tip)
    with pytest.raises(RumpelError, match="not what the prebuild left"):
        await pod.setup(tip, "prebuilt=fedc")


async def test_what_is_told_of_a_workspace(pod: Pod, host: Path) -> None:
    oid = git(host, "rev-parse", "main")
    await pod.start()
    await pod.setup(oid, "copy=yes", branch="prebuild", upstream="")
    pod.git("config", "core.hooksPath", ".husky")
    words = (str(pod.workspace), KEY, "tree", oid)
    process = subprocess.Popen(
        ["sleep", "60"], env={"RUMPEL_EXEC": "t0ken", "PATH": "/usr/bin:/bin"}
    )
    try:
        found = builder.parse(script(pod, "look", *words, "t0ken"))
    finally:
        process.kill()
        process.wait()
    assert found.running == f"/proc/{process.pid}/environ"
    assert found.head == "ref: refs/heads/prebuild"
    assert found.refs == (f"{oid} refs/heads/prebuild",)
    assert {"HEAD", "config", "index", "rumpel"} <= found.entries <= builder.CARRIED
    assert f"remote.host.url\n{pod.seed}" in found.made
    assert (found.files, found.is_same) == (3, False)
    assert builder.parse(script(pod, "look", *words, "other")).running == ""
    assert pod.git("log", "-1", "--format=%H") == oid, "nothing was taken away"
    assert "core.hookspath\n.husky" in found.now
