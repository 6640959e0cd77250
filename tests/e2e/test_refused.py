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
    assert "an object of 7000000 bytes (limit 6291456)" in listed(project, "p")[0]["reason"]
    assert project.repo.published()["p"] != big
    project.write({".rumpelpod.json": {"maxFileSize": "8m"}})
    project.run("delete", "p").assert_error(4, "unmerged commit")
    assert project.repo.published()["p"] == big
    project.run("delete", "--force", "p").assert_ok()
