"""What the host does not take from a pod: told in `list`, in the pod and on `enter`."""

from __future__ import annotations

from tests.support.project import Project, ProjectFactory

COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"
BOMB = r"""
oid=$(echo x | git hash-object -w --stdin)
mode=100644 kind=blob
for level in 1 2 3 4 5 6 7; do
    oid=$(for name in 0 1 2 3 4 5 6 7 8 9; do
        printf '%s %s %s\t%s\n' $mode $kind $oid $name
    done | git mktree)
    mode=040000 kind=tree
done
git update-ref refs/heads/bomb $(git commit-tree $oid -p HEAD -m bomb)
"""
WHY = "a tree with more than 2000000 paths"


def inside(project: Project, pod: str, script: str) -> str:
    """Past rumpel, so that nothing but the pod's own hook tells the host."""
    return project.exec(pod, "sh", "-ec", f"cd /workspaces/repo\n{script}").stdout.strip()


def listed(project: Project, pod: str) -> list[dict[str, str]]:
    rows = project.run("list", "--json").assert_ok().data
    found: list[dict[str, str]] = next(row for row in rows if row["name"] == pod)["git"]["refused"]
    return found


def test_a_bomb_is_refused_alone_and_everybody_is_told(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p", "q").assert_ok()
    inside(project, "p", BOMB)
    project.wait_until(lambda: bool(listed(project, "p")), "the refusal is in list")
    assert [item["branch"] for item in listed(project, "p")] == ["bomb"]
    assert listed(project, "q") == []
    shown = project.run("list").assert_ok().stdout
    row = next(line for line in shown.splitlines() if line.startswith("p "))
    assert "+refused" in row
    assert f"p: branch bomb refused: the pod has {WHY}" in shown
    assert WHY in project.run("enter", "p", "--", "true").assert_ok().stderr
    assert WHY in project.home.log_tail()
    # Others arrive, of this pod too, and its hook says what does not.
    done = project.exec("p", "sh", "-c", f"cd /workspaces/repo && {COMMIT}")
    assert "rumpel: branch bomb does not reach the host" in done.stderr
    project.wait_for_ref("p", done.stdout.strip())
    project.wait_for_ref("q", inside(project, "q", COMMIT))
    assert not [name for name in project.repo.published() if name.startswith("bomb")]
    project.run("delete", "p").assert_error(4, "bomb", WHY)
    # It heals by itself when the branch goes.
    inside(project, "p", "git branch -q -D bomb")
    project.wait_until(lambda: not listed(project, "p"), "nothing is refused any more")
    assert "+refused" not in project.run("list").assert_ok().stdout
    done = project.exec("p", "sh", "-c", f"cd /workspaces/repo && {COMMIT}")
    assert "rumpel:" not in done.stderr
    project.wait_for_ref("p", done.stdout.strip())
    project.run("delete", "--force", "p", "q").assert_ok()


def test_limits_are_settings(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".rumpelpod.json": {"maxFileSize": "6m"}})
    project.run("create", "p").assert_ok()
    big = inside(project, "p", f"head -c 7000000 /dev/zero >zeros && git add -A && {COMMIT}")
    project.wait_until(lambda: bool(listed(project, "p")), "the refusal is in list")
    why = listed(project, "p")[0]["reason"]
    assert "an object of 7000000 bytes (maxFileSize is 6291456)" in why
    assert project.repo.published()["p"] != big
    project.write({".rumpelpod.json": {"maxFileSize": "8m"}})
    project.run("delete", "p").assert_error(4, "unmerged commit")
    assert project.repo.published()["p"] == big
    project.run("delete", "--force", "p").assert_ok()


def test_one_large_file_takes_nothing_with_it(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".rumpelpod.json": {"maxFileSize": "6m"}})
    project.run("create", "p").assert_ok()
    known = inside(project, "p", f"echo 1 >first && git add -A && {COMMIT}")
    project.wait_for_ref("p", known)
    inside(project, "p", f"head -c 8388608 /dev/zero >'big one' && git add -A && {COMMIT}")
    inside(project, "p", f"echo 2 >second && git add -A && {COMMIT} && echo 3 >third")
    project.wait_until(lambda: bool(listed(project, "p")), "the refusal is in list")
    why = "an object of 8388608 bytes (maxFileSize is 6291456): big one"
    assert why in listed(project, "p")[0]["reason"]
    row = project.run("list").assert_ok().stdout
    assert "ahead 1?" in row
    assert "up to date" not in row
    project.run("merge", "p").assert_error(4, why, "git rebase -i", "rumpel config")
    done = project.run("snapshot", "p").assert_ok()
    assert "maxFileSize is 6291456" in done.stderr
    assert "big one" in done.stderr
    project.run("stop", "p").assert_ok()
    assert "without a last look" not in project.home.log
    project.run("delete", "p").assert_error(4, why)
    gone = project.run("delete", "--force", "p").assert_ok()
    for text in ("maxFileSize is 6291456", "work (its files are kept)", "file big one"):
        assert text in gone.stderr
    back = project.run("undelete", "p").assert_ok()
    assert "file big one" in back.stderr
    here = inside(
        project, "p", "git rev-parse HEAD && cat first second third && ls && git status -s"
    )
    assert here.split("\n")[:4] == [known, "1", "2", "3"]
    assert "?? second" in here
    assert "big one" not in here
    project.run("delete", "--force", "p").assert_ok()
