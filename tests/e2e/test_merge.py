"""`rumpel merge` with real pods and real git (notes/original.md part 5, specs 67 and 68)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.project import DEFAULT_CONFIG, Project, ProjectFactory

HOOKS = ("pre-merge-commit", "prepare-commit-msg", "commit-msg", "post-merge")


def work(project: Project, pod: str, files: dict[str, str], message: str = "work") -> str:
    """A commit in the pod, made past the daemon's notice; its oid."""
    script = "".join(
        f"mkdir -p $(dirname {name}) && printf %s '{text}' >{name} && "
        for name, text in files.items()
    )
    script += f"git add -A && git commit -q --allow-empty -m '{message}' && git rev-parse HEAD"
    out = project.run("enter", pod, "--", "sh", "-ec", script).assert_ok()
    return out.stdout.strip()


def state(project: Project) -> tuple[str, str, str, str]:
    """What a refused merge must leave as it was."""
    refs = "\n".join(
        line
        for line in project.git("for-each-ref").splitlines()
        if "\trefs/heads/" in line or "\trefs/tags/" in line
    )
    files = project.git("status", "--porcelain", "--untracked-files=all")
    index = project.git("ls-files", "--stage")
    return project.repo.oid("HEAD"), refs, files, index


def status_of(project: Project, pod: str) -> str:
    rows: list[dict[str, str]] = project.run("list", "--json").data
    return {row["name"]: row["status"] for row in rows}[pod]


def record_hooks(project: Project) -> Path:
    """All hooks that a merge runs write their name into a file."""
    ran = project.home.path / "hooks-ran"
    for name in (*HOOKS, "pre-commit", "post-commit", "pre-push"):
        hook = project.root / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\necho {name} >>{ran}\n")
        hook.chmod(0o755)
    return ran


