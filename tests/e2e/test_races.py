"""Two requests about one pod at once: whichever is first, nothing is left that no pod owns."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.flaky_engine import flaky_engine
from tests.support.project import Project, ProjectFactory
from tests.support.sweep import COMMIT


class Held:
    """The daemon stops at each of the points until the test lets it go on."""

    def __init__(
        self, project: Project, folder: Path, *points: str, docker: str = "", fails: str = ""
    ) -> None:
        """`fails`: a point where something goes wrong, too."""
        self.project, self._log = project, folder / "met"
        armed = ",".join(
            [f"{point}:1:hold" for point in points] + [f"{fails}:1:raise"] * bool(fails)
        )
        env = {"RUMPEL_FAULT": armed, "RUMPEL_FAULT_LOG": str(self._log)}
        if docker:
            env["DOCKER_HOST"] = f"unix://{docker}"
        project.run("daemon", "restart", env=env).assert_ok()

    def reached(self, point: str) -> None:
        self.project.wait_until(lambda: point in self._met(), f"{point} reached")

    def go(self, point: str) -> None:
        self._log.with_name(f"{self._log.name}.{point}").touch()

    def _met(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, (out + err).decode()


def assert_gone(project: Project, pod: str) -> None:
    """And what is made under its name next is a pod like any other."""
    assert project.containers(pod) == []
    assert project.run("list", "--json").assert_ok().data == []
    project.run("create", pod).assert_ok()
    (row,) = project.run("list", "--json").assert_ok().data
    assert (row["name"], row["container_id"]) == (pod, project.container_id(pod))
    project.run("delete", pod).assert_ok()
    assert project.containers(pod) == []


def test_a_recreate_of_a_pod_that_is_deleted(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """It was there when the recreate was asked for, and its container is gone already."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    held = Held(project, tmp_path, "delete.removed")
    deleting = project.start("delete", "--force", "p")
    held.reached("delete.removed")
    replacing = project.start("recreate", "--force", "p")
    held.reached("recreate.planned")
    held.go("delete.removed")
    assert ended(deleting)[0] == 0
    code, text = ended(replacing)
    assert (code, "deleted meanwhile" in text) == (3, True), text
    assert_gone(project, "p")


