"""Hosts that are submodules or linked worktrees themselves, and hostile submodules."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.test_submodules import COMMIT, add, attach, inside, wait
from tests.support.project import DEFAULT_CONFIG, Project, ProjectFactory
from tests.support.repo import Repo

OURS = ("refs/remotes/rumpelpod", "refs/rumpel")


def everything_else(folder: Path) -> dict[str, bytes]:
    """All files below a folder but objects and our two namespaces, wherever they lie."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        is_ours = "/objects/" in name or any(part in name for part in OURS)
        if path.is_file() and not is_ours:
            found[name] = path.read_bytes()
    return found


def at(project: Project, repo: Repo) -> Project:
    """The same home and daemon, seen from another folder."""
    return Project(project.home, project.docker, repo)


def test_rumpel_inside_a_submodule(rumpel_project: ProjectFactory) -> None:
    """Its `.git` is a file; a pod of the superproject with the same name is another one."""
    project = rumpel_project()
    lib = add(project, "lib", files={"lib.txt": "x\n", ".devcontainer.json": dict(DEFAULT_CONFIG)})
    below = at(project, lib)
    below.run("create", "p").assert_ok()
    own = inside(below, "p", COMMIT)
    wait(project, lib, "p", own)
    assert project.repo.published() == {}
    project.run("create", "q", "p").assert_ok()
    guest = inside(project, "q", COMMIT, "lib")
    wait(project, lib, "q", guest)
    clash = inside(project, "p", COMMIT, "lib")
    project.wait_until(lambda: clash in lib.published().values(), "the guest of the same name")
    assert lib.published()["p"] == own, "a repository's own pods have the right of way"
    host = lib.commit("on the host", {"h.txt": "h\n"})
    for seen, folder in ((below, "."), (project, "lib")):
        project.wait_until(
            lambda seen=seen, folder=folder: (  # type: ignore[misc]
                inside(seen, "p", "git rev-parse host/main", folder) == host
            ),
            f"the host's commit in {seen.root}",
        )
    names = {row["name"] for row in below.run("list", "--json").data}
    assert names == {"p"}
    below.run("delete", "--force", "p").assert_ok()
    assert {"q", "q@q"} <= lib.published().keys()
    later = inside(project, "q", COMMIT, "lib")
    wait(project, lib, "q", later)
    project.run("delete", "--force", "p", "q").assert_ok()
    assert lib.published() == {}


