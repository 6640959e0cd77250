"""`prune`: stopped pods go, those with work stay (notes/original.md part 5, spec 54)."""

from __future__ import annotations

import pexpect
import pytest

from tests.support.home import Home
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


def test_all_repositories_at_once(rumpel_project: ProjectFactory, home: Home) -> None:
    """Of the same names, and from a folder that is in none of them."""
    one, two = rumpel_project(), rumpel_project(name="two")
    three(one)
    three(two)
    assert one.run("prune", "-n").assert_ok().stdout == "clean\nwork\n"
    elsewhere = str(home.path)
    shown = one.run("-C", elsewhere, "prune", "--all", "-n").assert_ok().stdout.splitlines()
    roots = sorted(str(project.root) for project in (one, two))
    assert shown == [f"{name} of {root}" for root in roots for name in ("clean", "work")]
    one.run("prune", "--all").assert_error(2, "4 pods", "rumpel prune --all --force")
    child = one.spawn("prune", "--all")
    child.expect_exact(f"4 stopped pods:\r\n  {shown[0]}".encode())
    child.expect_exact(b"[y/N] ")
    two.run("enter", "clean", "--", "true").assert_ok()  # another of that name was agreed to
    child.send(b"y\r")
    child.expect_exact(f"kept: pod 'work' has 1 uncommitted file (in {roots[0]})".encode())
    child.expect_exact(f"rumpel -C {one.root} undelete clean".encode())
    child.expect(pexpect.EOF)
    assert names(one) == ["busy", "work"]
    assert names(two) == ["busy", "clean", "work"]
    rows = one.run("prune", "-a", "-f", "--json").assert_ok().data
    assert {(row["name"], row["repo"], row["status"]) for row in rows} == {
        ("work", root, "kept") for root in roots
    }


def test_a_repository_that_is_gone_keeps_nobody(rumpel_project: ProjectFactory) -> None:
    one, two = rumpel_project(), rumpel_project(name="two")
    for project in (one, two):
        project.run("create", "clean").assert_ok()
        project.run("stop", "clean").assert_ok()
    aside = two.root.with_name("aside")
    two.root.rename(aside)
    done = one.run("prune", "--all", "--force").assert_ok()
    assert done.stdout == f"clean of {one.root}\n"
    assert f"not looked at: clean of {two.root}" in done.stderr.replace("\n  ", " ")
    aside.rename(two.root)
    assert names(two) == ["clean"]


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
