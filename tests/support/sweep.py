"""A daemon that dies at a fault point of a verb, and what has to be there afterwards."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rumpel import names
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

LONG = bool(os.environ.get("RUMPEL_LONG"))
"""Read when imported: no test sees the caller's variables."""
COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"
COMMIT_NOTHING = COMMIT.replace("--allow-empty", "--allow-empty --only")
"""What is staged stays staged."""
DIES_WITHIN_S = 10.0
BUDGET_S = float(os.environ.get("RUMPEL_SWEEP_S", "inf"))
"""Of each sweep of a long run."""
FOUND: dict[str, list[str]] = {}
"""The points of each verb."""
PORT = 39_700
Record = Callable[[str, object], None]
"""`record_property`: scripts/long puts the numbers into its table."""


class Sweep:
    """One verb that is killed; `rumpel daemon` of the test's home does what all of them ask."""

    def __init__(self, make: ProjectFactory, folder: Path) -> None:
        self._make, self._log, self._count = make, folder / "points", 0

    def project(self, point: str = "image.") -> Project:
        """For the points of a build with images of its own, else with those of the others."""
        self._count += 1
        key = self._make.home.path.name
        if point.startswith(("image.", "tools.")):
            key += f"-{self._count}"
        config = {
            "build": {"dockerfile": "Dockerfile"},
            "runArgs": ["--network=none"],
            # It is part of the tools layer, which all repositories share.
            "workspaceFolder": f"/ws/{key.lower()}",
            "onCreateCommand": "echo ran >>/tmp/on-create",
            "forwardPorts": [PORT],
        }
        dockerfile = f"FROM {MINI_IMAGE}\nLABEL made-by={key}\n"
        name = f"repo-{self._count}"
        return self._make({".devcontainer/Dockerfile": dockerfile}, config=config, name=name)

    def points(
        self,
        *argv: str,
        before: Callable[[Project], object],
        key: str | None = None,
        pods: tuple[str, ...] = ("p",),
    ) -> list[str]:
        """Each once, in the order they were met; the same for every test of a verb (or `key`)."""
        key = key or argv[0]
        if key in FOUND:
            return FOUND[key]
        project = self.project()
        before(project)
        project.run("daemon", "stop")
        project.run(*argv, env={"RUMPEL_FAULT_LOG": str(self._log)}).assert_ok()
        found = list(dict.fromkeys(self._log.read_text().split()))
        project.run("delete", "--force", *pods)
        project.run("daemon", "stop").assert_ok()
        assert len(found) > 4, found
        FOUND[key] = found
        return found

    def chosen(self, found: list[str], record: Record) -> Iterator[str]:
        """All of them in a long run, in any order and as many as there is time for; else one."""
        chosen = random.sample(found, len(found) if LONG else 1)
        ends_at, kills = time.monotonic() + BUDGET_S, 0
        try:
            for point in chosen:
                if kills and time.monotonic() > ends_at:
                    break
                yield point
                kills += 1
        finally:
            record("kills", f"{kills} of {len(found)}")

    def killed(self, project: Project, point: str, *argv: str) -> None:
        """Run the verb with a daemon that dies at `point`."""
        project.run("daemon", "stop")
        project.run(*argv, env={"RUMPEL_FAULT": f"{point}:1:kill"})
        is_dead = lambda: not project.home.daemon_pids()  # noqa: E731 - a name for wait_until
        project.wait_until(is_dead, f"the daemon dies at {point}", timeout_s=DIES_WITHIN_S)

    def end(self, project: Project) -> None:
        project.run("delete", "--force", "p").assert_ok()
        assert_nothing_left(project)
        project.run("daemon", "stop").assert_ok()


def label_of(project: Project) -> str:
    label = project.home.label
    assert label, "an empty label would stand for everything on the engine"
    return label


def commit_in(project: Project) -> str:
    return project.run("enter", "p", "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()


def assert_one_pod(project: Project) -> None:
    """One container, one gateway, one volume; commits go both ways."""
    label = label_of(project)
    found = [item["Names"] for item in project.docker.containers(label)]
    assert len(found) == 2, f"one pod and one gateway, found {found}"
    kinds = sorted(item["Labels"][names.LABEL_KIND] for item in project.docker.volumes(label))
    assert kinds == ["agent-home", "agents", "seed"]
    project.wait_for_ref("p", project.repo.oid("HEAD"), timeout_s=20)
    assert set(project.repo.published()) == {"p", "p@p"}
    assert_forwarded(project, str(PORT))
    ran = project.run("enter", "p", "--", "cat", "/tmp/on-create").assert_ok().stdout
    assert ran.startswith("ran\n")
    project.wait_for_ref("p", commit_in(project))
    onward = project.commit("on the host")
    fetched = "git rev-parse -q --verify refs/remotes/host/main"

    def arrived() -> bool:
        return project.run("enter", "p", "--", "sh", "-c", fetched).stdout.strip() == onward

    project.wait_until(arrived, "the host's commit arrives in the pod")


def assert_forwarded(project: Project, *keys: str) -> None:
    """At ports of this machine that take connections."""
    rows = project.run("ports", "p", "--json").assert_ok().data
    assert [(row["key"], row["state"]) for row in rows] == [(key, "open") for key in keys]
    for row in rows:
        socket.create_connection(("127.0.0.1", row["local_port"]), timeout=5).close()


def assert_nothing_left(project: Project) -> None:
    label = label_of(project)
    project.wait_until(
        lambda: not project.docker.containers(label) and not volumes_of_pods(project),
        "containers and volumes go",
    )
    assert project.repo.published() == {}
    doors = project.home.state / "doors"
    assert not [path for path in doors.glob("*/*") if path.is_dir()]


def volumes_of_pods(project: Project) -> list[dict[str, Any]]:
    """All but the one with agents' programs, which is kept for the next pod."""
    found = project.docker.volumes(label_of(project))
    return [item for item in found if item["Labels"][names.LABEL_KIND] != "agents"]


def make_dirty(project: Project) -> str:
    """A pod with a commit, a staged and an untracked file; the commit."""
    project.run("create", "p").assert_ok()
    oid = commit_in(project)
    script = "echo staged >staged; git add staged; echo more >>staged; echo new >untracked"
    project.run("enter", "p", "--", "sh", "-c", script).assert_ok()
    return oid


def assert_dirty(project: Project, oid: str, point: str) -> None:
    script = "git rev-parse HEAD; git status --porcelain; cat staged untracked; git show :staged"
    shown = project.run("enter", "p", "--", "sh", "-c", script).assert_ok().stdout
    expected = [oid, "AM staged", "?? untracked", "staged", "more", "new", "staged"]
    assert shown.splitlines() == expected, point
