"""`recreate` of a pod with submodules: their work comes along, and they stay in sync."""

from __future__ import annotations

from tests.e2e.test_submodule_trash import WORK, nested_project, picture
from tests.e2e.test_submodules import COMMIT, inside, wait
from tests.support import exact
from tests.support.project import CONFIG_NAMES, DEFAULT_CONFIG, Project, ProjectFactory

FOLDER = "/workspaces/repo"


def bytes_of(project: Project) -> exact.Picture:
    """But for what each fetch writes."""
    found = exact.picture(project.docker, project.container_id("p"), FOLDER)
    return {name: item for name, item in found.items() if not name.endswith("/FETCH_HEAD")}


def test_a_new_container_has_the_work_in_submodules(rumpel_project: ProjectFactory) -> None:
    """Of a pod that runs, then of the same pod stopped."""
    project, outer, inner, plain = nested_project(rumpel_project)
    inside(project, "p", WORK, "outer/deep/inner")
    inside(project, "p", "git add -A deep; git commit -qm bump; git checkout -q --detach", "outer")
    inside(project, "p", "echo loose >>in.txt; git commit -qam loose", "outer")
    inside(project, "p", "git switch -q -c other; git rm -q in.txt; echo x >new.txt", "plain")
    shown, first = picture(project), project.container_id("p")
    for state in ("running", "stopped"):
        if state == "stopped":
            project.run("stop", "p").assert_ok()
        before = bytes_of(project)
        project.write({CONFIG_NAMES[0]: {**DEFAULT_CONFIG, "containerEnv": {"A": state}}})
        project.run("recreate", "p").assert_ok()
        assert project.container_id("p") != first, state
        # As any repository in a workspace: whole, with what it ignores.
        assert "outer/deep/inner/ignored" in before
        assert exact.differences(before, bytes_of(project)) == [], state
        assert picture(project) == shown, state
        first = project.container_id("p")

    # Both ways, with nested ones and with what was made in the old container.
    assert inner.published().keys() >= {"side@p", "p@p"}
    for module, folder, name in ((inner, "outer/deep/inner", "p"), (plain, "plain", "other@p")):
        wait(project, module, name, inside(project, "p", COMMIT, folder))
    oid = outer.commit("on the host", {"more.txt": "m\n"})
    project.wait_until(
        lambda: inside(project, "p", "git rev-parse host/main", "outer") == oid,
        "the host's commit is in the new container",
    )
    project.run("delete", "--force", "p").assert_ok()
