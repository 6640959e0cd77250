"""Work in submodules is work: it goes into the trash, and comes back byte for byte."""

from __future__ import annotations

import re

import pytest

from tests.e2e.test_submodules import COMMIT, add, attach, inside, wait
from tests.support.project import Project, ProjectFactory
from tests.support.repo import Repo

PICTURE = r"""
export LC_ALL=C; git config --global safe.directory '*'
for m in . outer outer/deep/inner plain; do
    echo "== $m"; cd /workspaces/repo/$m
    git status --porcelain=v2 --branch --untracked-files=all | grep -v '^# branch.ab'
    git ls-files -s; git symbolic-ref -q HEAD || git rev-parse HEAD
    git stash list; git rev-parse -q refs/stash || :
    git for-each-ref | grep -v 'refs/remotes/\|refs/stash' || :
    cat "$(git rev-parse --git-path MERGE_HEAD)" 2>/dev/null || :
    find . -name .git -prune -o -type f -print | grep -v '^./outer\|^./plain\|ignored' |
        sort | while IFS= read -r f; do echo "$(stat -c %a "$f") $f $(sha1sum <"$f")"; done
done
"""
WORK = """
printf 'ignored\\n' >.gitignore; git add .gitignore; git commit -qm ignore
echo stash >>in.txt; git stash -q
git switch -qc side; echo s >side.txt; git add -A; git commit -qm 'on side'; git switch -q p
echo staged >staged.txt; git add staged.txt; echo more >>staged.txt; echo dirty >>in.txt
printf '\\000\\377' >'un tracked'; chmod 600 'un tracked'; echo i >ignored
git tag -a -m t v1
"""


def picture(project: Project, pod: str = "p") -> list[str]:
    done = project.exec(pod, "sh", "-c", PICTURE)
    assert done.code == 0, done.stderr
    return done.stdout.splitlines()


@pytest.fixture
def nested(rumpel_project: ProjectFactory) -> tuple[Project, Repo, Repo, Repo]:
    return nested_project(rumpel_project)


def nested_project(make: ProjectFactory) -> tuple[Project, Repo, Repo, Repo]:
    """`outer` with `outer/deep/inner` in it, and `plain`."""
    project = make()
    outer = add(project, "outer", files={"in.txt": "outer\n"})
    source = Repo.create(project.home.path / "sources/inner", project.home.env)
    source.commit("first of inner", {"in.txt": "inner\n"})
    inner = attach(outer, source, "deep/inner")
    project.commit("outer has inner")
    plain = add(project, "plain", files={"in.txt": "plain\n"})
    return project, outer, inner, plain


def test_a_deleted_pod_comes_back_with_its_submodules(
    nested: tuple[Project, Repo, Repo, Repo],
) -> None:
    project, outer, inner, plain = nested
    inside(project, "p", WORK, "outer/deep/inner")
    inside(project, "p", "git add -A deep; git commit -qm bump; git checkout -q --detach", "outer")
    inside(project, "p", "echo loose >>in.txt; git commit -qam loose", "outer")
    inside(project, "p", "git switch -q -c other; git rm -q in.txt", "plain")
    before = picture(project)
    refused = project.run("delete", "p").assert_error(4, "undelete")
    assert "deep/inner: " in refused.stderr
    assert picture(project) == before, "a refused delete changes nothing"
    done = project.run("delete", "--force", "p").assert_ok()
    assert "went with it" not in done.stderr
    for module in (outer, inner, plain, project.repo):
        assert module.published() == {}
        module.git("reflog", "expire", "--expire=now", "--all")
        module.git("gc", "-q", "--prune=now")
    back = project.run("undelete", "p").assert_ok()
    assert "not put back" not in back.stderr
    assert picture(project) == before
    side = inside(project, "p", "git rev-parse side", "outer/deep/inner")
    wait(project, inner, "side@p", side)
    project.run("delete", "--force", "p", env={"RUMPEL_KEEP_DELETED": "1s"}).assert_ok()
    project.wait_until(
        lambda: project.run("undelete", "--json").assert_ok().data == [], "it expires"
    )
    for module in (outer, inner, plain, project.repo):
        assert module.refs("refs/rumpel/keep") == {}


