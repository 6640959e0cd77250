"""What services print has values that nobody is to read: not in what is told, not in the state."""

from __future__ import annotations

from typing import Any

from tests.e2e.test_compose import app, configured, services, web
from tests.e2e.test_compose import pytestmark as needs_compose
from tests.support.outcome import Outcome
from tests.support.project import Project, ProjectFactory

pytestmark = needs_compose

ENV = {"MY_TOKEN": "canary-of-the-shell", "MY_WORD": "canary-of-a-word"}
DOTENV = "OF_DOTENV=canary-of-dotenv\n"
SAYS = "echo for $$MINE and $$DOTENV"


def private(**more: Any) -> dict[str, Any]:
    return {"environment": {"MINE": "${MY_TOKEN}", "DOTENV": "${OF_DOTENV}"}, **more}


def refuses_to_tell(project: Project, failed: Outcome) -> None:
    assert "canary" not in failed.stdout + failed.stderr
    for args in (("graph", "a", "--json"), ("logs", "a"), ("events", "--all", "--json")):
        assert "canary" not in project.run(*args).stdout, args
    for path in project.home.state.rglob("*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes(), path


def end(project: Project) -> None:
    """The next start of the other one fails."""
    project.docker.exec(services(project)["web"], "touch", "/data/bad")
    project.run("stop", "a").assert_ok()


def test_a_service_that_ends_when_its_pod_is_entered(rumpel_project: ProjectFactory) -> None:
    """The pod is made of what is stored, and that has no value of anybody."""
    project = rumpel_project({".devcontainer/.env": DOTENV})
    ends = f'{SAYS}; echo to "$$1"; test ! -e /data/bad'
    once = web(**private(command=["sh", "-c", ends, "sh", "${MY_WORD}"]))
    needs = {
        "web": {"condition": "service_started"},
        "once": {"condition": "service_completed_successfully"},
    }
    configured(project, {"app": app(depends_on=needs), "web": web(), "once": once})
    project.run("create", "a", "--trust", env=ENV).assert_ok()
    end(project)
    failed = project.run("enter", "a", "--", "true", timeout=45).assert_code(6)
    assert "service once ended with 1, and others wait for it" in failed.stderr
    assert "for *** and ***" in failed.stderr
    assert "to ***" in failed.stderr
    told = project.run("graph", "a", "--json").stdout
    assert "for *** and ***" in told, "it is kept, too"
    refuses_to_tell(project, failed)


def test_a_service_that_is_unhealthy_when_its_pod_is_entered(
    rumpel_project: ProjectFactory,
) -> None:
    project = rumpel_project({".devcontainer/.env": DOTENV})
    test = ["CMD-SHELL", f"test ! -e /data/bad || {{ {SAYS}; exit 1; }}"]
    check = {"test": test, "interval": "300ms", "retries": 2}
    needs = {name: {"condition": "service_healthy"} for name in ("web", "other")}
    easy = web(healthcheck={"test": "true", "interval": "300ms"})
    other = web(command="sleep infinity", **private(healthcheck=check))
    configured(project, {"app": app(depends_on=needs), "web": easy, "other": other})
    project.run("create", "a", "--trust", env=ENV).assert_ok()
    end(project)
    failed = project.run("enter", "a", "--", "true", timeout=45).assert_code(6)
    assert "service other is unhealthy, and others wait for it" in failed.stderr
    assert "for *** and ***" in failed.stderr
    refuses_to_tell(project, failed)


def test_a_service_of_which_another_is_kept(rumpel_project: ProjectFactory) -> None:
    """A recreate failed: what is there has values that what is stored does not tell of."""
    project = rumpel_project()
    once = web(command=["sh", "-c", "echo for $$MINE; test ! -e /data/bad"])
    needs = {
        "web": {"condition": "service_started"},
        "once": {"condition": "service_completed_successfully"},
    }
    both: dict[str, Any] = {"app": app(depends_on=needs), "web": web(), "once": once}
    configured(project, both)
    project.run("create", "a").assert_ok()
    once["environment"] = {"MINE": "${MY_TOKEN}"}
    both["app"]["command"] = "false"
    configured(project, both)
    project.run("recreate", "a", "--trust", env=ENV).assert_code(6)
    project.run("enter", "a", "--", "true").assert_ok()
    end(project)
    failed = project.run("enter", "a", "--", "true", timeout=45).assert_code(6)
    assert "service once ended with 1, and others wait for it" in failed.stderr
    assert "for ***" in failed.stderr
    refuses_to_tell(project, failed)


def test_what_a_check_says_is_cut_within_a_value(rumpel_project: ProjectFactory) -> None:
    """The engine keeps 4,096 bytes of it. And a value is one also where it is a part."""
    project = rumpel_project()
    says = 'echo "with $${URL#u:}"; printf "%04060d" 0; echo "$$MINE"; exit 1'
    check = {"test": ["CMD-SHELL", says], "interval": "300ms", "retries": 2}
    needs = {"web": {"condition": "service_healthy"}}
    given = {"MINE": "${MY_TOKEN}", "URL": "u:${MY_WORD}"}
    configured(
        project, {"app": app(depends_on=needs), "web": web(healthcheck=check, environment=given)}
    )
    failed = project.run("create", "a", "--trust", timeout=45, env=ENV).assert_code(6)
    assert "with ***" in failed.stderr
    assert "0***..." in failed.stderr
    refuses_to_tell(project, failed)
