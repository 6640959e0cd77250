"""Notices of commits, by the hook and without it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from tests.adapters.pod.support import SETTLED_S, Pod, alive, commit, git

HOOK = ".git/hooks/reference-transaction"
SOON_S = 1.0


@pytest.fixture
async def watched(pod: Pod, host: Path) -> Pod:
    """As the daemon does it: first the watch, then the set-up."""
    await pod.start()
    await pod.ask("watch", str(pod.workspace))
    await pod.setup(git(host, "rev-parse", "main"))
    await pod.notice(SOON_S)
    await pod.settle()
    return pod


@pytest.mark.parametrize("way", ["hook", "no hook"])
async def test_a_set_up_that_watches_tells_only_of_what_moves_later(
    pod: Pod, host: Path, way: str
) -> None:
    """What it made is what was asked for: the first import of a new pod would bring nothing."""
    await pod.start()
    await pod.setup(git(host, "rev-parse", "main"), "watch=yes")
    await asyncio.sleep(SETTLED_S)
    assert pod.notices == 0
    if way == "no hook":
        (pod.workspace / HOOK).unlink()
    await asyncio.to_thread(watched_commit, pod)
    await pod.notice(SOON_S)
    await pod.settle()
    await pod.setup(git(host, "rev-parse", "main"), "watch=yes")  # a daemon that was restarted
    await pod.notice(SOON_S)
    await pod.settle()
    await asyncio.to_thread(watched_commit, pod)
    await pod.notice(SOON_S)


async def test_each_way_to_move_a_branch_makes_a_notice(watched: Pod) -> None:
    for args in (
        ["commit", "-q", "--allow-empty", "-m", "x"],
        ["commit", "-q", "--amend", "--allow-empty", "-m", "y"],
        ["branch", "other"],
        ["branch", "-D", "other"],
        ["reset", "-q", "--hard", "HEAD~"],
        ["update-ref", "refs/heads/deep/er", "HEAD"],
    ):
        watched.noticed.clear()
        await asyncio.to_thread(watched.git, *args)
        await watched.notice(SOON_S)


async def test_no_notice_for_what_the_host_sends_nor_for_a_checkout_file(
    watched: Pod, host: Path, seed: Path
) -> None:
    commit(host, "three", {"c": "c\n"})
    git(host, "push", "-q", str(seed), "main")
    (watched.workspace / "a.txt").write_text("dirty")
    await watched.ask("fetch", str(watched.workspace))
    await watched.ask("status", str(watched.workspace))
    await asyncio.sleep(SETTLED_S)
    assert watched.notices == 0


@pytest.mark.parametrize("way", ["no hook", "hooksPath"])
async def test_without_our_hook_it_takes_a_little_longer(watched: Pod, way: str) -> None:
    if way == "no hook":
        (watched.workspace / HOOK).unlink()
    else:
        watched.git("config", "core.hooksPath", ".husky")
    await asyncio.to_thread(watched.git, "commit", "-q", "--allow-empty", "-m", "x")
    await watched.notice(SOON_S)
    await watched.settle()
    assert watched.notices == 0


async def test_a_commit_never_waits(watched: Pod) -> None:
    """No reader: a full FIFO would block for ever."""
    await watched.end()
    fifo = watched.workspace / ".git/rumpel/fifo"
    start = time.monotonic()
    await asyncio.to_thread(
        subprocess.run,
        ["sh", "-c", "for i in 1 2 3 4 5; do git commit -q --allow-empty -m $i || exit 1; done"],
        cwd=watched.workspace,
        check=True,
    )
    assert time.monotonic() - start < 3
    assert fifo.is_fifo()
    (watched.workspace / ".git/rumpel/flag").write_text("")
    fifo.unlink()
    watched.git("commit", "-q", "--allow-empty", "-m", "no fifo")
    assert not fifo.exists()
    subprocess.run(["rm", "-rf", str(fifo.parent)], check=True)
    watched.git("commit", "-q", "--allow-empty", "-m", "no folder")


async def test_many_commits_make_few_notices(watched: Pod) -> None:
    script = (
        "for i in $(seq 200); do echo create refs/heads/n$i HEAD; done"
        " | git update-ref --stdin; git pack-refs --all"
    )
    await asyncio.to_thread(
        subprocess.run, ["sh", "-c", script], cwd=watched.workspace, check=True, capture_output=True
    )
    await watched.settle()
    assert len(watched.git("branch").splitlines()) == 201


async def test_a_large_fetch_does_not_run_the_hook(watched: Pod, seed: Path) -> None:
    tip = git(seed, "rev-parse", "main")
    git(
        seed,
        "update-ref",
        "--stdin",
        text="".join(f"create refs/heads/n{i} {tip}\n" for i in range(2000)),
    )
    hook = watched.workspace / HOOK
    hook.write_text("#!/bin/sh\nexit 1\n")
    await watched.ask("fetch", str(watched.workspace))
    assert len(watched.git("branch", "-r").splitlines()) > 2000


@pytest.mark.parametrize("mode", ["main", "exec"])
async def test_a_second_watcher_takes_over(watched: Pod, mode: str) -> None:
    """The link is new, the old process still runs (main), or has not noticed yet (exec)."""
    old = watched.stream
    old_notices = 0

    def count() -> None:
        nonlocal old_notices
        old_notices += 1

    watched.link._on_notice = count
    await watched.start(mode)
    await watched.ask("watch", str(watched.workspace))
    await watched.settle()
    old_notices = 0
    for _ in range(6):
        watched.noticed.clear()
        await asyncio.to_thread(watched.git, "commit", "-q", "--allow-empty", "-m", "x")
        await watched.notice(SOON_S)
    assert old_notices == 0
    assert len(alive(old.process.pid)) == 1  # the boot loop; its watcher has ended
    await watched.ask("watch", str(watched.workspace))
    await watched.settle()
    assert len(alive(watched.stream.process.pid)) <= 3  # loop, reader, and dash's looker


async def test_a_watcher_outlives_a_workspace_that_is_taken_over(
    pod: Pod, host: Path, tmp_path: Path
) -> None:
    """An image made from another pod has its marker: the watcher starts on that, then anew."""
    git(tmp_path, "clone", "-q", str(host), str(pod.workspace))
    state = pod.workspace / ".git/rumpel"
    state.mkdir()
    (state / "pod").write_text("another\n")
    await pod.start()
    await pod.ask("watch", str(pod.workspace))
    await pod.notice(SOON_S)
    await pod.setup(git(host, "rev-parse", "main"))
    await pod.settle()
    await asyncio.to_thread(watched_commit, pod)
    await pod.notice(SOON_S)


def watched_commit(pod: Pod) -> None:
    pod.git("commit", "-q", "--allow-empty", "-m", "x")
