"""What `rumpel review --json` says, in the words of the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.project import Project

ONE = "mkdir -p src && echo 'print(2)' >src/app.py && git add -A && git commit -qm one"
"""A commit to review, in the words of the pod's shell."""


def review(project: Project, *args: str, cwd: Path | None = None) -> dict[str, Any]:
    data: dict[str, Any] = project.run("review", *args, "--json", cwd=cwd).assert_ok().data
    return data


def paths(data: dict[str, Any]) -> list[str]:
    return [file["path"] for file in data["files"]]


def risks(data: dict[str, Any], path: str) -> set[str]:
    found = next(file for file in data["files"] if file["path"] == path)
    return {risk["kind"] for risk in found["risks"]}
