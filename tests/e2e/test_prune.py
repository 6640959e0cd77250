"""`prune`: stopped pods go, those with work stay (notes/original.md part 5, spec 54)."""

from __future__ import annotations

import pexpect
import pytest

from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd


def names(project: Project) -> list[str]:
    return sorted(project.run("list", "-q").assert_ok().stdout.split())


def three(project: Project) -> None:
    """`clean` and `work` are stopped, `busy` runs."""
    project.run("create", "clean", "work", "busy").assert_ok()
    project.inside("work", "touch precious")
    project.run("stop", "clean", "work").assert_ok()


def test_stopped_pods_go_and_work_stays(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    assert project.run("prune").assert_ok().stderr.endswith("no stopped pods\n")
    three(project)
    assert project.run("prune", "-n").assert_ok().stdout == "clean\nwork\n"
    refused = project.run("prune").assert_error(2, "nobody can answer", "rumpel prune --force")
    assert refused.stdout == ""
    assert names(project) == ["busy", "clean", "work"], "nothing went without a word"
    done = project.run("prune", "--force").assert_ok()
    assert done.stdout == "clean\n"
    assert "kept: pod 'work' has 1 uncommitted file\n  precious" in done.stderr
    assert names(project) == ["busy", "work"]
    rows = project.run("prune", "--force", "--json").assert_ok().data
    assert [(row["name"], row["status"]) for row in rows] == [("work", "kept")]
    assert rows[0]["error"]["code"] == "unmerged"
    project.run("undelete", "clean").assert_ok()
    assert "clean" in names(project)


def test_who_is_asked_may_say_no(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    three(project)
    child = project.spawn("prune")
    child.expect_exact(b"2 stopped pods: clean and work")
    child.expect_exact(b"[y/N] ")
    child.send(b"\r")
    child.expect_exact(b"nothing was deleted")
    child.expect(pexpect.EOF)
    assert names(project) == ["busy", "clean", "work"]
    child = project.spawn("prune")
    child.expect_exact(b"[y/N] ")
    project.run("enter", "clean", "--", "true").assert_ok()  # meanwhile somebody starts it
    child.send(b"y\r")
    child.expect(pexpect.EOF)
    assert names(project) == ["busy", "clean", "work"]


@pytest.mark.slow
def test_a_host_that_is_away_keeps_nobody(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    project = rumpel_project()
    project.run("create", "far", "gone", "--host", "ssh://plain").assert_ok()
    project.run("stop", "far", "gone").assert_ok()
    project.run("prune", "-f", "--host", "local").assert_ok()
    assert names(project) == ["far", "gone"], "those are elsewhere"
    project.docker.api.start(project.container_id("gone"))
    project.wait_until(lambda: "running" in project.run("list").stdout, "list shows that it runs")
    assert project.run("prune", "-f", "--host", "ssh://plain").assert_ok().stdout == "far\n"
    project.run("stop", "gone").assert_ok()
    sshd.stop()
    project.wait_until(
        lambda: "unreachable" in project.run("list").stdout, "list shows that it is away"
    )
    done = project.run("prune", "-f", timeout=10).assert_ok()
    assert "not looked at: gone" in done.stderr
    assert names(project) == ["gone"]
    sshd.start()
    project.wait_until(
        lambda: project.run("prune", "-f").stdout == "gone\n", "it is back, and stopped"
    )
