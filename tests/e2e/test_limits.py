"""Memory and cores of a pod, given by flags: they stay with it."""

from __future__ import annotations

import pytest

from tests.e2e.test_adopt import lose_the_database
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

CONFIG = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}
MIB = 1 << 20


def limits(project: Project, pod: str) -> tuple[int, float]:
    """MiB and cores, 0 for none."""
    found = project.docker.inspect(project.container_id(pod))["HostConfig"]
    return found["Memory"] // MIB, found["NanoCpus"] / 1e9


@pytest.mark.near("pods of a remote engine do not come back with a lost database")
@pytest.mark.rooted("without cgroup v2 a user's Podman ignores limits, and pauses nothing")
def test_they_stay_with_the_pod(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".rumpelpod.json": '{"cpus": 1}'}, config=CONFIG)
    project.run("create", "p", "--memory", "64m").assert_ok()
    assert limits(project, "p") == (64, 1)
    assert "nothing to do" in project.run("recreate", "p", "--plan").assert_ok().stdout
    project.run("create", "p").assert_ok()
    assert limits(project, "p") == (64, 1)

    warned = project.run("enter", "p", "--cpus", "0.5", "--", "true").assert_ok().stderr
    assert "rumpel recreate p --cpus 0.5" in warned
    plan = project.run("recreate", "p", "--plan", "--cpus", "0.5").assert_ok().stdout
    assert "cpus" in plan
    project.run("recreate", "p", "--cpus", ".5").assert_ok()
    assert limits(project, "p") == (64, 0.5)
    project.run("fork", "p", "q").assert_ok()
    assert limits(project, "q") == (64, 0.5)
    project.run("recreate", "p", "--memory", "default", "--cpus", "default").assert_ok()
    assert limits(project, "p") == (0, 1)
    assert limits(project, "q") == (64, 0.5)

    project.run("delete", "--force", "q").assert_ok()
    project.run("undelete", "q").assert_ok()
    assert limits(project, "q") == (64, 0.5)
    lose_the_database(project)
    assert limits(project, "q") == (64, 0.5)
    project.run("recreate", "q", "--force").assert_ok()
    assert limits(project, "q") == (64, 0.5)


def test_nonsense_makes_no_pod(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("create", "p", "--memory", "much").assert_error(2, "--memory: memory is 'much'")
    project.run("enter", "p", "--cpus", "0", "--", "true").assert_error(2, "--cpus: cpus is '0'")
    assert project.run("list", "--json").assert_ok().data == []
    project.run("create", "p").assert_ok()
    told = project.run("enter", "p", "--memory", "much", "--", "true").assert_ok().stderr
    assert "--memory: memory is 'much'" in told
    assert "None" not in told
