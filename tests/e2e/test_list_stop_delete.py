"""`list`, `stop`, `delete` (notes/original.md part 5, specs 45-53), and their safety."""

from __future__ import annotations

import pytest

from tests.support.project import Project, ProjectFactory

COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"


def commit(project: Project, pod: str) -> str:
    oid = project.run("enter", pod, "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()
    project.wait_for_ref(pod, oid)
    return oid


def status(project: Project, pod: str) -> str:
    rows = project.run("list", "--json").assert_ok().data
    return str(next(row["status"] for row in rows if row["name"] == pod))


def test_an_empty_list_is_a_header(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    out = project.run("list").assert_ok().stdout
    assert out.split()[:2] == ["NAME", "AGENT"]
    assert len(out.splitlines()) == 1
    assert "HOST" not in out
    assert project.run("list", "-q").assert_ok().stdout == ""


def test_ahead_and_behind(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    assert "up to date" in project.run("list").assert_ok().stdout
    commit(project, "p")
    assert "ahead 1" in project.run("list").assert_ok().stdout
    project.commit("host")
    assert "ahead 1, behind 1" in project.run("list").assert_ok().stdout
    project.git("merge", "-q", "--no-edit", "rumpelpod/p")
    assert "behind 2" in project.run("list").assert_ok().stdout
    project.run("delete", "p").assert_ok()


def test_order(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a", "b", "c", "d").assert_ok()
    commit(project, "c")
    project.run("enter", "b", "--", "sh", "-c", f"sleep 1.1; {COMMIT}").assert_ok()
    project.wait_until(
        lambda: project.repo.published()["b"] != project.repo.oid("main"), "b's commit"
    )
    project.run("stop", "b").assert_ok()
    rows = project.run("list", "-q").assert_ok().stdout.split()
    assert rows == ["c", "a", "d", "b"]
    project.run("delete", "--force", *rows).assert_ok()


def test_other_repositories_are_invisible(rumpel_project: ProjectFactory) -> None:
    one, two = rumpel_project(name="one"), rumpel_project(name="two")
    one.run("create", "p").assert_ok()
    two.run("create", "q").assert_ok()
    assert one.run("list", "-q").assert_ok().stdout == "p\n"
    assert sorted(one.run("list", "--all", "-q").assert_ok().stdout.split()) == ["p", "q"]
    one.run("enter", "q", "--", "true").assert_ok()
    assert len(one.containers("q")) == 2, "the same name in another repository is another pod"


def test_unmerged_work_is_not_deleted(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    oid = commit(project, "p")
    refused = project.run("delete", "p").assert_error(4, "unmerged", oid[:12], "--force")
    assert "rumpel merge p" in refused.stderr
    assert status(project, "p") == "running"
    project.run("delete", "--force", "p").assert_ok()
    assert project.repo.published() == {}
    assert oid in project.repo.refs("refs/rumpel/keep").values()
    project.git("gc", "-q", "--prune=now")
    project.git("cat-file", "-e", f"{oid}^{{commit}}")


def test_unmerged_work_on_another_branch_counts(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    script = "git switch -qc side && git commit -q --allow-empty -m side && git switch -q p"
    project.run("enter", "p", "--", "sh", "-c", script).assert_ok()
    project.run("delete", "p").assert_error(4, "1 unmerged commit")
    project.run("delete", "--force", "p").assert_ok()


def test_uncommitted_files_are_not_deleted(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".gitignore": "ignored\n"})
    project.run("enter", "p", "--", "touch", "ignored").assert_ok()
    project.run("enter", "p", "--", "touch", "precious").assert_ok()
    project.run("delete", "p").assert_error(4, "1 uncommitted file", "--force")
    project.wait_until(lambda: "+dirty" in project.run("list").stdout, "list shows what is dirty")
    project.run("enter", "p", "--", "rm", "precious").assert_ok()
    project.run("delete", "p").assert_ok()


@pytest.mark.parametrize("how", ["rumpel", "docker"])
def test_a_stopped_pod_is_looked_into(rumpel_project: ProjectFactory, how: str) -> None:
    project = rumpel_project()
    project.run("enter", "p", "--", "touch", "precious").assert_ok()
    if how == "rumpel":
        project.run("stop", "p").assert_ok()
    else:
        project.docker.api.stop(project.container_id("p"), timeout=1)
    project.wait_until(lambda: status(project, "p") == "stopped", "list shows it")
    project.run("delete", "p").assert_error(4, "uncommitted")
    project.run("delete", "--force", "p").assert_ok()


def test_unknown_is_not_clean(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    project.exec("p", "rm", "-rf", "/workspaces/repo/.git/HEAD")
    project.run("delete", "p").assert_error(4, "cannot tell", "--force")
    project.run("delete", "--force", "p").assert_ok()


def test_several_with_one_missing(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a", "c").assert_ok()
    project.run("stop", "a", "b", "c").assert_error(7, "1 of 3", "b")
    assert (status(project, "a"), status(project, "c")) == ("stopped", "stopped")
    project.run("delete", "a", "b", "c").assert_error(7, "b")
    assert project.run("list", "-q").assert_ok().stdout == ""
    assert project.containers() == []


def test_a_name_can_be_used_again(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    first = project.container_id("p")
    project.run("delete", "p").assert_ok()
    project.run("enter", "p", "--", "true").assert_ok()
    assert project.container_id("p") != first


def test_the_last_pod_takes_the_gateway_with_it(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a", "b").assert_ok()
    label = project.home.label
    assert label is not None
    assert len(project.docker.containers(label)) == 3
    project.run("delete", "a").assert_ok()
    assert len(project.docker.containers(label)) == 2
    project.run("delete", "b").assert_ok()
    assert project.docker.containers(label) == []
    kinds = [item["Labels"]["rumpel.kind"] for item in project.docker.volumes(label)]
    assert kinds == ["agents"], "programs are kept for the next pod"


def test_stop_and_start(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    script = f"echo dirty >file; {COMMIT}"
    oid = project.run("enter", "p", "--", "sh", "-c", script).assert_ok().stdout.strip()
    container = project.container_id("p")
    project.run("stop", "p").assert_ok()
    assert project.repo.published()["p"] == oid, "a stop imports first"
    assert status(project, "p") == "stopped"
    project.run("stop", "p").assert_ok()
    assert project.run("enter", "p", "--", "cat", "file").assert_ok().stdout == "dirty\n"
    assert project.container_id("p") == container
    project.run("delete", "--force", "p").assert_ok()


def test_deleted_while_entered(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    child = project.spawn("enter", "p", "--", "sh", "-c", "echo inside; sleep 300")
    child.expect(rb"inside")
    project.run("delete", "--force", "p").assert_ok()
    child.expect(rb".*", timeout=10)
    child.wait()
    assert child.exitstatus in (137, 143)
