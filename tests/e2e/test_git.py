"""Commits and branches between pods and the host (notes/original.md part 5, specs 22-38)."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

COMMIT = "echo $RANDOM-$1 >>file-$1 && git add -A && git commit -qm $1 && git rev-parse HEAD"


def commit(project: Project, pod: str, subject: str = "work") -> str:
    out = project.run("enter", pod, "--", "sh", "-c", COMMIT, "sh", subject).assert_ok()
    return out.stdout.strip()


def delete(project: Project, *pods: str) -> None:
    project.run("delete", "--force", *pods).assert_ok()


def test_a_commit_arrives(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    oid = commit(project, "p")
    project.wait_for_ref("p", oid)
    project.wait_for_ref("p@p", oid)
    project.git("merge", "--ff-only", "rumpelpod/p")
    assert project.repo.oid("HEAD") == oid
    project.run("delete", "p").assert_ok()


def test_amend_reset_branch_and_delete_are_followed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    start = project.repo.oid("HEAD")
    first = commit(project, "p", "one")
    project.wait_for_ref("p", first)
    amended = project.inside("p", "git commit -q --amend -m better && git rev-parse HEAD")
    project.wait_for_ref("p", amended)
    project.inside("p", "git reset -q --hard HEAD~1")
    project.wait_for_ref("p", start)
    project.inside("p", "git branch topic/one")
    project.wait_for_ref("topic/one@p", start)
    assert "topic/one" not in project.repo.published()
    project.inside("p", "git branch -D topic/one")
    project.wait_until(lambda: "topic/one@p" not in project.repo.published(), "the branch is gone")
    kept = project.repo.refs("refs/rumpel/keep").values()
    assert {first, amended} <= set(kept), "what was seen once is never lost"


def test_a_fresh_pod_is_published(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    head = project.repo.oid("HEAD")
    assert project.repo.published() == {"p": head, "p@p": head}


def test_two_pods_and_each_others_names(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "alice", "bob").assert_ok()
    bob = commit(project, "bob")
    project.wait_for_ref("bob", bob)
    alice = project.inside(
        "alice",
        "git switch -qc bob && git commit -q --allow-empty -m x && git rev-parse HEAD",
    )
    project.wait_for_ref("bob@alice", alice)
    published, head = project.repo.published(), project.repo.oid("HEAD")
    assert (published["bob"], published["bob@bob"], published["alice"]) == (bob, bob, head)
    # The short name is the pod's own branch, whichever is checked out.
    own = project.inside(
        "alice",
        "git update-ref refs/heads/alice $(git commit-tree -p alice -m own alice^{tree}) && "
        "git rev-parse refs/heads/alice",
    )
    project.wait_for_ref("alice", own)
    assert project.repo.published()["bob@alice"] == alice != own
    delete(project, "alice", "bob")


def test_host_branches_are_kept_in_sync(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    oid = project.commit("on the host", {"new.txt": "new"})
    project.wait_until(
        lambda: project.inside("p", "git rev-parse refs/remotes/host/main") == oid,
        "the host's commit is in the pod",
    )
    assert project.inside("p", "git rev-parse host/HEAD") == oid
    assert (
        project.inside("p", "git symbolic-ref refs/remotes/host/HEAD") == "refs/remotes/host/main"
    )
    project.git("switch", "-qc", "next")
    project.wait_until(
        lambda: (
            project.inside("p", "git symbolic-ref refs/remotes/host/HEAD")
            == "refs/remotes/host/next"
        ),
        "host/HEAD follows",
    )
    project.git("switch", "-q", "--detach", "HEAD~1")
    before = project.repo.oid("HEAD")
    project.wait_until(
        lambda: project.inside("p", "git rev-parse host/HEAD") == before, "a detached HEAD too"
    )
    assert project.inside("p", "git rev-parse refs/remotes/host/next") == oid
    project.git("branch", "-qD", "next")
    project.wait_until(
        lambda: "host/next" not in project.inside("p", "git branch -r"), "a deleted branch goes"
    )
    assert project.inside("p", "git fetch host && echo fetched") == "fetched"
    assert "rumpelpod" not in project.inside("p", "git branch -r")


def test_a_detached_host_without_branches(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    head = project.repo.oid("HEAD")
    project.git("switch", "-q", "--detach")
    project.git("branch", "-qD", "main")
    assert project.inside("p", "git rev-parse HEAD") == head
    assert project.inside("p", "git rev-parse --abbrev-ref HEAD") == "p"
    assert project.inside("p", "git config branch.p.merge || echo none") == "none"


def test_an_unborn_host(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=None)
    project.git("checkout", "-q", "--orphan", "empty")
    project.git("branch", "-qD", "main")
    project.run("create", "p", env={"RUMPEL_DEFAULT_IMAGE": MINI_IMAGE}).assert_ok()
    oid = commit(project, "p")
    project.wait_for_ref("p", oid)
    delete(project, "p")


def test_upstream_of_the_pods_branch(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    main = project.repo.oid("main")
    project.git("switch", "-qc", "p")
    theirs = project.commit("on the host's own p")
    project.git("switch", "-q", "main")
    assert project.inside("p", "git rev-parse --abbrev-ref p@{upstream}") == "host/main"
    project.git("switch", "-qc", "elsewhere")
    assert project.inside("p", "git rev-parse --abbrev-ref p@{upstream}") == "host/main"
    assert project.inside("p", "git rev-parse refs/remotes/host/p refs/heads/p").split() == [
        *(theirs, main)
    ]
    assert project.repo.oid("refs/heads/p") == theirs


def test_from_a_named_revision(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    first = project.repo.oid("HEAD")
    project.commit("second")
    project.git("tag", "v1", first)
    project.run("create", "p", "--from", "v1").assert_ok()
    assert project.inside("p", "git rev-parse HEAD") == first
    project.run("create", "q", "--from", "no-such-thing").assert_error(3, "no-such-thing")


def test_remotes_of_the_host_without_credentials(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.git("remote", "add", "origin", "https://user:secret@example.com/repo.git")
    out = project.inside("p", "git remote -v")
    assert "https://example.com/repo.git" in out
    assert "secret" not in out


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_a_commit_made_while_the_daemon_was_down(rumpel_project: ProjectFactory, way: str) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    if way == "kill":
        project.home.kill_daemon()
    else:
        project.run("daemon", "stop").assert_ok()
    script = "git commit -q --allow-empty -m alone && git rev-parse HEAD"
    made = project.exec("p", "sh", "-c", f"cd /workspaces/repo && {script}")
    oid = made.stdout.strip()
    assert project.repo.published()["p"] != oid
    project.run("list").assert_ok()
    project.wait_for_ref("p", oid, timeout_s=30)
    later = commit(project, "p", "later")
    project.wait_for_ref("p", later)
    delete(project, "p")


@pytest.mark.parametrize("network", ["none", "host", "bridge"])
def test_networks(rumpel_project: ProjectFactory, network: str) -> None:
    config: dict[str, Any] = {"image": MINI_IMAGE, "runArgs": [f"--network={network}"]}
    project = rumpel_project(config=config)
    project.run("create", "a", "b", "--trust").assert_ok()
    for pod in ("a", "b"):
        oid = commit(project, pod)
        project.wait_for_ref(pod, oid)
    delete(project, "a", "b")


def test_nothing_else_is_written_in_the_users_repository(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    git_dir = project.root / ".git"
    before = _everything_else(git_dir)
    oid = commit(project, "p")
    project.wait_for_ref("p", oid)
    project.inside("p", "git branch other && git tag v1")
    project.wait_for_ref("other@p", oid)
    assert _everything_else(git_dir) == before
    assert all(
        name.startswith(("refs/heads/", "refs/remotes/rumpelpod/", "refs/rumpel/"))
        for name in project.repo.refs()
    )
    delete(project, "p")
    assert _everything_else(git_dir) == before
    assert project.repo.published() == {}


def _everything_else(git_dir: Any) -> dict[str, bytes]:
    """All files of a git dir but objects and our two namespaces."""
    ours = ("objects/", "refs/remotes/rumpelpod", "refs/rumpel", "logs/refs/remotes/rumpelpod")
    found = {}
    for path in sorted(git_dir.rglob("*")):
        name = str(path.relative_to(git_dir))
        if path.is_file() and not name.startswith(ours):
            found[name] = path.read_bytes()
    return found


def test_hooks_replaced_in_the_pod(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.inside("p", "mkdir .husky && git config core.hooksPath .husky")
    oid = commit(project, "p")
    project.wait_for_ref("p", oid, timeout_s=5)
    delete(project, "p")


def test_a_daemon_that_hangs_holds_up_no_commit(rumpel_project: ProjectFactory) -> None:
    """Trap 13: its notices go into a stream that nobody reads."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    (daemon,) = project.home.daemon_pids()
    os.kill(daemon, signal.SIGSTOP)
    try:
        many = "for i in $(seq 60); do git commit -q --allow-empty -m $i; done; git rev-parse HEAD"
        made = project.exec("p", "sh", "-ec", f"cd /workspaces/repo; {many}")
    finally:
        os.kill(daemon, signal.SIGCONT)
    project.wait_for_ref("p", made.stdout.strip())
    delete(project, "p")


def test_hooks_of_the_host_play_no_part(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    for name in ("pre-push", "reference-transaction", "post-merge", "pre-receive"):
        hook = project.root / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >>{project.root}/ran\nexit 1\n")
        hook.chmod(0o755)
    oid = commit(project, "p")
    project.wait_for_ref("p", oid)
    assert not (project.root / "ran").exists()
    delete(project, "p")


def test_what_was_thrown_away_is_in_no_pod(rumpel_project: ProjectFactory) -> None:
    """Its pack seemed to be the branches' own, and was on its way when it was found out."""
    project = rumpel_project()
    project.commit("large", {"random": os.urandom(9 << 20)})
    secret = project.repo.git("hash-object", "-w", "--stdin", input=b"secret\n")
    names = project.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    project.repo.git("pack-objects", "-q", ".git/objects/pack/pack", input=f"{names}\n".encode())
    project.git("prune-packed")
    project.run("create", "p").assert_ok()
    kinds = project.exec("p", "git", "cat-file", "--batch-check", "--batch-all-objects").stdout
    assert secret not in kinds
    project.repo.git("cat-file", "-e", secret)
    assert "has more than the branches" in project.home.log_tail()
    project.run("delete", "--force", "p").assert_ok()
