"""The daemon dies at every fault point of a fork; the same fork again finishes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.project import ProjectFactory
from tests.support.sweep import LONG, Record, Sweep, assert_dirty, make_dirty


@pytest.mark.timeout(3600 if LONG else 180)
@pytest.mark.slow
@pytest.mark.one_in(4)
def test_fork(rumpel_project: ProjectFactory, tmp_path: Path, record_property: Record) -> None:
    sweep = Sweep(rumpel_project, tmp_path)
    found = sweep.points("fork", "p", "q", before=make_dirty, pods=("p", "q"))
    project, oid = None, ""
    for point in sweep.chosen(found, record_property):
        if project is None:
            project = sweep.project(point)
            oid = make_dirty(project)
        sweep.killed(project, point, "fork", "p", "q")
        done = project.run("fork", "p", "q")
        assert done.code in (0, 4), f"{point}: {done}"  # 4: it was finished
        files = "git status --porcelain; cat staged untracked; git show :staged; git rev-parse HEAD"
        expected = ["AM staged", "?? untracked", "staged", "more", "new", "staged", oid]
        assert project.inside("q", files).splitlines() == expected, point
        assert_dirty(project, oid, point)
        project.wait_for_ref("q", oid)
        project.run("delete", "--force", "q").assert_ok()
    assert project is not None
    sweep.end(project)
