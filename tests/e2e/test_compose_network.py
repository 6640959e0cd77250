"""A pod in the network of one of its services: that network can go, the pod's work stays."""

from __future__ import annotations

from typing import Any

import pytest

from rumpel import names
from tests.e2e.test_compose import app, asked, configured, services, web
from tests.e2e.test_compose import pytestmark as needs_compose
from tests.support.project import Project, ProjectFactory

pytestmark = needs_compose


def made(project: Project, own: dict[str, Any] | None = None, **services: Any) -> None:
    """With `web`, in whose network it is, and `other`."""
    pod = app(network_mode="service:web", depends_on=[], **(own or {}))
    other = web(command=["httpd", "-f", "-p", "8001", "-h", "/etc"], volumes=[])
    configured(project, {"app": pod, "web": web(), "other": other, **services})


def stop_gateway(project: Project) -> None:
    (row,) = project.docker.containers(project.home.label or "", f"{names.LABEL_KIND}=gateway")
    project.docker.api.stop(row["Id"], timeout=1)

    def is_known() -> bool:
        return "gateway is exited" in project.run("graph", "a", "--why", "seed").stdout

    project.wait_until(is_known, "the gateway is stopped")


def test_a_recreate_that_fails_when_the_network_went(rumpel_project: ProjectFactory) -> None:
    """The old container cannot be started any more: what went wrong is told, and what to do."""
    project = rumpel_project()
    made(project)
    project.run("create", "a").assert_ok()
    said, pod = asked(project, "a", "localhost"), project.container_id("a")
    project.inside("a", "echo mine >kept")
    made(project, {"command": "false"}, web=web(environment={"NEW": "1"}))
    failed = project.run("recreate", "a").assert_code(6)
    assert "ended at once" in failed.stderr
    assert "pod 'a' is stopped, with all work in it: rumpel recreate a" in failed.stderr
    (row,) = project.run("list", "--json").assert_ok().data
    assert (row["status"], row["container_id"]) == ("stopped", pod)
    refused = project.run("enter", "a", "--", "true").assert_code(4)
    assert "in whose network pod 'a' is has another container" in refused.stderr
    assert "rumpel recreate a" in refused.stderr
    made(project, web=web(environment={"NEW": "1"}))
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "cat kept") == "mine"
    assert asked(project, "a", "localhost") == said


@pytest.mark.parametrize("point", ["services.up", "replace.halted", "replace.carried"])
def test_a_kill_when_the_network_went(rumpel_project: ProjectFactory, point: str) -> None:
    project = rumpel_project()
    made(project)
    project.run("create", "a").assert_ok()
    said = asked(project, "a", "localhost")
    project.inside("a", "echo mine >kept")
    project.run("daemon", "stop").assert_ok()
    made(project, web=web(environment={"NEW": "1"}))
    project.run("recreate", "a", env={"RUMPEL_FAULT": f"{point}:1:kill"})
    refused = project.run("enter", "a", "--", "true").assert_code(4)
    assert "in whose network pod 'a' is has another container" in refused.stderr
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "cat kept") == "mine"
    assert asked(project, "a", "localhost") == said
    assert project.container_id("a"), "it is the only one"


def test_a_service_that_was_removed_by_hand(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    made(project)
    project.run("create", "a").assert_ok()
    said = asked(project, "a", "localhost")
    project.inside("a", "echo mine >kept")
    project.run("stop", "a").assert_ok()
    project.docker.api.remove_container(services(project)["web"], force=True)
    refused = project.run("enter", "a", "--", "true").assert_code(4)
    assert "in whose network pod 'a' is has another container" in refused.stderr
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "new container"
    assert project.inside("a", "cat kept") == "mine"
    assert asked(project, "a", "localhost") == said


def test_a_new_container_is_told_of_only_when_there_is_one(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    made(project)
    project.run("create", "a").assert_ok()
    pod, before = project.container_id("a"), services(project)
    changed = web(command=["httpd", "-f", "-p", "8002", "-h", "/etc"], volumes=[])
    made(project, other=changed)
    shell = project.start("enter", "a", "--", "sleep", "1000")
    project.wait_until(lambda: "sleep" in project.inside("a", "ps"), "it runs")
    plan = project.run("recreate", "a", "--plan", "--json").assert_ok().data
    assert plan["action"] == "services"
    done = project.run("recreate", "a", "--json").assert_ok()
    assert done.data["action"] == "services"
    assert done.stderr == "", "it ends nothing that runs in the pod"
    assert (project.container_id("a"), shell.poll()) == (pod, None)
    assert services(project)["web"] == before["web"]
    assert services(project)["other"] != before["other"]
    stop_gateway(project)
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "start"
    assert project.container_id("a") == pod
    stop_gateway(project)
    made(project, {"environment": {"OWN": "1"}}, other=changed)
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "new container"
    assert project.container_id("a") != pod
    assert project.inside("a", "echo $OWN") == "1"


def inner(project: Project) -> dict[str, bool]:
    """Networks of pods by the last word of their names: have they no way out?"""
    found = project.docker.networks(project.home.label or "")
    return {row["Name"].rpartition("-")[2]: row["Internal"] for row in found}


def test_a_network_with_other_settings(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    both = {"app": app(), "web": web()}
    configured(project, both)
    project.run("create", "a").assert_ok()
    said, pod, before = asked(project, "a"), project.container_id("a"), services(project)
    configured(project, both, networks={"default": {"internal": True}})
    refused = project.run("create", "a").assert_code(4)
    assert "network default of pod 'a' changed" in refused.stderr
    assert inner(project) == {"default": False}
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "services"
    assert inner(project) == {"default": True}
    assert (project.container_id("a"), services(project)) == (pod, before)
    assert asked(project, "a") == said, "they find each other in it"
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "nothing"
    project.run("stop", "a").assert_ok()
    configured(project, both)
    project.run("recreate", "a").assert_ok()
    assert (inner(project), asked(project, "a")) == ({"default": False}, said)


@pytest.mark.parametrize("point", ["services.network-left", "services.network", "services.up"])
def test_a_kill_while_a_network_is_made_anew(rumpel_project: ProjectFactory, point: str) -> None:
    project = rumpel_project()
    both = {"app": app(), "web": web()}
    configured(project, both)
    project.run("create", "a").assert_ok()
    said = asked(project, "a")
    project.run("daemon", "stop").assert_ok()
    configured(project, both, networks={"default": {"internal": True}})
    project.run("recreate", "a", env={"RUMPEL_FAULT": f"{point}:1:kill"})
    assert asked(project, "a") == said, "it can be entered"
    project.run("recreate", "a").assert_ok()
    assert (inner(project), asked(project, "a")) == ({"default": True}, said)


def test_networks_and_volumes_that_are_wanted_no_more(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    nets: dict[str, Any] = {"back": None, "front": None}
    own, front = app(networks=["back", "front"]), web(networks=["back", "front"])
    configured(project, {"app": own, "web": front}, networks=nets)
    project.run("create", "a").assert_ok()
    said = asked(project, "a")
    own, front = app(networks=["back"]), web(networks=["back"])
    data = {"data": {"driver_opts": {"type": "tmpfs", "device": "tmpfs"}}}
    configured(project, {"app": own, "web": front}, networks=nets, volumes=data)
    told = project.run("recreate", "a", "--trust").assert_ok()
    assert "volumes of pod a are as they were made" in told.stderr
    project.wait_until(lambda: set(inner(project)) == {"back"}, "nobody is in the other one")
    assert asked(project, "a") == said, "with its data"
    assert "are as they were made" in project.run("recreate", "a").assert_ok().stderr
