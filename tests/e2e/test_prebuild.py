"""onCreateCommand and updateContentCommand run once for all new pods, in an image."""

from __future__ import annotations

import json
from typing import Any

from rumpel import names
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

ALWAYS = {"prebuild": {"minDuration": "0s"}}
"""For tests: even a quick command of a single pod is run beforehand."""
RUN = "cat /proc/sys/kernel/random/uuid >/tmp/ran"
"""Whoever has the same content has it from the same run."""


def config(**more: Any) -> dict[str, Any]:
    return {"image": MINI_IMAGE, "runArgs": ["--network=none"], **more}


def project_of(make: ProjectFactory, settings: Any = ALWAYS, **more: Any) -> Project:
    return make({".rumpelpod.json": json.dumps(settings)}, config=config(**more))


def runs(project: Project, *pods: str) -> set[str]:
    return {project.exec(pod, "cat", "/tmp/ran").stdout for pod in pods}


def images(project: Project) -> list[dict[str, Any]]:
    label = project.home.label
    assert label
    return project.docker.images(label, f"{names.LABEL_KIND}=prebuilt")


def builders(project: Project) -> list[dict[str, Any]]:
    label = project.home.label
    assert label
    return project.docker.containers(label, f"{names.LABEL_KIND}=prebuild")


def test_commands_run_once(rumpel_project: ProjectFactory) -> None:
    project = project_of(rumpel_project, onCreateCommand=RUN)
    project.run("create", "a", "b", "c").assert_ok()
    assert len(runs(project, "a", "b", "c")) == 1
    project.run("create", "d").assert_ok()
    assert len(runs(project, "a", "d")) == 1
    assert builders(project) == []
