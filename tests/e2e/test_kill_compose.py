"""The daemon dies while services of pods come and go; what the user says next converges."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.e2e.test_compose import app, asked, configured, objects, running, services, web
from tests.e2e.test_compose import pytestmark as needs_compose
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory
from tests.support.sweep import LONG, Record, Sweep

pytestmark = needs_compose


class ComposeSweep(Sweep):
    """As one of pods alone, with a service beside each."""

    def project(self, point: str = "image.") -> Project:
        self._count += 1
        project = self._make({}, config={"image": MINI_IMAGE}, name=f"repo-{self._count}")
        configured(project, {"app": app(volumes=["..:/workspaces/kept"]), "web": web()})
        return project


@pytest.mark.timeout(1800 if LONG else 150)
@pytest.mark.parametrize("then", ["create", "delete"])
def test_a_kill_while_services_come(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record, then: str
) -> None:
    """Between `up` and what is written down of it, too."""
    sweep = ComposeSweep(rumpel_project, tmp_path)
    found = sweep.points("create", "p", before=lambda project: None, key="compose")
    own = [point for point in found if point.startswith("services.")]
    assert "services.up" in own
    for point in sweep.chosen(own, record_property):
        project = sweep.project(point)
        sweep.killed(project, point, "create", "p")
        if then == "create":
            assert project.run("create", "p").code == 0, point
            assert len(services(project)) == 1, point
            assert asked(project, "p"), point
        assert project.run("delete", "--force", "p").code == 0, point
        left = objects(project)
        assert left == {"containers": [], "networks": [], "volumes": []}, (point, left)


@pytest.mark.one_in(3)
@pytest.mark.timeout(1800 if LONG else 150)
@pytest.mark.parametrize("verb", ["stop", "delete"])
def test_a_kill_while_services_go(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record, verb: str
) -> None:
    sweep = ComposeSweep(rumpel_project, tmp_path)

    def made(project: Project) -> None:
        project.run("create", "p").assert_ok()

    found = sweep.points(verb, "p", before=made, key=f"compose {verb}")
    own = [point for point in found if point.startswith(("stop.", "remove."))]
    for point in sweep.chosen(own, record_property):
        project = sweep.project(point)
        made(project)
        said = asked(project, "p")
        sweep.killed(project, point, verb, "p")
        if verb == "stop":
            assert project.run("stop", "p").code == 0, point
            assert running(project) == set(), point
            assert asked(project, "p") == said, point
        project.run("delete", "--force", "p")
        left = objects(project)
        assert left == {"containers": [], "networks": [], "volumes": []}, (point, left)


@pytest.mark.one_in(4)
@pytest.mark.timeout(1800 if LONG else 150)
@pytest.mark.parametrize("more", ["changed", "added"])
def test_a_kill_while_the_pod_is_replaced(
    rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record, more: str
) -> None:
    """The old pod or the new one, with services that it can be entered with."""
    sweep = ComposeSweep(rumpel_project, tmp_path)

    def made(project: Project) -> None:
        project.run("create", "p").assert_ok()
        own, beside = app(volumes=["..:/workspaces/kept"], environment={"NEW": "1"}), {"web": web()}
        if more == "changed":
            beside["web"]["environment"] = {"NEW": "1"}
        else:
            beside["other"] = web(volumes=[])
        configured(project, {"app": own, **beside})

    found = sweep.points("recreate", "p", before=made, key=f"compose recreate {more}")
    own = [
        point for point in found if point.startswith(("recreate.", "services.", "pods.", "retire."))
    ]
    assert {"recreate.swapped", "pods.remembered"} <= set(own)
    rest = [point for point in own if point != "recreate.swapped"]
    for point in itertools.chain(["recreate.swapped"], sweep.chosen(rest, record_property)):
        project = sweep.project(point)
        made(project)
        sweep.killed(project, point, "recreate", "p")
        assert asked(project, "p"), point
        project.run("stop", "p").assert_ok()
        assert asked(project, "p"), point
        project.run("recreate", "p").assert_ok()
        assert len(services(project)) == (1 if more == "changed" else 2), point
        project.run("delete", "--force", "p").assert_ok()
        left = objects(project)
        assert left == {"containers": [], "networks": [], "volumes": []}, (point, left)
