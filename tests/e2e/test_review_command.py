"""`rumpel review` with real pods: what it shows and pins, and that it runs nothing of theirs."""

from __future__ import annotations

import re

from rumpel.cache.store import Store
from tests.support.project import DEFAULT_CONFIG, ProjectFactory
from tests.support.reviewed import ONE, paths, review, risks


def test_a_commit_made_just_now_is_shown(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    base = project.repo.oid("HEAD")
    project.inside("p", "true")
    data = review(project, "p")
    assert (data["files"], data["ahead"], data["commit"]) == ([], 0, base)
    project.run("review", "p").assert_ok().assert_error(0, "nothing to review")
    oid = project.inside("p", f"{ONE} && git rev-parse HEAD")
    data = review(project, "p")
    assert data == {
        "name": "p",
        "base": "main",
        "base_commit": base,
        "commit": oid,
        "merge_base": base,
        "ahead": 1,
        "uncommitted": None,
        "files": [
            {
                "path": "src/app.py",
                "status": "modified",
                "additions": 1,
                "deletions": 1,
                "risks": [],
            }
        ],
        "totals": {"files": 1, "additions": 1, "deletions": 1, "risky": 0},
    }
    # The host's own work since then is no part of it.
    project.commit("elsewhere", {"other.txt": "x\n"})
    assert paths(review(project, "p")) == ["src/app.py"]
    stat = project.run("review", "p", "--stat").assert_ok()
    assert stat.stdout.splitlines() == [
        "  src/app.py | 2 +-",
        "  1 file changed, 1 insertion(+), 1 deletion(-)",
    ]
    assert oid[:12] in stat.stderr
    patch = project.run("review", "p").assert_ok()
    assert patch.stdout_bytes == project.repo.run_git("diff", base, oid).stdout
    project.repo.git("apply", "--check", input=patch.stdout_bytes)
    project.run("delete", "--force", "p").assert_ok()


async def test_the_commit_is_pinned(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    first = project.inside("p", f"{ONE} && git rev-parse HEAD")
    assert review(project, "p")["commit"] == first
    second = project.inside("p", "git commit -q --allow-empty -m two && git rev-parse HEAD")
    assert review(project, "p", "src")["commit"] == second
    pod_id = project.containers("p")[0]["Labels"]["rumpel.pod-id"]
    project.run("daemon", "stop").assert_ok()
    async with Store(project.home.path / "state/rumpel/state.db") as store:
        seen = store.kv_get(f"reviewed/{pod_id}")
    assert seen["oid"] == first, "some paths of a newer commit do not make it a reviewed one"
    assert seen["at"] > 0
    review(project, "p")
    project.run("daemon", "stop").assert_ok()
    async with Store(project.home.path / "state/rumpel/state.db") as store:
        assert store.kv_get(f"reviewed/{pod_id}")["oid"] == second
    project.run("delete", "--force", "p").assert_ok()
    project.run("daemon", "stop").assert_ok()
    async with Store(project.home.path / "state/rumpel/state.db") as store:
        assert store.kv_get(f"reviewed/{pod_id}") is None


def test_merge_knows_what_was_reviewed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    project.inside("p", ONE)
    project.run("merge", "p", "--reviewed").assert_error(4, "not reviewed")
    review(project, "p", "src")
    project.run("merge", "p", "--reviewed").assert_error(4, "not reviewed")
    review(project, "p")
    last = project.inside("p", "git commit -q --allow-empty -m two && git rev-parse HEAD")
    project.run("merge", "p", "--reviewed").assert_error(4, "1 commit since", "rumpel review p")
    project.run("review", "p", "--stat").assert_ok()
    project.run("merge", "p", "--reviewed").assert_ok()
    assert last in project.git("rev-list", "HEAD")
    project.run("delete", "p").assert_ok()


def test_a_stopped_pod_and_a_base_that_is_gone(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    project.git("branch", "topic")
    project.run("create", "p", "--from", "topic").assert_ok()
    project.inside("p", ONE)
    project.run("stop", "p").assert_ok()
    project.git("branch", "-D", "topic")
    outcome = project.run("review", "p", "--name-only").assert_error(0, "it is stopped", "topic")
    assert outcome.stdout == "src/app.py\n"
    project.run("review", "q").assert_error(3, "no pod 'q'")
    project.run("delete", "--force", "p").assert_ok()


def test_detached_and_unborn(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    project.git("switch", "-q", "--detach")
    base = project.repo.oid("HEAD")
    project.inside("p", ONE)
    data = review(project, "p")
    assert (data["base"], data["merge_base"], paths(data)) == (base, base, ["src/app.py"])
    project.git("switch", "-q", "--orphan", "empty")
    project.write({".devcontainer.json": DEFAULT_CONFIG})
    project.inside("q", f"{ONE} && rm -f nothing")
    data = review(project, "q")
    assert (data["base"], data["merge_base"]) == (None, None)
    assert data["ahead"] == 1
    assert paths(data) == ["src/app.py"]
    project.run("delete", "--force", "p", "q").assert_ok()


def test_paths_are_those_of_git(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n", "docs/a.md": "a\n"})
    project.inside(
        "p",
        "for f in src/app.py docs/a.md new.txt; do echo y >>$f; done; git add -A; git commit -qm x",
    )
    assert paths(review(project, "p")) == ["docs/a.md", "new.txt", "src/app.py"]
    assert paths(review(project, "p", "docs", "src/app.py")) == ["docs/a.md", "src/app.py"]
    assert paths(review(project, "p", "app.py", cwd=project.root / "src")) == ["src/app.py"]
    assert paths(review(project, "p", "../docs", cwd=project.root / "src")) == ["docs/a.md"]
    assert paths(review(project, "p", ":(top)*.txt", cwd=project.root / "src")) == ["new.txt"]
    assert paths(review(project, "p", str(project.root / "docs"))) == ["docs/a.md"]
    outcome = project.run("review", "p", "--stat", "--", "docs").assert_ok()
    assert outcome.stdout.startswith("  docs/a.md | 1 +\n")
    patch = project.run("review", "p", "--patch", "app.py", cwd=project.root / "src").assert_ok()
    assert "src/app.py" in patch.stdout
    assert "docs" not in patch.stdout
    project.run("review", "p", "../../x").assert_error(2, "../../x")
    project.run("review", "p", "none").assert_error(0, "in these paths")
    project.run("delete", "--force", "p").assert_ok()


def test_two_pods_against_each_other(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    project.inside("alice", ONE)
    project.inside("bob", "echo 'print(3)' >src/app.py; touch b; git add -A; git commit -qm b")
    data = review(project, "alice", "--against", "bob")
    assert (data["base"], data["ahead"]) == ("pod/bob", 1)
    assert data["base_commit"] == project.repo.published()["bob"]
    assert {file["path"]: file["status"] for file in data["files"]} == {
        "src/app.py": "modified",
        "b": "deleted",
    }
    patch = project.run("review", "alice", "--against", "bob", "--patch").assert_ok().stdout
    assert "-print(3)\n+print(2)\n" in patch
    project.run("review", "alice", "--against", "alice").assert_error(2, "itself")
    project.run("review", "alice", "--against", "carol").assert_error(3, "carol")
    project.run("delete", "--force", "alice", "bob").assert_ok()


LOOK = (
    "git --no-optional-locks status --porcelain; git rev-parse HEAD; ls -l --full-time .git/index"
)
"""Without the refresh of the index that a status is otherwise, which moves its time."""
DIRTY = """
echo staged >staged.txt && git add staged.txt
echo 'print(3)' >src/app.py
echo new >new.txt && echo no >ignored.o && echo '*.o' >.gitignore
chmod +x README.md
printf 'pod\\n' >"$(printf 'caf\\351')"
"""


def test_uncommitted_files_are_shown_when_asked_for(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    project.inside("p", ONE)
    clean = review(project, "p", "--include-dirty")
    assert (clean["uncommitted"], paths(clean)) == (0, ["src/app.py"])
    project.inside("p", DIRTY)
    state = project.inside("p", LOOK)
    assert paths(review(project, "p")) == ["src/app.py"]
    data = review(project, "p", "--include-dirty")
    assert data["commit"] == project.repo.published()["p"]
    assert data["uncommitted"] == 6
    assert paths(data) == [
        *["README.md", "caf%E9", ".gitignore", "new.txt", "src/app.py", "staged.txt"]
    ]
    assert risks(data, "README.md") == {"executable"}
    patch = project.run("review", "p", "--include-dirty", "--patch", "src").assert_ok()
    assert "-print(1)\n+print(3)\n" in patch.stdout
    after = project.inside("p", LOOK)
    assert after == state, "nothing in the pod changes"
    project.inside("p", "git switch -qc other")
    project.run("review", "p", "--include-dirty", "--stat").assert_error(0, "'other'")
    project.run("stop", "p").assert_ok()
    stopped = review(project, "p", "--include-dirty")
    assert (stopped["uncommitted"], stopped["files"]) == (6, data["files"]), "as `stop` held it"
    shown = project.run("review", "p", "--include-dirty", "--stat").assert_error(0, "it is stopped")
    assert re.search(r"snapshot [0-9a-f]{12} from \d{4}-\d\d-\d\d \d\d:\d\d UTC", shown.stderr)
    project.inside("p", "git add -A; git commit -qm all")
    project.run("stop", "p").assert_ok()
    project.run("review", "p", "--include-dirty", "--stat").assert_error(0, "committed to since")
    project.run("create", "q").assert_ok()
    project.run("stop", "q").assert_ok()
    project.run("review", "q", "--include-dirty").assert_error(4, "no snapshot", "rumpel enter q")
    project.run("delete", "--force", "p", "q").assert_ok()


def test_the_graph_knows_it_and_nothing_runs_twice(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    project.inside("p", ONE)
    nodes = project.run("graph", "p", "--plan", "review", "--json").assert_ok().data["nodes"]
    assert [node["kind"] for node in nodes] == ["imported", "range", "risk"]
    review(project, "p")
    nodes = project.run("graph", "p", "--plan", "review", "--json").assert_ok().data["nodes"]
    assert {node["state"] for node in nodes} == {"cached"}, nodes
    project.run("delete", "--force", "p").assert_ok()
