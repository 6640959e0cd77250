"""Services of pods when things go wrong: a lost database, leftovers, foreign hands."""

from __future__ import annotations

from typing import Any

import pytest
from docker.errors import NotFound

from rumpel import names
from tests.e2e.test_compose import app, asked, configured, objects, running, services, web
from tests.e2e.test_compose import pytestmark as needs_compose
from tests.e2e.test_features import feature
from tests.support.engine import MINI_IMAGE
from tests.support.project import ProjectFactory

pytestmark = needs_compose


def test_a_lost_database(rumpel_project: ProjectFactory) -> None:
    """The pod is taken in again, and its services with it."""
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    said, before = asked(project, "a"), services(project)
    project.run("daemon", "stop").assert_ok()
    for file in project.home.state.rglob("*.sqlite*"):
        file.unlink()
    project.run("stop", "a").assert_ok()
    assert running(project) == set()
    assert asked(project, "a") == said, "enter starts them"
    assert services(project) == before
    project.run("create", "a").assert_ok()
    assert services(project) == before, "they are what the configuration says"
    project.run("delete", "--force", "a").assert_ok()
    assert objects(project) == {"containers": [], "networks": [], "volumes": []}


def test_leftovers_are_found_and_others_stay(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    before = objects(project)
    assert "service" not in project.run("gc", "-n").assert_ok().stdout
    assert "left-" not in project.run("doctor", "--json").stdout
    project.run("gc").assert_ok()
    assert objects(project) == before
    labels = project.docker.networks(project.home.label or "")[0]["Labels"]
    strange = {**labels, names.LABEL_POD_ID: "0123456789abcdef", names.LABEL_POD: "gone"}
    project.docker.api.create_network(f"{project.home.path.name.lower()}-left", labels=strange)
    assert "left-networks" in project.run("doctor", "--json").stdout
    project.run("gc").assert_ok()
    assert objects(project) == before
    assert asked(project, "a")


def test_a_network_that_was_pruned(rumpel_project: ProjectFactory) -> None:
    """While nobody ran: its containers know the old one, and join the new one."""
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    said = asked(project, "a")
    project.run("stop", "a").assert_ok()
    (network,) = project.docker.networks(project.home.label or "")
    project.docker.api.remove_network(network["Id"])
    assert asked(project, "a") == said


def test_a_fork_has_services_of_its_own(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    said = asked(project, "a")
    told = project.run("fork", "a", "b").assert_ok().stderr
    assert "configuration changed" not in told, "its networks are only called otherwise"
    assert "services start anew: their volumes stay with pod 'a'" in told
    assert asked(project, "b") != said
    changed = web(networks={"default": {"aliases": ["other"]}})
    configured(project, {"app": app(networks={"default": {"aliases": ["me"]}}), "web": changed})
    assert "(networks)" in project.run("fork", "a", "c").assert_ok().stderr
    project.run("delete", "a", "--force").assert_ok()
    assert asked(project, "b")
    project.run("undelete", "a").assert_ok()
    assert asked(project, "a") != said, "their volumes went with the pod"


def test_a_recreate_that_fails_leaves_a_pod_to_enter(rumpel_project: ProjectFactory) -> None:
    """Its services may be the new ones already."""
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    said = asked(project, "a")
    project.inside("a", "echo mine >kept")
    changed = web(environment={"NEW": "1"})
    configured(project, {"app": app(command="false"), "web": changed})
    assert project.run("recreate", "a").code != 0
    assert asked(project, "a") == said
    assert project.inside("a", "cat kept") == "mine"
    configured(project, {"app": app(), "web": web()})
    project.run("recreate", "a").assert_ok()
    assert asked(project, "a") == said
    assert project.run("create", "a").assert_ok().stderr == ""


def test_bounds_of_services_change_when_they_are_made_anew(rumpel_project: ProjectFactory) -> None:
    """Not when the pod is entered, or by another create."""
    project = rumpel_project()
    env = {"MODE": "sealed:strict"}  # nearly as values that are not kept are stored
    configured(project, {"app": app(environment=env), "web": web(environment=env)})
    project.run("create", "a").assert_ok()
    said, before = asked(project, "a"), services(project)
    host = project.docker.api.inspect_container(before["web"])["HostConfig"]
    assert host["PidsLimit"] == 4096
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    lower = {"RUMPEL_PIDS_LIMIT": "300"}
    project.run("create", "a", env=lower)
    assert services(project) == before
    project.run("stop", "a").assert_ok()
    assert asked(project, "a") == said
    assert services(project) == before
    project.run("recreate", "a", env=lower).assert_ok()
    (web_id,) = services(project).values()
    assert project.docker.api.inspect_container(web_id)["HostConfig"]["PidsLimit"] == 300
    assert asked(project, "a") == said
    project.run("create", "a", env=lower).assert_ok()
    assert list(services(project).values()) == [web_id]


def test_a_configuration_that_has_no_services_any_more(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"app": app(), "web": web(volumes=["data:/data"])})
    project.run("create", "a").assert_ok()
    assert asked(project, "a")
    project.commit("plain", {".devcontainer/devcontainer.json": {"image": MINI_IMAGE}})
    project.run("recreate", "a").assert_ok()
    left = objects(project)
    assert (left["containers"], left["networks"]) == ([], [])
    assert project.inside("a", "cat README.md") == "# A project"
    project.run("delete", "a", "--force").assert_ok()
    assert objects(project) == {"containers": [], "networks": [], "volumes": []}


def test_stop_reaches_services_without_their_pod(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    project.docker.api.remove_container(project.container_id("a"), force=True)
    project.run("stop", "a").assert_ok()
    assert running(project) == set()


def test_what_is_done_once_is_not_done_by_entering(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    once = web(command=["sh", "-c", "sleep 1; echo x >>/data/count"])
    configured(project, {"app": app(depends_on=["web", "once"]), "web": web(), "once": once})
    project.run("create", "a").assert_ok()
    project.wait_until(lambda: running(project) == {"web"}, "it is done")
    for _ in range(2):
        assert project.inside("a", "wget -q -O - http://web:8000/count") == "x"
    assert running(project) == {"web"}


def test_a_folder_that_became_a_link(rumpel_project: ProjectFactory) -> None:
    """What was agreed to is where its path led then."""
    project = rumpel_project()
    folder = project.root / "shared"
    folder.mkdir()
    configured(project, {"app": app(), "web": web(volumes=["data:/data", f"{folder}:/shared"])})
    project.run("create", "a", "--trust").assert_ok()
    project.run("stop", "a").assert_ok()
    folder.rmdir()
    folder.symlink_to("/etc")
    refused = project.run("enter", "a", "--", "true")
    assert refused.code == 4
    assert "leads somewhere else by now" in refused.stderr
    assert running(project) == set()
    assert project.run("recreate", "a").code == 4, "it is asked for again"


def test_a_volume_whose_folder_became_a_link(rumpel_project: ProjectFactory) -> None:
    """Its driver mounts what was asked for when it was made, at each start."""
    project = rumpel_project()
    first, second, link = (project.root / name for name in ("first", "second", "link"))
    first.mkdir()
    second.mkdir()
    link.symlink_to(first)
    options = {"type": "none", "o": "bind", "device": str(link)}
    services = {"app": app(), "web": web(volumes=["data:/data", "bound:/bound"])}
    configured(project, services, volumes={"data": None, "bound": {"driver_opts": options}})
    project.run("create", "a", "--trust").assert_ok()
    project.run("stop", "a").assert_ok()
    link.unlink()
    link.symlink_to(second)
    project.run("enter", "a", "--", "true").assert_ok()
    project.run("stop", "a").assert_ok()
    first.rmdir()
    for target in (second, project.root):
        first.unlink(missing_ok=True)
        first.symlink_to(target)
        refused = project.run("enter", "a", "--", "true")
        assert refused.code == 4
        assert f"mounts {first}, which leads to {target} by now" in refused.stderr
        assert running(project) == set()
        if target == second:
            assert project.run("recreate", "a").code == 4, "it is asked for again"
            project.run("recreate", "a", "--trust").assert_ok()
            project.run("stop", "a").assert_ok()


def test_a_feature_that_fails_keeps_the_services(rumpel_project: ProjectFactory) -> None:
    """They come after all that can fail: those of the old pod cannot be had back."""
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    said, before = asked(project, "a"), services(project)
    project.write(feature("bad", "exit 1\n"))
    renamed = {"app": app(depends_on=["www"]), "www": web()}
    configured(project, renamed, {"features": {"./bad": {}}})
    assert project.run("recreate", "a").code != 0
    assert services(project) == before
    assert asked(project, "a") == said


def test_services_of_a_recreate_that_failed_late(rumpel_project: ProjectFactory) -> None:
    """The new ones are there, the old one is made again: an enter refuses nothing."""
    project = rumpel_project()
    configured(project, {"app": app(), "web": web()})
    project.run("create", "a").assert_ok()
    said = asked(project, "a")
    configured(project, {"app": app(command="false", depends_on=["www"]), "www": web()})
    assert project.run("recreate", "a").code != 0
    assert set(services(project)) == {"www"}
    assert asked(project, "a") == said, "its data are in a volume"
    assert set(services(project)) == {"web", "www"}, "nothing goes by entering"


def test_an_enter_hides_nothing_of_a_recreate_that_failed(rumpel_project: ProjectFactory) -> None:
    """What it left is not what the pod was made of, and who asks for that gets it."""
    project = rumpel_project()
    was = {"app": app(), "web": web()}
    configured(project, was)
    project.run("create", "a").assert_ok()
    said = asked(project, "a")
    new = app(command="false", depends_on=["web", "www"])
    configured(project, {"app": new, "web": web(environment={"NEW": "1"}), "www": web()})
    assert project.run("recreate", "a").code != 0
    configured(project, was)
    assert asked(project, "a") == said
    refused = project.run("create", "a")
    assert refused.code == 4, refused
    assert "rumpel recreate a" in refused.stderr
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "services"
    assert set(services(project)) == {"web"}
    assert "NEW=1" not in project.docker.inspect(services(project)["web"])["Config"]["Env"]
    assert asked(project, "a") == said
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "nothing"


def test_what_ended_well_is_over_for_every_verb(rumpel_project: ProjectFactory) -> None:
    """Also where nobody waits for it, and it ended after the pod was ready."""
    project = rumpel_project()
    once = web(command=["sh", "-c", "sleep 3; echo x >>/data/count"])
    both = {"app": app(depends_on=["web", "once"]), "web": web(), "once": once}
    configured(project, both)
    project.run("create", "a").assert_ok()
    project.wait_until(lambda: running(project) == {"web"}, "it is done")
    project.run("create", "a").assert_ok()
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "nothing"
    project.docker.api.stop(services(project)["web"], timeout=1)
    project.wait_until(lambda: running(project) == set(), "the other one is stopped")
    project.run("create", "a").assert_ok()
    assert running(project) == {"web"}
    project.run("recreate", "a", "--force").assert_ok()
    assert running(project) == {"web"}
    assert project.inside("a", "wget -q -O - http://web:8000/count") == "x"


def test_what_ended_well_is_not_done_again_with_others(rumpel_project: ProjectFactory) -> None:
    """A migration: also where its container is gone. Changed, it is another one."""
    project = rumpel_project()
    once = web(command=["sh", "-c", "echo x >>/data/count"])
    done = {"once": {"condition": "service_completed_successfully"}}
    both = {"app": app(depends_on=["web", "once"]), "web": web(depends_on=done), "once": once}

    def counted() -> str:
        return project.inside("a", "wget -q -O - http://web:8000/count")

    configured(project, both)
    project.run("create", "a").assert_ok()
    project.docker.api.remove_container(services(project)["web"], force=True)
    project.run("create", "a").assert_ok()
    assert counted() == "x"
    both["web"]["environment"] = {"NEW": "1"}
    both["www"] = web(volumes=[], command="sleep 1000")
    configured(project, both)
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "services"
    assert (counted(), running(project)) == ("x", {"web", "www"})
    project.docker.api.remove_container(services(project)["once"])
    assert project.run("recreate", "a", "--json").assert_ok().data["action"] == "nothing"
    both["web"]["environment"] = {"NEW": "2"}
    del both["www"]
    configured(project, both)
    project.run("recreate", "a").assert_ok()
    assert (counted(), set(services(project))) == ("x", {"web"})
    project.run("recreate", "a", "--force").assert_ok()
    assert (counted(), set(services(project))) == ("x", {"web"})
    once["environment"] = {"NEW": "1"}
    configured(project, both)
    project.run("recreate", "a").assert_ok()
    assert counted().split() == ["x", "x"]


@pytest.mark.parametrize("has_ended", [True, False])
def test_what_a_service_that_was_dropped_kept(
    rumpel_project: ProjectFactory, has_ended: bool
) -> None:
    """Without a volume of its own, as databases do: it goes with the pod, not before."""
    project = rumpel_project()
    data = web(volumes=["/data"])
    more = {"once": web(command=["true"], volumes=[])} if has_ended else {}
    configured(project, {"app": app(depends_on=[*more]), **more, "db": data})
    project.run("create", "a").assert_ok()
    project.wait_until(lambda: running(project) == {"db"}, "the other one ended")
    (mount,) = project.docker.inspect(services(project)["db"])["Mounts"]
    broken = app(depends_on=[*more], command="false")
    configured(project, {"app": broken, **more, "postgres": data})
    project.run("recreate", "a").assert_code(6)
    assert set(services(project)) == {*more, "postgres"}
    assert project.docker.api.inspect_volume(mount["Name"])
    assert mount["Name"] in project.run("logs", "a", "services").assert_ok().stdout
    project.run("delete", "--force", "a").assert_ok()
    with pytest.raises(NotFound):
        project.docker.api.inspect_volume(mount["Name"])
    assert objects(project) == {"containers": [], "networks": [], "volumes": []}


def test_what_is_there_to_run_is_started_again(rumpel_project: ProjectFactory) -> None:
    """A database that was stopped by hand ends well, too; its project says that it is to run."""
    project = rumpel_project()
    serve = "httpd -f -p 8000 -h /etc & trap 'kill $$!; exit 0' TERM; wait"
    own: dict[str, Any] = {"restart": "unless-stopped", "stop_signal": "SIGTERM"}
    base = web(command=["sh", "-c", serve], volumes=[], **own)
    configured(project, {"app": app(depends_on=["base"]), "base": base})
    project.run("create", "a").assert_ok()
    for verb in (["create", "a"], ["enter", "a", "--", "true"], ["recreate", "a"]):
        project.docker.api.stop(services(project)["base"], timeout=5)
        state = project.docker.inspect(services(project)["base"])["State"]
        assert (state["Status"], state["ExitCode"]) == ("exited", 0)
        project.wait_until(lambda: running(project) == set(), "it is stopped")
        project.run(*verb).assert_ok()
        assert running(project) == {"base"}, verb


def test_containers_that_were_pruned(rumpel_project: ProjectFactory) -> None:
    """Beside a pod that runs, whose services have values that are not kept."""
    project = rumpel_project()
    secret = {"TOKEN": "${MY_TOKEN}"}
    once = web(command=["sh", "-c", "echo x >>/data/count"], environment=secret)
    idle = web(command="true", environment=secret)
    needs = {
        "web": {"condition": "service_started"},
        "once": {"condition": "service_completed_successfully"},
    }
    own = {"app": app(depends_on=needs), "web": web(environment=secret)}
    configured(project, {**own, "once": once, "idle": idle}, {"runServices": ["idle"]})
    project.run("create", "a", "--trust", env={"MY_TOKEN": "very-secret-value"}).assert_ok()
    project.wait_until(lambda: running(project) == {"web"}, "both are done")
    for name, container_id in services(project).items():
        if name != "web":
            project.docker.api.remove_container(container_id)
    assert project.inside("a", "wget -q -O - http://web:8000/count") == "x"
    assert set(services(project)) == {"web"}
    project.docker.api.remove_container(services(project)["web"], force=True)
    refused = project.run("enter", "a", "--", "true")
    assert refused.code == 4, "the pod needs it"
    assert "private values are not kept" in refused.stderr