def test_a_linked_worktree_and_its_end(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    add(project, "lib")
    project.git("worktree", "add", "-q", str(project.home.path / "side"))
    side = Repo(project.home.path / "side", project.home.env)
    side.git("submodule", "--quiet", "update", "--init")
    lib = Repo(side.root / "lib", project.home.env)
    at(project, side).run("create", "p").assert_ok()
    oid = inside(project, "p", COMMIT, "lib")
    wait(project, lib, "p", oid)
    assert Repo(project.root / "lib", project.home.env).published() == {}
    project.git("worktree", "remove", "--force", "--force", str(side.root))
    assert not side.root.exists()
    main = inside(project, "p", COMMIT)
    project.wait_for_ref("p", main)
    project.git("merge", "-q", "rumpelpod/p")
    last = inside(project, "p", COMMIT, "lib")
    assert last
    project.run("delete", "p").assert_error(4, "lib", "the host has no such submodule")
    project.run("delete", "--force", "p").assert_ok()
    assert project.repo.published() == {}


def test_a_worktree_of_a_submodule(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    lib = add(project, "lib", files={"lib.txt": "x\n", ".devcontainer.json": dict(DEFAULT_CONFIG)})
    lib.git("worktree", "add", "-q", str(project.home.path / "libside"))
    side = at(project, Repo(project.home.path / "libside", project.home.env))
    side.run("create", "p").assert_ok()
    oid = inside(side, "p", COMMIT)
    wait(project, lib, "p", oid)
    lib.git("worktree", "remove", "--force", str(side.root))
    below = at(project, lib)
    later = inside(below, "p", COMMIT)
    wait(project, lib, "p", later)
    below.run("delete", "--force", "p").assert_ok()
    assert lib.published() == {}


def test_nothing_else_is_written(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    outer = add(project, "outer")
    source = Repo.create(project.home.path / "sources/inner", project.home.env)
    source.commit("inner", {"in.txt": "i\n"})
    inner = attach(outer, source, "inner")
    project.commit("outer has inner")
    for module in (outer, inner, project.repo):
        module.git("status", "--porcelain")  # the index is as fresh as it will ever be
    before = everything_else(project.root)
    project.run("create", "p").assert_ok()
    for module, folder in ((inner, "outer/inner"), (outer, "outer")):
        wait(project, module, "p", inside(project, "p", COMMIT, folder))
    inside(project, "p", "git branch other && git tag v1", "outer")
    project.wait_until(lambda: "other@p" in outer.published(), "another branch")
    assert everything_else(project.root) == before
    project.run("delete", "--force", "p").assert_ok()
    assert everything_else(project.root) == before


def test_hostile_submodules(rumpel_project: ProjectFactory) -> None:
    """What a commit says decides nothing: only initialised ones are touched, the pod is made."""
    project = rumpel_project()
    lib = add(project, "lib")
    victim = Repo.create(project.home.path / "victim", project.home.env)
    victim.commit("secret", {"secret.txt": "s\n"})
    private = Repo.create(project.root / "private", project.home.env)
    private.commit("private", {"p.txt": "p\n"})
    (project.root / ".git/info/exclude").write_text("private\nway\n")
    (project.root / "way").symlink_to(victim.root)
    canary = project.home.path / "canary"
    sections = {
        "lib": "lib",
        "../../../victim/.git": "a",
        "x/../../hooks": "b",
        "-u./payload": "c",
        "priv": "private",
        "link": "way/x",
        "twice": "d",
        "again": "d",
        "inside": ".git/modules/lib",
    }
    text = "".join(
        f'[submodule "{name}"]\n\tpath = {path}\n\turl = ext::sh -c touch% {canary}\n'
        f"\tupdate = !touch {canary}\n\tbranch = -u\n"
        for name, path in sections.items()
    )
    for name in sections:
        if name != "lib":
            project.git("config", f"submodule.{name}.url", f"ext::sh -c touch% {canary}")
    blob = project.repo.git("hash-object", "-w", "--stdin", input=text.encode())
    links = {"a": lib.oid("HEAD"), "d": lib.oid("HEAD"), "private": private.oid("HEAD")}
    listed = project.git("ls-tree", "HEAD").splitlines()
    rows = [line for line in listed if not line.endswith("\t.gitmodules")]
    rows += [f"100644 blob {blob}\t.gitmodules"]
    rows += [f"160000 commit {oid}\t{path}" for path, oid in links.items()]
    tree = project.repo.git("mktree", "--missing", input="\n".join(rows).encode() + b"\n")
    hostile = project.git("commit-tree", "-p", "HEAD", "-m", "hostile", tree)
    project.git("branch", "hostile", hostile)
    before = {repo.root: everything_else(repo.root) for repo in (project.repo, victim, private)}
    project.run("create", "p", "--from", "hostile").assert_ok()
    wait(project, lib, "p", inside(project, "p", COMMIT, "lib"))
    for folder in ("a", "d", "private"):
        assert inside(project, "p", "ls -A", folder) == ""
    notes = str(project.run("list", "--json").data[0]["git"]["notes"])
    assert "is not allowed" in notes
    assert "two submodules have this path" in notes
    project.run("delete", "--force", "p").assert_ok()
    after = {repo.root: everything_else(repo.root) for repo in (project.repo, victim, private)}
    assert after == before
    assert not canary.exists()
    for repo in (victim, private):
        assert not any("rumpel" in name for name in repo.refs())
