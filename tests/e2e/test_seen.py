"""What `list` tells of a pod is what there is: at once, also after a new start of the daemon."""

from __future__ import annotations

import pexpect

from tests.support.project import Project, ProjectFactory

COMMIT = "git commit -q --allow-empty -m more; git rev-parse HEAD"


def row(project: Project, *options: str) -> str:
    return project.run("list", *options).assert_ok().stdout.splitlines()[1]


def test_what_list_tells_of_a_pod(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.git("tag", "v1")
    project.run("create", "p", "--from", "v1").assert_ok()
    assert "up to date  " in row(project)
    for count in range(1, 6):
        oid = project.inside("p", COMMIT)
        assert project.repo.published()["p"] == oid, "it is here when the command has ended"
        assert f"ahead {count}  " in row(project)
    # Work on another branch is marked.
    other = project.inside("p", f"git switch -qc feature/login; {COMMIT}")
    assert project.repo.published()["feature/login@p"] == other
    assert "ahead 5 +1 on feature/login" in row(project)
    told = project.run("delete", "p").assert_error(4, "6 unmerged commits", "rumpel merge p   ")
    assert "branch NEW" not in told.stderr
    project.inside("p", "git switch -q p")
    reviewed = project.run("review", "p", "--stat").assert_ok()
    assert "1 commit on branch feature/login: rumpel review p:feature/login" in reviewed.stderr
    one = project.run("review", "p:feature/login", "--json").assert_ok().data
    assert (one["commit"], one["ahead"]) == (other, 6)
    merged = project.run("merge", "p", "--keep").assert_ok()
    assert "option ignored" not in merged.stdout + merged.stderr
    assert "up to date +1 on feature/login" in row(project), "made from a tag, and merged"
    again = project.run("merge", "p", "--keep").assert_ok()
    assert "1 commit on branch feature/login: rumpel merge p:feature/login" in again.stderr
    project.run("delete", "p").assert_error(4, "1 unmerged commit", "rumpel merge p:feature/login ")
    project.run("merge", "p:none").assert_error(3, "no branch 'none'; it has feature/login and p")
    project.run("merge", "p:feature/login", "--keep", "--no-ff").assert_ok()
    assert project.git("rev-parse", "HEAD^2") == other
    assert "branch 'rumpelpod/feature/login@p'" in project.git("log", "-1", "--format=%s")
    assert "up to date  " in row(project)
    project.inside("p", "git branch -qD feature/login")
    # A commit on no branch.
    project.inside("p", "git switch -q --detach; git commit -q --allow-empty -m loose")
    project.run("delete", "p").assert_error(4, "1 commit on no branch", "-- git branch NEW")
    project.inside("p", "git branch new; git switch -q p")
    project.run("merge", "p:new", "--keep").assert_ok()
    # What is not committed, while somebody works there.
    shell = project.spawn("enter", "p")
    shell.sendline("echo rea''dy")
    shell.expect(rb"ready")
    assert "dirty" not in row(project)
    shell.sendline("touch precious; echo do''ne")
    shell.expect(rb"done")
    project.wait_until(lambda: "up to date +dirty  " in row(project), "the new file is seen")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    project.run("stop", "p").assert_ok()
    project.run("daemon", "restart").assert_ok()
    assert "up to date +dirty  " in row(project), "as last seen"
    project.run("enter", "p", "--", "true").assert_ok()
    project.exec("p", "rm", "/workspaces/repo/precious")
    assert "dirty" not in row(project, "--refresh")
    project.run("delete", "p").assert_ok()


def test_what_people_are_told(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "alice", "bob").assert_ok()
    other = project.run("list", env={"DOCKER_HOST": "unix:///nowhere"}).assert_ok()
    assert "DOCKER_HOST is ignored" in other.stderr
    project.run("delete", "alcie").assert_error(3, "did you mean alice?")
    for verb in ("merge", "stop", "delete", "recreate", "snapshot"):
        project.run(verb, "b").assert_error(3, "did you mean bob?")
        unknown = project.run(verb, "nosuch").assert_error(3, "rumpel list")
        assert "rumpel create" not in unknown.stderr
    project.inside("alice", "touch precious")
    project.run("delete", "alice", "bob").assert_code(7)
    assert project.run("list", "-q").stdout == "alice\n"
    project.docker.api.remove_container(project.container_id("alice"), force=True)
    again = project.run("enter", "alice", "--", "touch", "precious").assert_ok()
    assert "the container of pod alice is gone" in again.stderr
    project.docker.api.remove_container(project.container_id("alice"), force=True)
    project.write({"README.md": "# Changed on the host\n"})
    shell = project.spawn("enter", "alicee")
    shell.expect(rb"new pod alicee; did you mean alice\?")
    shell.expect(rb"uncommitted change")
    shell.sendline("echo rea''dy")
    shell.expect(rb"ready")
    assert "1 open session" in project.run("stop", "alicee").assert_ok().stderr
    shell.expect(rb"pod alicee is stopped")
    shell.expect(pexpect.EOF)
    project.run("delete", "alice").assert_error(4, "is gone", "1 uncommitted file", "--force alice")
    lost = project.run("delete", "--force", "alice", "alicee").assert_ok()
    assert "had 1 uncommitted file when it was last seen" in lost.stderr
