"""`batch land` and `batch report`: what a batch came to, merged in order and written up."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from tests.e2e.test_batch import COMMIT, at_work, batch, made, starts, states, task
from tests.support.project import Project, ProjectFactory


def _is_done(project: Project, name: str) -> bool:
    status = json.loads(project.run("batch", "status", "--json").assert_ok().stdout)
    return states(status)[name] == "done"


def landed(project: Project, *tasks: str) -> dict[str, Any]:
    done = project.run("batch", "land", "batch.json", *tasks, "--json", timeout=120)
    return {"code": done.code, **json.loads(done.stdout)}


def test_land_in_order_each_tree_verified(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"limit": "10\n"})
    # Each verifies alone; b and c together are too many files, whatever git says.
    few = "[ $(ls | wc -l) -le $(cat limit) ]"
    tasks = [
        made("c", needs=["a"], verify=few),
        made("a", verify=few),
        made("b", verify=few),
        task("bad", "exit 1"),
        made("behind", needs=["bad"]),
    ]
    done = batch(project, "run", tasks=tasks)
    assert states(done) == {
        "c": "done",
        "a": "done",
        "b": "done",
        "bad": "failed",
        "behind": "skipped",
    }
    before = project.git("rev-parse", "HEAD")
    found = landed(project)
    assert found["code"] == 0, found
    rows = found["data"]["landed"]
    assert [row["name"] for row in rows] == ["a", "b", "c"], "what is needed first"
    assert [row["outcome"] for row in rows] == ["fast-forwarded", "merged", "merged"]
    assert [row["by"] for row in rows] == ["a", "b", "c"]
    assert {"a", "b", "c"} <= {path.name for path in project.root.iterdir()}
    assert project.git("rev-parse", "HEAD") != before
    assert [left["name"] for left in found["data"]["left"]] == ["bad", "behind"]
    again = landed(project)
    assert {row["outcome"] for row in again["data"]["landed"]} == {"up to date"}


def test_land_stops_and_leaves_all_as_it_was(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"limit": "0\n"})
    count = len([path for path in project.root.iterdir() if not path.name.startswith(".")])
    project.commit("limit", {"limit": f"{count + 1}\n"})
    few = "[ $(ls | wc -l) -le $(cat limit) ]"
    tasks = [made("a", verify=few), made("b", verify=few), made("c", verify=few)]
    done = batch(project, "run", tasks=tasks)
    assert set(states(done).values()) == {"done"}, done
    found = landed(project)
    assert found["code"] == 6
    assert "b: verify of task b exited with 1 on the merged tree" in found["error"]["message"]
    assert [row["name"] for row in found["data"]["landed"]] == ["a"]
    assert project.git("status", "--porcelain", "-uno") == ""
    assert project.git("rev-parse", "HEAD") == project.git("rev-parse", "rumpelpod/a")
    assert not (project.root / "b").exists()

    project.commit("by hand", {"c": "another\n", "limit": "99\n"})
    conflict = landed(project, "c")
    assert conflict["code"] == 4
    assert "conflict in 1 file" in conflict["error"]["message"]
    assert project.git("status", "--porcelain", "-uno") == ""


def test_a_tree_is_verified_once(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    same = "echo x >f && git add f && git commit -qm"
    wait = "while [ ! -e go ]; do sleep 0.1; done; rm go"
    tasks = [
        task("a", f"{same} a", verify="test -f f"),
        task("b", "true", needs=["a"], verify="[ -f f ]"),
        task("c", f"{wait}; {same} c", verify="test -f f"),
        task("d", f"{wait}; {same} d", verify="test -f f", files=["lent"]),
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks}), "lent": "seen by verify"})
    project.run("batch", "run", "--no-wait", "batch.json").assert_ok()
    project.wait_until(lambda: _is_done(project, "b"), "b is done")
    for name in ("c", "d"):
        project.exec(name, "touch", "/workspaces/repo/go")
    done = batch(project, "run", tasks=tasks)
    assert set(states(done).values()) == {"done"}
    logs = project.run("logs", "c", "verify").assert_ok().stdout
    assert "the same tree was verified for task a" in logs
    assert "same tree" not in project.run("logs", "b", "verify").stdout, "by another command"
    assert "same tree" not in project.run("logs", "d", "verify").stdout, "with another file"


def test_reports(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    hostile = r"printf '<script>alert(1)</script> | \033[31mred\n'; echo ok"
    tasks = [
        task("a", hostile),
        made("b", needs=["a"], verify="true"),
        task("c", "echo '<b>no</b>' >&2; exit 3"),
    ]
    batch(project, "run", tasks=tasks)
    before = starts(project)
    said = project.run("batch", "report").assert_ok().stdout
    assert said.startswith("# Batch batch\n\n2 of 3 tasks done, 1 failed · 1 commit")
    assert "| b | done | command | 1 | passed |" in said
    assert "```text\n<script>alert(1)</script> | " in said, "no Markdown"
    assert said.rstrip().endswith("```text\n<b>no</b>\n```")
    assert "\x1b" not in said
    page = project.run("batch", "report", "--format", "html").assert_ok().stdout
    assert page == project.run("batch", "report", "--format", "html").assert_ok().stdout
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert re.search(r"<h2>What needs what</h2>.*<svg", page, re.DOTALL)
    assert "working: " in page
    data = json.loads(project.run("batch", "report", "--format", "json").assert_ok().stdout)["data"]
    assert data["totals"]["commits"] == 1
    assert [step["kind"] for step in data["tasks"][1]["steps"]] == [
        *("start", "pod", "work", "verify", "leave")
    ]
    assert starts(project) == before


def test_land_goes_on_when_pods_are_gone(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [made("a", verify="test -f a")]
    batch(project, "run", tasks=tasks)
    assert landed(project)["code"] == 0
    project.run("prune", "-f").assert_ok()
    assert project.containers() == []
    done = batch(project, "run", tasks=[*tasks, made("b", needs=["a"], verify="test -f b")])
    assert states(done) == {"a": "done", "b": "done"}
    found = landed(project)
    assert found["code"] == 0, found
    rows = {row["name"]: row["outcome"] for row in found["data"]["landed"]}
    assert rows == {"a": "up to date", "b": "fast-forwarded"}


def test_land_takes_what_was_verified(rumpel_project: ProjectFactory) -> None:
    """Not what came later in the pod; and the tree that git gives, however it merges."""
    project = rumpel_project({"f": "1\n2\n3\n"})
    change = f"echo pod >f && {COMMIT.format('a')}"
    tasks = [task("a", change, verify="test ! -e later && grep -q pod f")]
    batch(project, "run", tasks=tasks)
    project.inside("a", f"touch later; {COMMIT.format('later')}")
    project.commit("here", {"f": "here\n"})
    project.git("config", "branch.main.mergeOptions", "-X theirs --no-commit")
    found = landed(project)
    assert found["code"] == 0, found
    assert [(row["outcome"], row["by"]) for row in found["data"]["landed"]] == [("merged", "a")]
    assert found["warnings"] == ["a has later commits, left out: rumpel merge a"]
    assert (project.root / "f").read_text() == "pod\n"
    assert not (project.root / "later").exists()
    assert project.git("status", "--porcelain", "-uno") == ""


def test_land_leaves_no_merge_half_done(rumpel_project: ProjectFactory) -> None:
    """A hook's veto is undone; and where the user went on meanwhile, nothing is merged."""
    project = rumpel_project()
    slow = "[ -e a ] || exit 0; touch /tmp/at-work; while [ ! -e /tmp/go ]; do sleep 0.1; done"
    tasks = [made("a"), made("b", verify=slow)]
    batch(project, "run", tasks=tasks)
    assert [row["outcome"] for row in landed(project, "a")["data"]["landed"]] == ["fast-forwarded"]
    landing = project.start("batch", "land", "batch.json", "b")
    project.wait_until(functools.partial(at_work, project, "b"), "b is verified")
    project.git("checkout", "-q", "-b", "other")
    project.exec("b", "touch", "/tmp/go")
    assert landing.wait(timeout=60) == 4
    assert not (project.root / "b").exists()

    project.git("checkout", "-q", "main")
    hook = project.root / ".git/hooks/commit-msg"
    hook.write_text("#!/bin/sh\necho not with me >&2; exit 1\n")
    hook.chmod(0o755)
    head = project.git("rev-parse", "HEAD")
    refused = landed(project, "b")
    assert "not with me" in refused["error"]["details"]["tail"]
    assert "it was undone" in refused["error"]["message"]
    assert project.git("rev-parse", "HEAD") == head
    assert not (project.root / ".git/MERGE_HEAD").exists()
    assert project.git("status", "--porcelain", "-uno") == ""