@pytest.mark.one_in(2)
def test_snapshot_and_restore_of_submodules(nested: tuple[Project, Repo, Repo, Repo]) -> None:
    project = nested[0]
    project.run("create", "p").assert_ok()
    assert project.run("snapshot", "p").assert_ok().stdout == ""
    inside(project, "p", WORK, "outer/deep/inner")
    before = picture(project)
    oid = project.run("snapshot", "p").assert_ok().stdout.strip()
    assert project.run("snapshot", "p").assert_ok().stdout.strip() == oid, "nothing changed"
    assert picture(project) == before
    project.run("fork", "p", "f").assert_ok()
    assert [re.sub(r"\bf$|heads/f\b", "?", line) for line in picture(project, "f")] == [
        re.sub(r"\bp$|heads/p\b", "?", line) for line in before
    ], "a fork has it, too"
    inside(project, "p", "git reset -q --hard; git clean -fdq; echo new >new", "outer/deep/inner")
    project.run("restore", "p", oid).assert_ok()
    assert picture(project) == before
    listed = project.run("snapshot", "--list", "p", "--json").assert_ok().data
    assert [row["kind"] for row in listed] == ["restore", "manual"]
    project.run("restore", "p", listed[0]["id"]).assert_ok()
    assert inside(project, "p", "cat new", "outer/deep/inner") == "new"
    project.run("create", "q").assert_ok()
    hide = "git update-index --assume-unchanged in.txt; echo hidden >in.txt; git status -s"
    assert inside(project, "q", hide, "plain") == ""
    project.run("stop", "p", "q").assert_ok()
    (held,) = project.run("snapshot", "--list", "q", "--json").assert_ok().data
    assert held["kind"] == "stop", "a file that git is told to look away from"
    project.docker.api.remove_container(project.container_id("p"), v=True, force=True)
    project.run("create", "p").assert_ok()
    project.run("restore", "p").assert_ok()
    assert inside(project, "p", "cat new", "outer/deep/inner") == "new", "stop held it"
    project.run("delete", "--force", "p", "q", "f").assert_ok()


@pytest.mark.parametrize("late", ["echo x >late", "git commit -q --allow-empty -m late"])
def test_what_comes_after_the_first_look(
    nested: tuple[Project, Repo, Repo, Repo], late: str
) -> None:
    """The submodule's own git program makes it while `guard` asks for changes."""
    project = nested[0]
    script = (
        "#!/bin/sh\n[ -e /tmp/armed ] || exit 1\nrm /tmp/armed\n"
        f"(sleep 0.02; cd /workspaces/repo/plain; git config --unset core.fsmonitor; {late}) &\n"
        "exit 1\n"
    )
    inside(project, "p", f"printf '%s' '{script}' >/tmp/late; chmod +x /tmp/late", "plain")
    arm = "git config core.fsmonitor /tmp/late; git status --porcelain; touch /tmp/armed"
    inside(project, "p", arm, "plain")
    project.run("delete", "p").assert_error(4, "undelete")
    shown = inside(project, "p", "ls; git log -1 --format=%s", "plain")
    assert "late" in shown
    project.run("delete", "--force", "p").assert_ok()


@pytest.mark.one_in(2)
def test_one_the_host_does_not_have_comes_back(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    made = (
        "git init -q /tmp/new; cd /tmp/new; git config user.name x; git config user.email x;"
        "echo one >f; git add f; git commit -qm first; cd - >/dev/null;"
        "git -c protocol.file.allow=always submodule --quiet add /tmp/new libs/new;"
        "git commit -qm 'add new'"
    )
    inside(project, "p", made)
    who = "git config user.name x; git config user.email x@example.com"
    oid = inside(project, "p", f"{who}; {COMMIT}; echo dirty >>f; git stash -q", "libs/new")
    bare = "git -C libs/new rev-parse HEAD refs/stash"
    before = inside(project, "p", bare)
    assert before.split()[0] == oid
    project.run("delete", "--force", "p").assert_ok()
    project.run("undelete", "p").assert_ok()
    assert inside(project, "p", bare) == before
    assert inside(project, "p", "git status --porcelain", "libs/new") == ""
    project.run("delete", "--force", "p").assert_ok()


@pytest.mark.one_in(2)
def test_a_pin_that_no_branch_of_the_host_has(rumpel_project: ProjectFactory) -> None:
    """The host's own, so no work of the pod: who touched nothing deletes without `--force`."""
    project = rumpel_project()
    outer = add(project, "outer")
    source = Repo.create(project.home.path / "sources/inner", project.home.env)
    source.commit("first of inner", {"in.txt": "inner\n"})
    inner = attach(outer, source, "inner")
    for module in (inner, outer):
        module.git("switch", "-q", "--detach")
        module.commit("on no branch", {"more.txt": "more\n"})
    project.commit("pinned")
    pin = inner.oid("HEAD")
    assert inner.git("branch", "--all", "--contains", pin).count("main") == 0
    project.run("create", "p", "q").assert_ok()
    assert inside(project, "p", "git rev-parse HEAD", "outer/inner") == pin
    project.run("delete", "p").assert_ok()
    project.run("stop", "q").assert_ok()
    assert project.run("snapshot", "--list", "q", "--json").assert_ok().data == []
    inner.git("switch", "-q", "main")
    project.run("delete", "q").assert_ok()