def test_a_merge_brings_the_file_and_stops_the_pod(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    oid = work(project, "p", {"new.txt": "new"})
    other = project.commit("on the host", {"host.txt": "host"})
    ran = record_hooks(project)
    done = project.run("merge", "p").assert_ok()
    assert "Merge made by" in done.stdout
    assert (project.root / "new.txt").read_text() == "new"
    assert project.git("rev-parse", "HEAD^1", "HEAD^2").split() == [other, oid]
    assert project.git("log", "-1", "--format=%s") == "Merge remote-tracking branch 'rumpelpod/p'"
    assert ran.read_text().split() == list(HOOKS)
    assert status_of(project, "p") == "stopped"
    again = project.run("merge", "p").assert_ok()
    assert "nothing to merge" in again.stderr
    project.run("delete", "p").assert_ok()


def test_a_pod_whose_hook_failed_is_stopped_too(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config={**DEFAULT_CONFIG, "postCreateCommand": "false"})
    project.run("create", "p").assert_error(6, "postCreateCommand")
    commit = ("git", "-C", "/workspaces/repo", "commit", "-q", "--allow-empty", "-m", "work")
    project.exec("p", *commit)
    done = project.run("merge", "p").assert_ok()
    assert "pod p is stopped" in done.stderr
    assert [row["State"] for row in project.containers("p")] == ["exited"]
    project.run("delete", "p").assert_ok()


def test_a_conflict_touches_nothing(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    work(project, "p", {"README.md": "theirs", "dir/new.txt": "x"})
    project.commit("ours", {"README.md": "ours"})
    project.write({"untracked.txt": "mine"})
    before = state(project)
    refused = project.run("merge", "p").assert_error(4, "README.md", "nothing was changed", "try:")
    assert "new.txt" not in refused.stderr
    assert state(project) == before
    assert not (project.root / ".git/MERGE_HEAD").exists()
    assert status_of(project, "p") == "running"
    envelope = project.run("merge", "p", "--json").assert_code(4).json()
    assert envelope["error"]["details"]["conflicts"] == ["README.md"]
    # A strategy can decide it: then it is checked with that strategy.
    project.run("merge", "p", "-X", "theirs", "--keep").assert_ok()
    assert (project.root / "README.md").read_text() == "theirs"
    assert status_of(project, "p") == "running"


def test_a_description_becomes_the_message(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    text = "Fix the login\n\n# Why\nIt was broken."
    oid = work(project, "p", {"DESCRIPTION": text + "\n", "a.txt": "a"})
    ran = record_hooks(project)
    project.run("merge", "p", "--keep").assert_ok()
    assert project.git("log", "-1", "--format=%B").strip() == text
    assert project.repo.oid("HEAD^2") == oid
    assert "DESCRIPTION" not in project.git("ls-tree", "--name-only", "HEAD")
    assert project.git("status", "--porcelain") == ""
    assert ran.read_text().split() == list(HOOKS)
    # The same pod again: no modify/delete conflict, and the new text counts.
    project.commit("host goes on", {"host.txt": "host"})
    second = work(project, "p", {"DESCRIPTION": "Fix it better", "b.txt": "b"})
    project.run("merge", "p", "--keep").assert_ok()
    assert project.git("log", "-1", "--format=%B").strip() == "Fix it better"
    assert project.repo.oid("HEAD^2") == second
    assert project.git("ls-tree", "--name-only", "HEAD").split() == [
        *(".devcontainer", "README.md", "a.txt", "b.txt", "host.txt")
    ]
    # And squashed.
    work(project, "p", {"DESCRIPTION": "Squash it", "c.txt": "c"})
    project.run("merge", "p", "--squash").assert_ok()
    assert project.git("diff", "--cached", "--name-only").split() == ["c.txt"]
    assert (project.root / ".git/SQUASH_MSG").read_text() == "Squash it\n"
    assert not (project.root / "DESCRIPTION").exists()
    project.run("delete", "--force", "p").assert_ok()


@pytest.mark.parametrize("is_diverged", [False, True])
def test_a_first_squash_with_a_description(
    rumpel_project: ProjectFactory, is_diverged: bool
) -> None:
    project = rumpel_project()
    work(project, "p", {"DESCRIPTION": "All of it", "a.txt": "a"})
    if is_diverged:
        project.commit("host", {"host.txt": "host"})
    head = project.repo.oid("HEAD")
    result = project.run("merge", "p", "--squash", "--json").assert_ok().data
    assert (result["outcome"], result["stopped"], result["after"]) == ("squashed", True, head)
    assert project.git("diff", "--cached", "--name-only").split() == ["a.txt"]
    project.git("commit", "-q", "--no-edit")
    assert project.git("log", "-1", "--format=%B").strip() == "All of it"
    project.run("delete", "--force", "p").assert_ok()


def test_a_description_of_the_host_is_an_ordinary_file(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"DESCRIPTION": "Package: x\n"})
    work(project, "p", {"DESCRIPTION": "Package: y\n"})
    project.run("merge", "p", "--no-ff").assert_ok()
    assert (project.root / "DESCRIPTION").read_text() == "Package: y\n"
    assert "rumpelpod/p" in project.git("log", "-1", "--format=%s")


def test_options_of_git_are_passed_on(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    oid = work(project, "p", {"a.txt": "a"})
    result = project.run("merge", "--keep", "p", "--ff-only", "--json").assert_ok().data
    assert (result["outcome"], result["after"], result["stopped"]) == ("fast-forwarded", oid, False)
    work(project, "p", {"b.txt": "b"})
    project.run("merge", "p", "--keep", "--", "--no-ff", "-m", "mine", "--signoff").assert_ok()
    assert project.git("log", "-1", "--format=%B").startswith("mine\n\nSigned-off-by: Test User")
    work(project, "p", {"c.txt": "c"})
    staged = project.run("merge", "p", "--no-commit", "--no-ff", "--json").assert_ok().data
    assert (staged["outcome"], staged["stopped"]) == ("staged", False)
    project.run("merge", "p").assert_error(4, "in progress", "--abort")
    project.git("merge", "--abort")
    project.run("merge", "p", "--abort").assert_error(2, "git merge --abort")
    project.run("merge", "p", "q").assert_error(2, "one pod")
    project.run("merge", "nobody").assert_error(3, "nobody")
    project.run("delete", "--force", "p").assert_ok()


def test_changes_of_the_user_are_not_overwritten(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    work(project, "p", {"README.md": "theirs\n", "DESCRIPTION": "text"})
    project.write({"README.md": "unsaved"})
    before = state(project)
    project.run("merge", "p").assert_error(4, "README.md", "nothing was changed")
    assert (state(project), (project.root / "README.md").read_text()) == (before, "unsaved")
    project.git("add", "README.md")
    before = state(project)
    project.run("merge", "p").assert_error(4, "README.md", "nothing was changed")
    assert state(project) == before
    project.git("reset", "-q", "--hard")
    project.write({"other.txt": "stays"})
    project.run("merge", "p").assert_ok()
    assert (project.root / "other.txt").read_text() == "stays"
    assert status_of(project, "p") == "stopped"


def test_a_hook_that_refuses(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    work(project, "p", {"a.txt": "a"})
    head = project.repo.oid("HEAD")
    hook = project.root / ".git/hooks/commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no ticket >&2\nexit 1\n")
    hook.chmod(0o755)
    project.run("merge", "p", "--no-ff").assert_error(6, "no ticket", "git merge --abort")
    assert project.repo.oid("HEAD") == head
    assert status_of(project, "p") == "running"
    project.git("merge", "--abort")
    project.run("merge", "p", "--no-ff", "--no-verify").assert_ok()


def test_hooks_that_the_pod_wrote_do_not_run(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".husky/post-merge": "#!/bin/sh\n"})
    canary = project.home.path / "canary"
    project.git("config", "core.hooksPath", ".husky")
    script = f"#!/bin/sh\ntouch {canary}\n"
    work(project, "p", {".husky/post-merge": script})
    inside = project.run("enter", "p", "--", "sh", "-c", "chmod +x .husky/*; git commit -qam x")
    inside.assert_ok()
    project.run("merge", "p").assert_error(4, ".husky/post-merge", "--allow-hooks")
    assert not canary.exists()
    project.run("merge", "p", "--allow-hooks").assert_ok()
    assert canary.exists(), "the canary can sing"


def test_remarks_about_the_pod(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    work(project, "p", {"a.txt": "a"})
    project.run("enter", "p", "--", "sh", "-c", "echo x >loose.txt").assert_ok()
    project.git("switch", "-q", "--detach")
    done = project.run("merge", "p").assert_ok()
    assert "1 uncommitted file" in done.stderr
    assert "HEAD is detached" in done.stderr
    assert (project.root / "a.txt").exists()
    assert not (project.root / "loose.txt").exists()
    project.run("delete", "--force", "p").assert_ok()


def test_unrelated_histories_and_a_linked_worktree(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tree = project.home.path / "linked"
    project.git("worktree", "add", "-q", "-b", "side", str(tree))
    work(project, "p", {"a.txt": "a"})
    main = project.repo.oid("main")
    project.run("merge", "p", "--keep", cwd=tree).assert_ok()
    assert (project.repo.oid("main"), (tree / "a.txt").read_text()) == (main, "a")
    script = "git checkout -q --orphan o && git commit -qm o && git branch -M o p"
    project.run("enter", "p", "--", "sh", "-ec", script).assert_ok()
    before = state(project)
    project.run("merge", "p").assert_error(4, "unrelated histories", "--allow-unrelated")
    assert state(project) == before
    project.run("delete", "--force", "p").assert_ok()


def test_the_plan_shows_what_comes_before_and_after(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    plan = project.run("graph", "p", "--plan", "merge", "--json").assert_ok().data
    assert [node["kind"] for node in plan["nodes"]] == ["commits", "stop"]


def test_a_pod_that_moved_since_its_review(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    first = work(project, "p", {"a.txt": "a"})
    project.wait_for_ref("p", first)
    project.run("merge", "p", "--reviewed").assert_error(4, "not reviewed", "rumpel review p")
    project.run("review", "p", "--stat").assert_ok()
    work(project, "p", {"b.txt": "b"})
    project.run("merge", "p", "--reviewed").assert_error(4, "1 commit since", "rumpel review p")
    child = project.spawn("merge", "p")
    child.expect("1 commit since it was reviewed")
    child.expect(r"\[y/N\] ")
    child.sendline("n")
    child.expect("not merged")
    child.expect(pexpect.EOF)
    assert project.repo.oid("HEAD") != project.repo.published()["p"]
    done = project.run("merge", "p", "--keep").assert_ok()
    assert "warning: pod p has 1 commit since it was reviewed" in done.stderr
    work(project, "p", {"c.txt": "c"})
    project.run("review", "p", "--stat").assert_ok()
    rewritten = "git commit -q --amend -m other && git rev-parse HEAD"
    project.run("enter", "p", "--", "sh", "-c", rewritten).assert_ok()
    refused = project.run("merge", "p", "--reviewed")
    refused.assert_error(4, "rewritten commits since")
    project.run("delete", "--force", "p").assert_ok()


def test_list_knows_what_was_squashed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    work(project, "p", {"a.txt": "a"})
    project.wait_for_ref("p", work(project, "p", {"b.txt": "b"}))
    assert "ahead 2" in project.run("list").assert_ok().stdout
    project.run("merge", "p", "--squash", "--keep").assert_ok()
    project.git("commit", "-q", "-m", "squashed")

    def row() -> dict[str, Any]:
        rows = project.run("list", "--json").assert_ok().data
        return dict(rows[0]["git"])

    project.wait_until(lambda: bool(row()["merged"]), "it is seen that p is merged")
    assert (row()["ahead"], row()["behind"]) == (2, 1)
    shown = project.run("list").assert_ok().stdout
    assert "merged" in shown
    assert "ahead" not in shown
    project.wait_for_ref("p", work(project, "p", {"c.txt": "c"}))
    assert "ahead 3" in project.run("list").assert_ok().stdout
    project.run("delete", "--force", "p").assert_ok()


def test_each_branch_is_reviewed_for_itself(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.wait_for_ref("p", work(project, "p", {"a.txt": "a"}))
    project.run("review", "p", "--stat").assert_ok()
    project.inside("p", "git switch -qc side")
    oid = work(project, "p", {"b.txt": "b"})
    project.wait_for_ref("side@p", oid)
    refused = project.run("merge", "p:side", "--reviewed")
    refused.assert_error(4, "branch side of pod p was not reviewed", "rumpel review p:side")
    unread = project.run("merge", "p:side", "--keep", "--squash").assert_ok()
    assert "since it was reviewed" not in unread.stderr, "nobody has reviewed that branch"
    project.git("reset", "-q", "--hard")
    project.run("review", "p:side", "--stat").assert_ok()
    work(project, "p", {"c.txt": "c"})
    refused = project.run("merge", "p:side", "--reviewed")
    refused.assert_error(4, "branch side of pod p has 1 commit since", "rumpel review p:side")
    project.run("review", "p:side", "--stat").assert_ok()
    project.run("merge", "p:side", "--reviewed", "--keep").assert_ok()
    assert project.run("merge", "p", "--json").assert_ok().data["outcome"] == "up to date"
    project.run("delete", "--force", "p").assert_ok()


OLD_GIT = """\
#!/bin/sh
for word; do
    [ "$word" != merge-tree ] || { echo 'usage: git merge-tree <base> <a> <b>' >&2; exit 129; }
done
exec GIT "$@"
"""


def test_a_git_without_merge_tree(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".gitattributes": "log.txt merge=union\n", "log.txt": "1\n"})
    folder = project.home.path / "old-git"
    folder.mkdir()
    (folder / "git").write_text(OLD_GIT.replace("GIT", str(shutil.which("git"))))
    (folder / "git").chmod(0o755)
    env = {"PATH": f"{folder}:{project.home.env['PATH']}"}
    work(project, "p", {"README.md": "theirs", "log.txt": "2\n", "DESCRIPTION": "Text"})
    project.commit("ours", {"README.md": "ours", "log.txt": "3\n"})
    before = state(project)
    refused = project.run("merge", "p", env=env).assert_error(4, "README.md", "nothing was changed")
    assert "log.txt" not in refused.stderr, "attributes count in the check, too"
    assert state(project) == before
    assert project.git("worktree", "list").count("\n") == 0
    project.run("merge", "p", "-X", "ours", env=env).assert_ok()
    assert sorted((project.root / "log.txt").read_text().split()) == ["2", "3"]
    assert (project.root / "README.md").read_text() == "ours"
    assert project.git("log", "-1", "--format=%B").strip() == "Text"
    project.git("fsck", "--strict")
    project.run("delete", "p").assert_ok()


def test_an_unborn_and_a_bare_host(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    oid = work(project, "p", {"a.txt": "a"})
    project.git("checkout", "-q", "--orphan", "empty")
    project.git("rm", "-rfq", ".")
    result = project.run("merge", "p", "--json").assert_ok().data
    assert (result["before"], result["after"], result["into"]) == (None, oid, "empty")
    assert (project.root / "a.txt").read_text() == "a"
    bare = project.home.path / "bare.git"
    project.git("clone", "-q", "--bare", str(project.root), str(bare))
    project.run("merge", "p", cwd=bare).assert_error(2, "bare")
    project.run("delete", "--force", "p").assert_ok()


@pytest.mark.here("a hook runs the docker command")
def test_a_pod_that_is_stopped_and_one_that_works_on(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    oid = work(project, "p", {"a.txt": "a"})
    project.run("stop", "p").assert_ok()
    done = project.run("merge", "p", "--ff-only").assert_ok()
    assert (project.repo.oid("HEAD"), status_of(project, "p")) == (oid, "stopped")
    assert "could not be asked" not in done.stderr
    # What the pod commits while git merges is not in it, and is told.
    work(project, "p", {"b.txt": "b"})
    hook = project.root / ".git/hooks/commit-msg"
    hook.parent.mkdir(exist_ok=True)
    container = project.container_id("p")
    commit = "cd /workspaces/repo && git commit -q --allow-empty -m late"
    hook.write_text(f"#!/bin/sh\ndocker exec {container} sh -c '{commit}'\n")
    hook.chmod(0o755)
    late = project.run("merge", "p", "--no-ff").assert_ok()
    assert "committed more meanwhile" in late.stderr
    assert project.run("list", "--json").data[0]["git"]["ahead"] == 1
    project.run("delete", "p").assert_error(4, "1 unmerged commit")
    project.run("delete", "--force", "p").assert_ok()
