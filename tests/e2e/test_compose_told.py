"""What is told of services: that one failed, why, and what can be done."""

from __future__ import annotations

from tests.e2e.test_compose import app, configured, running, services, web
from tests.e2e.test_compose import pytestmark as needs_compose
from tests.support.project import ProjectFactory

pytestmark = needs_compose
TOLD = "service db of pod a exited with 1: rumpel logs a db"


def test_a_service_that_failed_is_told(rumpel_project: ProjectFactory) -> None:
    """Also where nobody waits for it; one that ended with 0 has done its work."""
    project = rumpel_project()
    failing = web(command=["sh", "-c", "echo no such option; exit 1"])
    once = web(command=["true"])
    configured(project, {"app": app(), "web": web(), "db": failing, "once": once})
    made = project.run("create", "a", "--json").assert_ok().json()
    assert made["warnings"] == [TOLD]
    entered = project.run("enter", "a", "--", "true").assert_ok()
    assert entered.stderr.count(TOLD) == 1, entered
    again = project.run("recreate", "a").assert_ok()
    assert again.stderr.count(TOLD) == 1, again
    assert "as they should be" not in again.stdout
    assert project.run("create", "a", "--json").assert_ok().json()["warnings"] == [TOLD]
    assert "no such option" in project.run("logs", "a", "db").assert_ok().stdout
    assert running(project) == {"web"}
    configured(project, {"app": app(), "web": web(), "db": web(), "once": once})
    assert project.run("recreate", "a").assert_ok().stderr.count("exited") == 0
    assert project.run("create", "a").assert_ok().stderr == ""


def test_a_service_that_cannot_be_started(rumpel_project: ProjectFactory) -> None:
    """Its first create fails and says why; once the file is right, another one makes it."""
    project = rumpel_project()
    configured(project, {"app": app(depends_on=["db"]), "db": web(command="redis-servr")})
    why = 'service db could not be started: exec: "redis-servr": executable file not found'
    for _ in range(2):
        failed = project.run("create", "a").assert_error(6, why)
        assert "correct service db in the compose file" in failed.stderr
        assert "Encountered errors" not in failed.stderr.splitlines()[-2]
    (first,) = services(project).values()
    configured(project, {"app": app(depends_on=["db"]), "db": web()})
    project.run("create", "a").assert_ok()
    assert running(project) == {"db"}
    assert services(project)["db"] != first
    configured(project, {"app": app(depends_on=["db"]), "db": web(environment={"NEW": "1"})})
    refused = project.run("create", "a").assert_code(4)
    assert "the container was kept" in refused.stderr, "this one ran"


def test_an_unhealthy_service_that_prints_nothing(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    check = {"test": ["CMD", "false"], "interval": "300ms", "retries": 2}
    needs = {"db": {"condition": "service_healthy"}}
    configured(project, {"app": app(depends_on=needs), "db": web(healthcheck=check)})
    failed = project.run("create", "a").assert_error(6, "service db is unhealthy")
    assert failed.stderr.rstrip().endswith("rumpel logs a db"), failed
    check["test"] = ["CMD-SHELL", "echo no table; exit 1"]
    configured(project, {"app": app(depends_on=needs), "db": web(healthcheck=check)})
    failed = project.run("recreate", "a").assert_error(6, "no table")
    assert "rumpel logs a db   (above: what its healthcheck printed)" in failed.stderr