def test_a_delete_of_a_pod_that_is_recreated(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """It was asked for before the replacement began, and comes after it."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    held = Held(project, tmp_path, "delete.asked", "recreate.noted")
    deleting = project.start("delete", "--force", "p")
    held.reached("delete.asked")
    replacing = project.start("recreate", "--force", "p")
    held.reached("recreate.noted")
    held.go("delete.asked")
    held.reached("delete.waits")
    held.go("recreate.noted")
    code, text = ended(replacing)
    assert code == 0, f"{text}\n{project.home.log_tail()}"
    assert ended(deleting)[0] == 0
    assert_gone(project, "p")


@pytest.mark.here("another DOCKER_HOST")
def test_a_recreate_before_docker_answered_the_daemon(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """What the daemon does when it has found Docker is about what the last one left, not this."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    late = tmp_path / "late.sock"
    held = Held(project, tmp_path, "recreate.noted", docker=str(late))
    project.run("list").assert_ok()
    late.symlink_to("/var/run/docker.sock")
    replacing = project.start("recreate", "--force", "p")
    held.reached("recreate.noted")
    made = project.exec("p", "sh", "-c", f"cd /workspaces/repo && {COMMIT}").stdout.strip()
    project.wait_for_ref("p", made)  # it has linked up by now
    held.go("recreate.noted")
    code, text = ended(replacing)
    assert code == 0, text
    project.run("delete", "--force", "p").assert_ok()


@pytest.mark.here("another DOCKER_HOST")
def test_nobody_waits_for_a_half_replaced_pod_without_docker(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """It is settled as soon as Docker answers; until then that is what is said."""
    project = rumpel_project()
    project.inside("p", "echo work >work")
    project.run("daemon", "stop").assert_ok()
    project.run("recreate", "--force", "p", env={"RUMPEL_FAULT": "replace.halted:1:kill"})
    late = tmp_path / "late.sock"
    project.run("daemon", "restart", env={"DOCKER_HOST": f"unix://{late}"}).assert_ok()
    project.run("stop", "p").assert_error(5, "Docker is not running")
    late.symlink_to("/var/run/docker.sock")
    assert project.inside("p", "cat work") == "work"
    project.run("delete", "--force", "p").assert_ok()


def test_a_fork_of_a_pod_whose_container_goes(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """Before it began there is no fork; after that none that looks like a finished one."""
    project = rumpel_project()
    project.inside("p", "echo work >work")
    held = Held(project, tmp_path, "fork.announced")
    forking = project.start("fork", "p", "q")
    held.reached("fork.announced")
    project.docker.api.remove_container(project.container_id("p"), force=True)
    held.go("fork.announced")
    code, text = ended(forking)
    assert code == 4, text
    rows = project.run("list", "--json").assert_ok().data
    assert {row["name"]: row["status"] for row in rows} == {"p": "gone", "q": "failed at restore"}
    project.run("fork", "p", "r").assert_error(4, "'p' cannot be forked", "rumpel create p ")
    assert "r" not in project.run("list", "-q").assert_ok().stdout.split()
    project.run("delete", "--force", "p", "q").assert_ok()


def test_an_image_that_goes_while_a_pod_is_made_of_it(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """By another state folder of the same engine, or by a person."""
    dockerfile = f"FROM {MINI_IMAGE}\nRUN echo {tmp_path} >/made-for\n"
    config = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}
    project = rumpel_project({".devcontainer/Dockerfile": dockerfile}, config=config)
    held, label = Held(project, tmp_path, "seed.effect-before"), str(project.home.label)
    creating = project.start("create", "p")
    held.reached("seed.effect-before")
    (tooled,) = [tag for tag in project.docker.tags(label) if tag.startswith("rumpel/tools:")]
    project.docker.api.remove_image(tooled, force=True)
    held.go("seed.effect-before")
    code, text = ended(creating)
    assert (code, text.count("an image was removed just now: it is made again")) == (0, 1), text
    assert project.inside("p", "cat /made-for") == str(tmp_path)
    project.run("delete", "p").assert_ok()


def test_an_image_that_went_long_ago_has_nothing_run_twice(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    dockerfile = f"FROM {MINI_IMAGE}\nRUN echo {tmp_path} >/made-for\n"
    config = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}
    project = rumpel_project({".devcontainer/Dockerfile": dockerfile}, config=config)
    project.run("create", "p").assert_ok()
    project.run("delete", "p").assert_ok()
    for tag in project.docker.tags(str(project.home.label)):
        project.docker.api.remove_image(tag, force=True)
    project.write({".devcontainer/Dockerfile": f"{dockerfile}RUN echo once; exit 1\n"})
    failed = project.run("create", "p", "-v").assert_code(6)
    assert "was removed just now" not in failed.stderr
    assert failed.stderr.count("FAILED") == 1, failed.stderr


@pytest.mark.here("another DOCKER_HOST")
async def test_docker_goes_while_a_pod_is_replaced(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """With the new container at work: the old one is the pod again before anybody gets in."""
    project = rumpel_project()
    async with flaky_engine(tmp_path) as engine:
        project.run("create", "p").assert_ok()
        before = project.container_id("p")
        project.inside("p", "echo mine >kept")
        path = engine.url.removeprefix("unix://")
        held = await asyncio.to_thread(Held, project, tmp_path, "replace.started", docker=path)
        configured = {"image": MINI_IMAGE, "containerEnv": {"NEW": "1"}}
        project.commit("changed", {".devcontainer/devcontainer.json": configured})
        recreating = project.start("recreate", "p")
        await asyncio.to_thread(held.reached, "replace.started")
        assert len(project.containers("p")) == 2
        await engine.down()
        held.go("replace.started")
        code, said = await asyncio.to_thread(ended, recreating)
        assert code == 5, said
        refused = await asyncio.to_thread(project.run, "enter", "p", "--", "true")
        refused.assert_code(5)
        await engine.up()
        kept = await asyncio.to_thread(project.inside, "p", "cat kept; echo $NEW")
        assert kept == "mine"
        assert project.container_id("p") == before
        (row,) = (await asyncio.to_thread(project.run, "list", "--json")).assert_ok().data
        assert row["status"] == "running"
        assert [one["Id"] for one in project.containers("p")] == [before]
        (await asyncio.to_thread(project.run, "recreate", "p")).assert_ok()
        assert await asyncio.to_thread(project.inside, "p", "cat kept; echo $NEW") == "mine\n1"


def test_what_could_not_be_taken_back_is_tried_again(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """What went wrong first is told, and nobody works on a pod that is half replaced."""
    project = rumpel_project()
    project.inside("p", "echo mine >kept")
    old, api = project.container_id("p"), project.docker.api
    name = project.docker.inspect(old)["Name"]
    held = Held(project, tmp_path, "replace.started", fails="replace.tidied")
    recreating = project.start("recreate", "--force", "p")
    held.reached("replace.started")
    api.remove_container(old, force=True)
    other = api.create_container(MINI_IMAGE, "true", name=name, labels=[project.home.label])["Id"]
    held.go("replace.started")
    code, said = ended(recreating)
    assert (code, "fault injected at replace.tidied" in said) == (1, True), said
    for verb in (["enter", "p", "--", "true"], ["create", "p"], ["recreate", "p"]):
        project.run(*verb).assert_error(4, name.strip("/"))
    (row,) = project.run("list", "--json").assert_ok().data
    assert row["status"] == "running"
    api.remove_container(other)
    assert project.inside("p", "cat kept") == "mine"
    project.run("recreate", "--force", "p").assert_ok()
    assert project.inside("p", "cat kept") == "mine"


@pytest.mark.parametrize("hundredths", [0, 1, 3, 5])
def test_a_command_of_the_image_that_ends_while_its_pod_is_made(
    rumpel_project: ProjectFactory, hundredths: int
) -> None:
    """Wherever it is met, what is told is that it ended, and what to do."""
    end = f'["/bin/sh", "-c", "env; sleep 0.0{hundredths}; exit 9"]'
    dockerfile = f"FROM {MINI_IMAGE}\nENTRYPOINT []\nCMD {end}\n"
    config = {
        "build": {"dockerfile": "Dockerfile"},
        "overrideCommand": False,
        "runArgs": ["--network=none"],
        "containerEnv": {"TOKEN": "${localEnv:TOKEN}"},
    }
    project = rumpel_project({".devcontainer/Dockerfile": dockerfile}, config=config)
    failed = project.run("create", "p", "--trust", env={"TOKEN": "canary-7c1e"}).assert_code(6)
    assert "TOKEN=***" in failed.stderr
    assert "canary-7c1e" not in failed.stderr
    assert "the container of pod 'p' ended at once with 9" in failed.stderr
    assert "overrideCommand" in failed.stderr
