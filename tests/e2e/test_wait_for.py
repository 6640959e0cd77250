"""`waitFor`: the commands after it are run, and nobody waits for them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

pytestmark = [pytest.mark.slow]
UNTIL_GO = "until [ -e /tmp/go ]; do sleep 0.1; done; echo created >>/tmp/hooks"


def configured(project: Project, **more: Any) -> None:
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], **more}
    project.commit("configuration", {".devcontainer/devcontainer.json": json.dumps(config)})


def status(project: Project, name: str) -> str:
    rows = json.loads(project.run("list", "--json").assert_ok().stdout)["data"]
    return str(next(row["status"] for row in rows if row["name"] == name))


def test_who_enters_does_not_wait_for_the_rest(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(
        project,
        waitFor="onCreateCommand",
        onCreateCommand="echo on-create >>/tmp/hooks",
        postCreateCommand=UNTIL_GO,
        postStartCommand="echo started >>/tmp/hooks",
    )
    project.run("create", "a").assert_ok()
    entered = project.run("enter", "a", "--", "cat", "/tmp/hooks").assert_ok()
    assert entered.stdout == "on-create\n"
    assert status(project, "a") == "running"
    project.run("create", "a").assert_ok()
    project.inside("a", "touch /tmp/go")
    project.wait_until(lambda: "started" in project.inside("a", "cat /tmp/hooks"), "the rest")
    assert project.inside("a", "cat /tmp/hooks").splitlines() == ["on-create", "created", "started"]
    project.wait_until(lambda: "postStartCommand" in project.run("graph", "a").stdout, "the rest")
    project.run("stop", "a").assert_ok()
    project.run("enter", "a", "--", "true").assert_ok()
    project.wait_until(lambda: project.inside("a", "grep -c started /tmp/hooks") == "2", "the rest")
    assert project.inside("a", "grep -c created /tmp/hooks") == "1"


def test_what_is_left_goes_on_after_a_kill_of_the_daemon(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, waitFor="onCreateCommand", postCreateCommand=UNTIL_GO)
    project.run("create", "a").assert_ok()
    project.home.kill_daemon()
    project.run("list").assert_ok()  # any command: another daemon is all that it takes
    project.inside("a", "touch /tmp/go")
    project.wait_until(
        lambda: project.inside("a", "cat /tmp/hooks 2>/dev/null || :") == "created", "the rest"
    )


def test_what_failed_is_run_by_no_new_daemon(rumpel_project: ProjectFactory) -> None:
    """Nor what comes behind it: somebody has to ask."""
    project = rumpel_project()
    tried = "echo tried >>/tmp/hooks; false"
    configured(project, waitFor="onCreateCommand", onCreateCommand=tried, postCreateCommand="true")
    assert project.run("create", "a").code == 6, "a command of the configuration failed"
    configured(project, waitFor="onCreateCommand", postCreateCommand=UNTIL_GO)
    project.run("create", "b").assert_ok()
    project.home.kill_daemon()
    project.run("list").assert_ok()
    project.inside("b", "touch /tmp/go")
    project.wait_until(lambda: "created" in project.inside("b", "cat /tmp/hooks || :"), "the rest")
    seen = project.docker.exec(project.container_id("a"), "cat", "/tmp/hooks")
    assert seen.stdout == "tried\n", "entering would try it again"


def test_a_command_that_fails_later_is_told(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, waitFor="updateContentCommand", postCreateCommand="test -e /tmp/good")
    project.run("create", "a").assert_ok()
    project.wait_until(lambda: status(project, "a") == "failed at postCreateCommand", "the failure")
    project.inside("a", "touch /tmp/good")
    entered = project.run("enter", "a", "--", "true").assert_ok()
    assert "postCreateCommand failed (rumpel logs a postCreateCommand)" in entered.stderr
    assert "rumpel create a" in entered.stderr
    assert status(project, "a") == "failed at postCreateCommand", "entering runs nothing again"
    made = project.run("create", "a").assert_ok()
    assert "commands go on: rumpel logs -f a" in made.stderr
    project.wait_until(lambda: status(project, "a") == "running", "the rest")


def test_what_is_left_of_a_deleted_pod_is_nobodys(rumpel_project: ProjectFactory) -> None:
    """More of them than run at once: those that wait for a place have nothing to fail at later."""
    project = rumpel_project()
    configured(project, waitFor="onCreateCommand", postCreateCommand=UNTIL_GO)
    project.run("create", "a", "--count", "18").assert_ok()
    names = [f"a-{number}" for number in range(1, 19)]
    project.run("delete", "--force", *names).assert_ok()
    configured(project)
    project.run("create", "a", "--count", "18").assert_ok()
    assert {status(project, name) for name in names} == {"running"}


def test_without_it_every_command_is_waited_for(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, postCreateCommand="sleep 1; echo created >>/tmp/hooks")
    project.run("create", "a").assert_ok()
    assert project.inside("a", "cat /tmp/hooks") == "created"


def test_who_recreates_does_not_wait_for_the_rest(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, waitFor="onCreateCommand", postCreateCommand="touch /tmp/begun; sleep 7000")
    project.run("create", "a").assert_ok()
    project.wait_until(lambda: project.inside("a", "ls /tmp") == "begun", "it runs")
    configured(project, containerEnv={"NEW": "yes"})
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "echo $NEW; ls /tmp") == "yes"


def test_what_is_left_goes_on_beside_a_recreate_that_is_not_about_it(
    rumpel_project: ProjectFactory,
) -> None:
    project = rumpel_project()
    commands = {
        "waitFor": "onCreateCommand",
        "postCreateCommand": f"echo begun >>/tmp/hooks; {UNTIL_GO}",
        "postStartCommand": "echo started >>/tmp/hooks",
    }
    configured(project, **commands)
    project.run("create", "a").assert_ok()
    project.wait_until(lambda: project.inside("a", "ls /tmp") == "hooks", "it runs")
    assert project.run("recreate", "a", "--plan", "--json").assert_ok().data["action"] == "nothing"
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "nothing"
    configured(project, **commands, forwardPorts=[39_710])
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "ports"
    project.inside("a", "touch /tmp/go")
    project.wait_until(lambda: "started" in project.inside("a", "cat /tmp/hooks"), "the rest")
    assert project.inside("a", "cat /tmp/hooks").splitlines() == ["begun", "created", "started"]
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "nothing"


def test_what_changed_is_run_again_while_it_runs(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, waitFor="onCreateCommand", postCreateCommand="touch /tmp/one; sleep 7000")
    project.run("create", "a").assert_ok()
    project.wait_until(lambda: project.inside("a", "ls /tmp") == "one", "it runs")
    configured(project, waitFor="onCreateCommand", postCreateCommand="touch /tmp/two")
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "lifecycle"
    assert project.inside("a", "ls /tmp").split() == ["one", "two"]
