"""Pods see each other's branches as the remote `rumpelpod`; no pod can push (specs 26, 27, 32)."""

from __future__ import annotations

from rumpel import names
from tests.support.project import Project, ProjectFactory

WORKSPACE = "/workspaces/repo"
COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"


def inside(project: Project, pod: str, script: str) -> str:
    """Past rumpel: what is seen is not brought by the command that looks."""
    done = project.exec(pod, "sh", "-ec", f"cd {WORKSPACE} && {script}")
    assert done.code == 0, done
    return done.stdout.strip()


def seen(project: Project, pod: str) -> dict[str, str]:
    lines = inside(
        project, pod, "git for-each-ref --format='%(refname) %(objectname)' refs/remotes/rumpelpod"
    )
    pairs = (line.split() for line in lines.splitlines())
    return {name.removeprefix("refs/remotes/rumpelpod/"): oid for name, oid in pairs}


def others(project: Project, pod: str) -> dict[str, str]:
    """What `pod` should see: all that is published, but its own."""
    published = project.repo.published().items()
    return {name: oid for name, oid in published if name.rpartition("@")[2] != pod}


def wait_until_equal(project: Project, *pods: str) -> None:
    def is_so() -> bool:
        return all(seen(project, pod) == others(project, pod) for pod in pods)

    project.wait_until(is_so, f"{pods} see what is published")


def test_each_pod_sees_the_branches_of_the_others(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "alice", "bob", "carol").assert_ok()
    oid = inside(project, "bob", COMMIT)
    project.wait_for_ref("bob", oid)
    wait_until_equal(project, "alice", "carol")
    assert seen(project, "alice")["bob"] == seen(project, "alice")["bob@bob"] == oid
    assert not [name for name in seen(project, "bob") if name.endswith("bob")]
    inside(project, "alice", "git merge -q rumpelpod/bob && test $(git rev-parse HEAD) = " + oid)
    # Everything that a branch can do is followed, also where names stand in each other's way.
    inside(project, "bob", "git branch topic && git switch -qc fix/x")
    wait_until_equal(project, "alice", "carol")
    inside(
        project, "bob", f"git switch -q bob && git branch -D fix/x && git branch fix && {COMMIT}"
    )
    inside(project, "bob", "git commit -q --amend --allow-empty -m other && git branch -D topic")
    project.wait_until(lambda: "topic@bob" not in project.repo.published(), "published")
    wait_until_equal(project, "alice", "carol")
    assert "topic@bob" not in seen(project, "alice")
    project.run("delete", "--force", "bob").assert_ok()
    wait_until_equal(project, "alice", "carol")
    assert "bob" not in seen(project, "carol")
    assert inside(project, "carol", "git fsck --connectivity-only --no-dangling 2>&1") == ""


def test_fetch_works_offline_and_host_brings_none(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "alice", "bob").assert_ok()
    oid = inside(project, "bob", COMMIT)
    project.wait_for_ref("bob", oid)
    wait_until_equal(project, "alice")
    script = "git for-each-ref --format='delete %(refname)' refs/remotes/rumpelpod"
    inside(project, "alice", f"{script} | git update-ref --stdin")
    inside(project, "alice", "git update-ref -d refs/remotes/host/main")
    inside(project, "alice", "git fetch -q host")
    assert seen(project, "alice") == {}
    assert "rumpelpod" not in inside(project, "alice", "git ls-remote host")
    inside(project, "alice", "git fetch -q rumpelpod")
    assert seen(project, "alice") == others(project, "alice")
    assert inside(project, "alice", "git rev-parse host/main") == project.repo.oid("main")
    # A pod that comes back, and one whose daemon did, are told what they missed.
    project.run("stop", "alice").assert_ok()
    newer = inside(project, "bob", COMMIT)
    project.wait_for_ref("bob", newer)
    project.run("enter", "alice", "--", "true").assert_ok()
    wait_until_equal(project, "alice")
    project.home.kill_daemon()
    last = inside(project, "bob", COMMIT)
    project.run("list").assert_ok()
    project.wait_for_ref("bob", last, timeout_s=30)
    wait_until_equal(project, "alice")
    project.run("delete", "--force", "alice", "bob").assert_ok()


def test_pods_that_do_not_share(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".rumpelpod.json": {"shareBranches": False}})
    project.run("create", "alice", "bob").assert_ok()
    project.run("create", "open", "free", env={"RUMPEL_SHARE_BRANCHES": "true"}).assert_ok()
    oid = inside(project, "bob", COMMIT)
    project.wait_for_ref("bob", oid)
    free = inside(project, "free", COMMIT)
    project.wait_until(lambda: seen(project, "open").get("free") == free, "those that share do")
    assert set(seen(project, "open")) == {"free", "free@free"}
    assert seen(project, "alice") == {}
    assert inside(project, "alice", "git remote") == "host"
    shown = inside(project, "open", "git ls-remote rumpelpod")
    assert "bob" not in shown
    project.run("create", "x", env={"RUMPEL_SHARE_BRANCHES": "maybe"}).assert_error(
        2, "shareBranches", "true or false"
    )
    project.run("delete", "--force", "alice", "bob", "open", "free").assert_ok()


PUSHES = (
    "git push",
    "git push host",
    "git push host HEAD:refs/heads/main",
    "git push --force host alice:main :other",
    "git push rumpelpod",
    "git push rumpelpod HEAD:refs/rumpelpod/bob",
)
RAW_PUSHES = (
    "git push --receive-pack=git-receive-pack host HEAD:refs/heads/main",
    f"git push {names.SEED_PATH} HEAD:refs/rumpelpod/bob HEAD:refs/heads/main :other",
)


def test_a_push_changes_nothing_and_says_why(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.git("branch", "other")
    project.run("create", "alice", "neighbour").assert_ok()
    oid = inside(project, "alice", COMMIT)
    project.wait_for_ref("alice", oid)
    wait_until_equal(project, "alice", "neighbour")
    listing = f"git --git-dir={names.SEED_PATH} for-each-ref"
    project.wait_until(
        lambda: f"{oid} commit\trefs/rumpelpod/alice@alice" in inside(project, "alice", listing),
        "the commit is in the seed",
    )
    seed, before = inside(project, "alice", listing), project.repo.refs()
    for command in (*PUSHES, *RAW_PUSHES):
        done = project.exec("alice", "sh", "-c", f"cd {WORKSPACE} && {command}", check=False)
        assert done.code != 0, command
        if command in PUSHES:
            assert "commits reach the host by themselves" in done.stderr, done
    assert project.repo.refs() == before
    assert inside(project, "alice", listing) == seed
    project.run("delete", "--force", "alice").assert_ok()
