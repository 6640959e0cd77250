"""Submodules: own branch, remotes and sync each (notes/original.md, specs 34, 39, 40, trap 20)."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.support.project import Project, ProjectFactory
from tests.support.repo import Content, Repo

COMMIT = "echo $RANDOM >>new.txt && git add -A && git commit -qm work && git rev-parse HEAD"


def add(
    project: Project, path: str, *options: str, files: Mapping[str, Content] | None = None
) -> Repo:
    """A submodule at `path` from a repository of its own; the checkout in the project."""
    source = Repo.create(project.home.path / "sources" / path.replace("/", "_"), project.home.env)
    source.commit(f"first of {path}", files or {"lib.txt": f"{path}\n"})
    return attach(project.repo, source, path, *options)


def attach(parent: Repo, source: Repo, path: str, *options: str) -> Repo:
    parent.git("submodule", "--quiet", "add", *options, "--", str(source.root), path)
    parent.commit(f"add {path}")
    return Repo(parent.root / path, parent.env)


def inside(project: Project, pod: str, script: str, folder: str = ".") -> str:
    """What `script` prints in a folder of the pod's workspace."""
    out = project.run("enter", pod, "--", "sh", "-ec", f'cd "$1" && {script}', "sh", folder)
    return out.assert_ok().stdout.strip()


def wait(project: Project, module: Repo, name: str, oid: str, *, timeout_s: float = 10) -> None:
    project.wait_until(
        lambda: module.published().get(name) == oid,
        f"rumpelpod/{name} of {module.root} at {oid}",
        timeout_s=timeout_s,
    )


