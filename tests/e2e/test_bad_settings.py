"""A `.rumpelpod.json` that is wrong: an agent's commit can bring one, and work must get past it."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.support.project import ProjectFactory

UNKNOWN = '{"memry": 1, "keepDeleted": "30d"}'
VALUE = '{"pidsLimit": "many"}'
BROKEN = '{"memory": '


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (UNKNOWN, ".rumpelpod.json: there is no setting 'memry', did you mean 'memory'?"),
        (VALUE, ".rumpelpod.json: pidsLimit is 'many'"),
        (BROKEN, ".rumpelpod.json:1:"),
    ],
    ids=["unknown", "value", "broken"],
)
def test_wrong_settings_keep_no_work_back(
    rumpel_project: ProjectFactory, content: str, words: str
) -> None:
    project = rumpel_project()
    project.run("create", "p", "q").assert_ok()
    project.inside("p", "echo 1 >a; git add a; git commit -qm work; echo 2 >a")
    project.write({".rumpelpod.json": content})
    for argv in (
        *(("review", "p", "--stat"), ("graph", "p"), ("ports", "p"), ("snapshot", "p")),
        *(("snapshot", "--list", "p"), ("restore", "p"), ("enter", "p", "--", "true")),
        *(("stop", "q"), ("merge", "p"), ("delete", "--force", "q"), ("undelete",)),
    ):
        done = project.run(*argv).assert_ok()
        assert words in done.stderr, (argv, done)
    for argv in (("create", "p"), ("recreate", "p"), ("fork", "p", "r"), ("undelete", "q")):
        project.run(*argv).assert_error(2, words)
    found = project.run("doctor", "--json").data
    told = [row for row in found if row["check"] == "config"]
    assert [row["state"] for row in told] == ["warning"], found
    assert words in told[0]["text"]


def test_what_is_right_beside_it_counts(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    project.write({".rumpelpod.json": UNKNOWN})
    project.run("delete", "p").assert_ok()
    (row,) = project.run("undelete", "--json").data
    kept = datetime.fromisoformat(row["expires_at"]) - datetime.fromisoformat(row["deleted_at"])
    assert kept == timedelta(days=30)
