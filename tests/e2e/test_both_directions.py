"""What a user does to the host harms no pod, and what a pod does to itself, no ref of the host."""

from __future__ import annotations

import pytest

from tests.support.project import Project, ProjectFactory

WORKSPACE = "/workspaces/repo"
COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"
OLD_GIT = "hook=.git/hooks/reference-transaction && test -x $hook && rm $hook"
HUSKY = "mkdir .husky && git config core.hooksPath .husky"
PURGE = ("reflog", "expire", "--expire=now", "--expire-unreachable=now", "--all")


def inside(project: Project, pod: str, script: str) -> str:
    done = project.exec(pod, "sh", "-ec", f"cd {WORKSPACE} && {script}")
    return done.stdout.strip()


def test_the_host_rewrites_and_collects(rumpel_project: ProjectFactory) -> None:
    """A pod borrows from the seed, its door from the host: neither may miss an object."""
    project = rumpel_project()
    project.git("switch", "-qc", "feature")
    start = project.commit("feature", {"f.txt": "f"})
    project.run("create", "p").assert_ok()
    first = inside(project, "p", COMMIT)
    project.wait_for_ref("p", first)
    amended = inside(project, "p", "git commit -q --amend --allow-empty -m n; git rev-parse HEAD")
    project.wait_for_ref("p", amended)
    inside(project, "p", f"git branch side && {COMMIT}")
    # The branch the pod was made from is rebased, then deleted; nothing but pods has its commits.
    project.git("switch", "-q", "main")
    project.commit("main goes on", {"m.txt": "m"})
    project.git("rebase", "-q", "main", "feature")
    project.git("switch", "-q", "main")
    project.git("branch", "-qD", "feature")
    project.git(*PURGE)
    project.git("gc", "-q", "--prune=now", "--aggressive")
    project.git("pack-refs", "--all", "--prune")
    assert project.repo.oid(f"{start}^{{commit}}") == start, "a published ref holds it"
    assert first in project.repo.refs("refs/rumpel/keep").values()
    last = inside(project, "p", COMMIT)
    project.wait_for_ref("p", last)
    assert project.repo.published()["side@p"] == amended
    project.git("fsck", "--full", "--strict")
    assert "missing" not in inside(project, "p", "git fsck --full 2>&1")
    assert inside(project, "p", "git log --format=%H -- f.txt") == start
    # Also when nothing on the host holds the pod's commits any more: they are fetched again.
    for name in project.repo.refs("refs/remotes/rumpelpod", "refs/rumpel"):
        project.git("update-ref", "-d", name)
    project.git(*PURGE)
    project.git("gc", "-q", "--prune=now")
    assert project.repo.run_git("cat-file", "-e", last).returncode != 0
    newer = inside(project, "p", COMMIT)
    project.wait_for_ref("p", newer)
    project.git("fsck", "--full", "--strict")
    assert project.repo.published()["side@p"] == amended
    project.run("delete", "--force", "p").assert_ok()
    assert newer in project.repo.refs("refs/rumpel/keep").values()


def test_the_pod_collects(rumpel_project: ProjectFactory) -> None:
    """git 2.39 tells the hook of pack-refs as if the branches were deleted."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    oid = inside(project, "p", f"{COMMIT} && git branch side && git branch deep/er")
    names = {"p", "p@p", "side@p", "deep/er@p"}
    project.wait_until(lambda: set(project.repo.published()) == names, "all are published")
    inside(project, "p", "git pack-refs --all --prune && git gc -q --prune=now && git gc -q --auto")
    inside(project, "p", f"{' '.join(('git', *PURGE))} && git repack -q -ad")
    after = inside(project, "p", COMMIT)
    project.wait_for_ref("p", after)
    assert project.repo.published() == {
        **dict.fromkeys(names, oid),
        "p": after,
        "p@p": after,
    }
    inside(project, "p", "git branch -D side && git gc -q --prune=now")
    project.wait_until(lambda: "side@p" not in project.repo.published(), "one was deleted")
    assert project.repo.published()["deep/er@p"] == oid
    project.run("delete", "--force", "p").assert_ok()


@pytest.mark.parametrize("script", [OLD_GIT, HUSKY], ids=["old-git", "husky"])
def test_commits_arrive_without_our_hook(rumpel_project: ProjectFactory, script: str) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    inside(project, "p", script)
    for _ in range(2):
        oid = inside(project, "p", COMMIT)
        project.wait_for_ref("p", oid)
    amended = inside(project, "p", "git commit -q --amend --allow-empty -m n; git rev-parse HEAD")
    project.wait_for_ref("p", amended)
    inside(project, "p", "git branch topic/x && git pack-refs --all")
    project.wait_until(lambda: "topic/x@p" in project.repo.published(), "a branch")
    inside(project, "p", "git branch -D topic/x")
    project.wait_until(lambda: "topic/x@p" not in project.repo.published(), "its end")
    project.run("delete", "--force", "p").assert_ok()


def test_tags_stay_in_the_pod(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.git("tag", "ours")
    project.run("create", "p").assert_ok()
    inside(project, "p", "git tag light && git tag -am note noted")
    oid = inside(project, "p", COMMIT)
    project.wait_for_ref("p", oid)
    assert project.git("tag") == "ours"
    project.run("delete", "--force", "p").assert_ok()
    assert project.git("tag") == "ours"