def test_a_commit_arrives_in_the_hosts_submodule(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    lib = add(project, "libs/lib")
    lib.git("switch", "-q", "--detach")
    lib.git("remote", "add", "mirror", "https://me:secret@example.com/lib.git")
    start = lib.oid("HEAD")
    project.run("create", "p").assert_ok()
    assert lib.published() == {"p": start, "p@p": start}
    assert inside(project, "p", "cat lib.txt", "libs/lib") == "libs/lib"
    assert inside(project, "p", "git status --porcelain") == ""
    assert inside(project, "p", "git symbolic-ref HEAD", "libs/lib") == "refs/heads/p"
    assert inside(project, "p", "git rev-parse host/main", "libs/lib") == start
    remotes = inside(project, "p", "git remote -v", "libs/lib")
    assert "/rumpel/host.git/modules/" in remotes
    assert "https://example.com/lib.git" in remotes
    assert "secret" not in remotes
    assert inside(project, "p", "git config user.email", "libs/lib") == "test@example.com"
    oid = inside(project, "p", COMMIT, "libs/lib")
    wait(project, lib, "p", oid)
    wait(project, lib, "p@p", oid)
    bump = inside(project, "p", "git commit -qam bump && git rev-parse HEAD")
    project.wait_for_ref("p", bump)
    project.run("delete", "p").assert_error(4, "2 unmerged commits", "libs/lib: work")
    lib.git("merge", "-q", "--ff-only", "rumpelpod/p")
    project.git("merge", "-q", "--ff-only", "rumpelpod/p")
    assert project.git("status", "--porcelain") == ""
    project.run("delete", "p").assert_ok()
    assert lib.published() == {}
    assert oid in lib.refs("refs/rumpel/keep").values()


def test_work_in_a_submodule_is_told(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    lib = add(project, "libs/a lib")
    (project.root / "sub").mkdir()
    project.run("create", "p").assert_ok()
    oid = inside(project, "p", COMMIT, "libs/a lib")
    wait(project, lib, "p", oid)
    take = "git -C 'libs/a lib' merge rumpelpod/p"
    row = project.run("list", "--json").assert_ok().data[0]
    assert row["git"]["submodules"] == [{"path": "libs/a lib", "ahead": 1}]
    assert "+1 in libs/a lib" in project.run("list").assert_ok().stdout
    for verb in ("review", "merge"):
        said = project.run(verb, "p").assert_ok().stderr
        assert "p: 1 commit in submodule libs/a lib" in said
        assert take in said
        below = project.run(verb, "p", cwd=project.root / "sub").assert_ok().stderr
        assert "git -C '../libs/a lib' merge rumpelpod/p" in below
    project.run("delete", "p").assert_error(4, "1 unmerged commit", "libs/a lib: work", take)
    lib.git("merge", "-q", "--ff-only", "rumpelpod/p")
    for verb in ("review", "merge"):
        assert "submodule" not in project.run(verb, "p").assert_ok().stderr
    assert project.run("list", "--json").assert_ok().data[0]["git"]["submodules"] == []
    bump = inside(project, "p", "git commit -qam bump && git rev-parse HEAD")
    project.wait_for_ref("p", bump)
    project.run("merge", "p").assert_ok()
    project.run("delete", "p").assert_ok()


@pytest.mark.one_in(2)
def test_shapes(rumpel_project: ProjectFactory) -> None:
    """Nested, spaces, another name than its path, relative URL, old style, not initialised."""
    project = rumpel_project()
    outer = add(project, "outer")
    inner_source = Repo.create(project.home.path / "sources/inner", project.home.env)
    inner_source.commit("first of inner", {"in.txt": "inner\n"})
    inner = attach(outer, inner_source, "deep/inner")
    project.commit("outer has inner")
    spaced = add(project, "with space/a lib")
    named = add(project, "path", "--name", "other.name")
    relative_source = Repo.create(project.home.path / "relative", project.home.env)
    relative_source.commit("relative", {"r.txt": "r\n"})
    project.git("remote", "add", "origin", str(project.home.path / "elsewhere"))
    project.git("submodule", "--quiet", "add", "../relative", "rel")
    project.commit("add rel")
    old = Repo.create(project.root / "old", project.home.env)
    old.commit("old style", {"o.txt": "o\n"})
    project.git("submodule", "--quiet", "add", "./old", "old")
    project.commit("add old")
    assert (project.root / "old/.git").is_dir()
    absent = add(project, "absent")
    project.git("submodule", "--quiet", "deinit", "absent")

    project.run("create", "p").assert_ok()
    modules = {
        "outer": outer,
        "outer/deep/inner": inner,
        "with space/a lib": spaced,
        "path": named,
        "rel": Repo(project.root / "rel", project.home.env),
        "old": old,
    }
    assert inside(project, "p", "git status --porcelain") == ""
    assert inside(project, "p", "ls -A absent") == ""
    told = inside(project, "p", "git submodule status --recursive").splitlines()
    assert sum(line.startswith("-") for line in told) == 1
    for folder, module in modules.items():
        start = module.oid("HEAD")
        assert module.published() == {"p": start, "p@p": start}, folder
        assert inside(project, "p", "git symbolic-ref HEAD", folder) == "refs/heads/p"
        assert inside(project, "p", "git log -1 --format=%H", folder) == start
    for folder, module in modules.items():
        oid = inside(project, "p", COMMIT, folder)
        wait(project, module, "p", oid)
    assert project.repo.published().keys() == {"p", "p@p"}
    assert "rumpelpod" not in absent.git(
        "--git-dir", str(project.root / ".git/modules/absent"), "for-each-ref"
    )
    project.run("delete", "p").assert_error(4, "6 unmerged commits")
    project.run("delete", "--force", "p").assert_ok()
    for module in modules.values():
        assert module.published() == {}
        assert module.refs("refs/rumpel/keep")


def test_host_commits_lie_behind_host(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    lib = add(project, "lib")
    project.run("create", "p").assert_ok()
    oid = lib.commit("on the host", {"more.txt": "m\n"})
    project.wait_until(
        lambda: inside(project, "p", "git rev-parse host/main", "lib") == oid,
        "the host's commit is in the pod's submodule",
    )
    before = project.repo.oid("main")
    assert inside(project, "p", "git rev-parse host/main") == before


@pytest.mark.parametrize("way", ["kill", "stop"])
def test_commits_while_nobody_listened(rumpel_project: ProjectFactory, way: str) -> None:
    project = rumpel_project()
    lib = add(project, "lib")
    project.run("create", "p").assert_ok()
    if way == "kill":
        project.home.kill_daemon()
    else:
        project.run("daemon", "stop").assert_ok()
    made = project.exec("p", "sh", "-c", f"cd /workspaces/repo/lib && {COMMIT}")
    project.run("list").assert_ok()
    wait(project, lib, "p", made.stdout.strip(), timeout_s=30)
    later = inside(project, "p", COMMIT, "lib")
    wait(project, lib, "p", later)
    if way == "kill":
        hidden = inside(project, "p", f"git config core.hooksPath /nowhere && {COMMIT}", "lib")
        project.run("stop", "p").assert_ok()
        assert lib.published()["p"] == hidden


def test_delete_counts_what_submodules_have(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    add(project, "lib")
    project.run("create", "p").assert_ok()
    inside(project, "p", "echo x >>lib.txt && echo y >new.txt", "lib")
    project.run("delete", "p").assert_error(4, "2 uncommitted files")
    inside(project, "p", "git stash -q -u", "lib")
    project.run("delete", "p").assert_error(4, "1 stash")
    inside(project, "p", f"git stash drop -q && git checkout -q --detach && {COMMIT}", "lib")
    project.run("delete", "p").assert_error(4, "1 uncommitted file", "1 commit on no branch")
    inside(project, "p", "git checkout -q p", "lib")
    project.run("delete", "p").assert_ok()


def test_one_the_host_does_not_have(rumpel_project: ProjectFactory) -> None:
    """Works in the pod; its commits have nowhere to go, and delete says so."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    inside(
        project,
        "p",
        "git init -q /tmp/new && "
        "git -C /tmp/new -c user.name=x -c user.email=x commit -q --allow-empty -m first && "
        "git -c protocol.file.allow=always submodule --quiet add /tmp/new libs/new && "
        "git commit -qm 'add new'",
    )
    oid = inside(project, "p", "git rev-parse HEAD")
    project.wait_for_ref("p", oid)
    project.git("merge", "-q", "--ff-only", "rumpelpod/p")
    project.run("delete", "p").assert_ok()

    project.run("create", "q", "--from", "main").assert_ok()
    inside(
        project,
        "q",
        "git init -q /tmp/new && "
        "git -C /tmp/new -c user.name=x -c user.email=x commit -q --allow-empty -m first && "
        "git -c protocol.file.allow=always submodule --quiet add /tmp/new libs/other && "
        "git commit -qm 'add other'",
    )
    who = "git config user.name x && git config user.email x@example.com"
    inside(project, "q", f"{who} && {COMMIT}", "libs/other")
    project.wait_until(
        lambda: "libs/other" in str(project.run("list", "--json").data[0]["git"]["refused"]),
        "a note about the submodule",
    )
    project.git("fetch", "-q", ".", "rumpelpod/q:refs/heads/taken")
    project.run("delete", "q").assert_error(4, "libs/other", "the host has no such submodule")
    project.run("delete", "--force", "q").assert_ok()


def test_an_uninitialised_one_leaves_the_parent_alone(rumpel_project: ProjectFactory) -> None:
    """Trap 20: git in its empty folder runs in the parent."""
    project = rumpel_project()
    project.git("remote", "add", "origin", "https://example.com/parent.git")
    add(project, "lib")
    add(project, "gone")
    project.git("submodule", "--quiet", "deinit", "lib")
    git_dir = project.root / ".git"
    project.run("create", "p").assert_ok()
    project.git("submodule", "--quiet", "deinit", "-f", "gone")
    after = (git_dir / "config").read_bytes()
    project.home.kill_daemon()
    oid = inside(project, "p", COMMIT, "gone")
    project.run("list").assert_ok()
    published = Repo(git_dir / "modules/gone", project.home.env)
    project.wait_until(
        lambda: oid in published.git("--git-dir=.", "--work-tree=.", "for-each-ref"),
        "a submodule that is not checked out any more is still in sync",
    )
    assert (git_dir / "config").read_bytes() == after
    assert b"example.com/parent.git" in after
    assert b"rumpel" not in after
    remotes = inside(project, "p", "git remote -v")
    assert inside(project, "p", "git remote -v", "lib") == remotes
    assert "modules" not in remotes
    inside(project, "p", "git submodule --quiet deinit -f gone")
    project.commit("on the host")
    main = project.repo.oid("main")
    project.wait_until(
        lambda: inside(project, "p", "git rev-parse host/main") == main, "host/main of the parent"
    )
    untouched = Repo(git_dir / "modules/lib", project.home.env)
    assert "rumpelpod" not in untouched.git("--git-dir=.", "--work-tree=.", "for-each-ref")
