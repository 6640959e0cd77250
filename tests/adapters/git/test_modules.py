"""Which submodules a pod gets: what a commit says is hostile, what the host has decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpel.adapters import git, git_modules
from rumpel.adapters.git_modules import Found
from tests.support.home import Home
from tests.support.repo import Repo


@pytest.fixture
def lib(tmp_path: Path, home: Home) -> Repo:
    made = Repo.create(tmp_path / "lib", home.env)
    made.commit("lib", {"lib.txt": "lib\n"})
    return made


@pytest.fixture
def host(tmp_path: Path, home: Home) -> Repo:
    made = Repo.create(tmp_path / "host", home.env)
    made.commit("first", {"a.txt": "a\n"})
    return made


def add(host: Repo, lib: Repo, path: str, *options: str) -> Path:
    host.git("submodule", "--quiet", "add", *options, "--", str(lib.root), path)
    host.commit(f"add {path}")
    return host.root / path


def find(host: Repo, rev: str = "HEAD") -> Found:
    oid = host.oid(rev)
    return git_modules.find(git.discover(str(host.root)), oid)


def record(host: Repo, text: str, **links: str) -> str:
    """A commit with this .gitmodules and gitlinks (path -> oid), made past git's own checks."""
    blob = host.git("hash-object", "-w", "--stdin", input=text.encode())
    entries = [
        ("100644", blob, ".gitmodules"),
        *(("160000", oid, path) for path, oid in links.items()),
    ]
    host.git("read-tree", "--empty")
    listed = "".join(f"{mode} {oid}\t{path}\n" for mode, oid, path in entries)
    host.git("update-index", "--add", "--index-info", input=listed.encode())
    tree = host.git("write-tree")
    oid = host.git("commit-tree", "-m", "hostile", tree)
    host.git("read-tree", "HEAD")
    return oid


def section(name: str, path: str, url: str = "https://example.com/x") -> str:
    return f'[submodule "{name}"]\n\tpath = "{path}"\n\turl = "{url}"\n'


def initialise(host: Repo, *names: str) -> None:
    """As if the user had said `git submodule init`; git refuses the worst of these names."""
    for name in names:
        host.git("config", f"submodule.{name}.url", "https://example.com/x")


def test_none_without_a_gitmodules_file(host: Repo) -> None:
    assert find(host) == Found()
    assert git_modules.find(git.discover(str(host.root)), None) == Found()


def test_name_path_commit_and_repository(host: Repo, lib: Repo) -> None:
    tree = add(host, lib, "some libs/one", "--name", "other/name")
    (module,) = find(host).modules
    assert (module.name, module.path, module.key) == (
        "other/name",
        "some libs/one",
        "modules/other/name",
    )
    assert module.oid == lib.oid("HEAD")
    assert module.repo.common_dir == str(host.root / ".git/modules/other/name")
    assert module.repo.work_tree == str(tree)
    assert git_modules.Module.from_json(module.to_json()) == module


def test_nested_ones_come_after_their_parents(host: Repo, lib: Repo, tmp_path: Path) -> None:
    middle = Repo.create(tmp_path / "middle", host.env)
    middle.commit("middle", {"m.txt": "m\n"})
    add(middle, lib, "deep/lib")
    add(host, middle, "middle")
    assert [module.path for module in find(host).modules] == ["middle"]
    host.git("submodule", "--quiet", "update", "--init", "--recursive")
    outer, inner = find(host).modules
    assert (inner.parent, inner.path) == (outer.key, "middle/deep/lib")
    assert inner.key == "modules/middle/modules/deep/lib"
    assert inner.repo.common_dir == str(host.root / ".git" / inner.key)


def test_only_what_is_initialised(host: Repo, lib: Repo, tmp_path: Path) -> None:
    add(host, lib, "one")
    add(host, lib, "two")
    host.git("submodule", "--quiet", "deinit", "one")
    host.git("config", "submodule.two.active", "false")
    assert find(host) == Found()


def test_a_commit_the_host_lacks(host: Repo, lib: Repo) -> None:
    add(host, lib, "one")
    newer = lib.commit("newer")
    oid = record(host, section("one", "one"), one=newer)
    found = find(host, oid)
    assert found.modules == []
    assert "lacks the commit" in found.notes[0]


def test_old_style_needs_a_gitlink_in_the_index(host: Repo, lib: Repo) -> None:
    clone = host.root / "private"
    host.git("clone", "-q", str(lib.root), str(clone))
    initialise(host, "x")
    hostile = record(host, section("x", "private"), private=lib.oid("HEAD"))
    assert find(host, hostile).modules == [], "any clone in the work tree could be named"
    host.git("add", "private")
    assert [module.path for module in find(host, hostile).modules] == ["private"]


def test_not_checked_out_but_there(host: Repo, lib: Repo) -> None:
    add(host, lib, "one")
    with_one = host.oid("HEAD")
    host.git("checkout", "-q", "--recurse-submodules", "HEAD~1")
    assert not (host.root / "one").exists()
    (module,) = find(host, with_one).modules
    repo = git.reopen(module.repo.work_tree, module.repo.common_dir)
    assert repo.common_dir == module.repo.common_dir
    assert git.head(repo).oid == lib.oid("HEAD")
    assert git.missing(repo, [lib.oid("HEAD")]) == set()
    assert git.carried(repo).remotes == {"origin": str(lib.root)}
    assert git.unmerged(repo, [lib.oid("HEAD")]) == []


def test_a_linked_worktree_has_its_own(host: Repo, lib: Repo, tmp_path: Path) -> None:
    add(host, lib, "one")
    host.git("worktree", "add", "-q", str(tmp_path / "side"))
    side = Repo(tmp_path / "side", host.env)
    (module,) = find(side).modules
    assert module.repo.common_dir == str(host.root / ".git/modules/one"), "the main one's, for now"
    side.git("submodule", "--quiet", "update", "--init")
    (module,) = find(side).modules
    assert module.repo.common_dir == str(host.root / ".git/worktrees/side/modules/one")


BAD_NAMES = (
    "..",
    "../../hooks",
    "a/../../b",
    ".",
    "x/.git/y",
    "-u",
    "a//b",
    "/etc",
    "a\\\\..\\\\b",
    "A/.GIT",
)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(host: Repo, lib: Repo, name: str) -> None:
    add(host, lib, "ok")
    initialise(host, name.replace("\\\\", "\\"))
    oid = record(
        host, section("ok", "ok") + section(name, "lib"), lib=lib.oid("HEAD"), ok=lib.oid("HEAD")
    )
    found = find(host, oid)
    assert [module.name for module in found.modules] == ["ok"], "the others are not held up"
    assert "is not allowed" in found.notes[0]


@pytest.mark.parametrize(
    "path", ["../x", "/etc", ".git/x", "a/.GIT/x", "-x", "a/../b", "", "git~1/x", "a\\nb"]
)
def test_bad_paths(host: Repo, lib: Repo, path: str) -> None:
    initialise(host, "x")
    found = find(host, record(host, section("x", path), ok=lib.oid("HEAD")))
    assert found.modules == []
    assert "its path is not allowed" in found.notes[0]


def test_two_with_one_path_or_names_inside_each_other(host: Repo, lib: Repo) -> None:
    initialise(host, "one", "two", "x", "X/hooks")
    text = "".join(
        section(name, path)
        for name, path in (("one", "a"), ("two", "a"), ("x", "b"), ("X/hooks", "c"))
    )
    found = find(host, record(host, text, a=lib.oid("HEAD"), b=lib.oid("HEAD"), c=lib.oid("HEAD")))
    assert found.modules == []
    assert sum("two submodules have this path" in note for note in found.notes) == 2
    assert sum("the beginning of its name" in note for note in found.notes) == 1


def test_names_that_differ_by_case_are_two(host: Repo, lib: Repo) -> None:
    add(host, lib, "Lib")
    add(host, lib, "lib")
    one, two = find(host).modules
    assert one.repo.repo_id != two.repo.repo_id


def test_not_through_a_symbolic_link(host: Repo, lib: Repo, tmp_path: Path) -> None:
    """The host has a link where the commit has a folder: it leads to another repository."""
    secret = Repo.create(tmp_path / "secret/lib", host.env)
    secret.commit("secret")
    (host.root / "way").symlink_to(tmp_path / "secret")
    initialise(host, "x")
    found = find(host, record(host, section("x", "way/lib"), **{"way/lib": secret.oid("HEAD")}))
    assert found.modules == []
    modules = host.root / ".git/modules"
    modules.mkdir()
    (modules / "x").symlink_to(tmp_path / "secret/lib/.git")
    assert find(host, record(host, section("x", "lib"), lib=secret.oid("HEAD"))).modules == []


def test_a_git_file_that_leads_outside(host: Repo, lib: Repo, tmp_path: Path) -> None:
    tree = add(host, lib, "one")
    (tree / ".git").write_text(f"gitdir: {lib.root}/.git\n")
    found = find(host)
    assert found.modules == []
    assert "outside" in found.notes[0]


def test_two_that_share_a_repository(host: Repo, lib: Repo) -> None:
    tree = add(host, lib, "one")
    add(host, lib, "two")
    (tree / ".git").write_text("gitdir: ../.git/modules/two\n")
    found = find(host)
    assert [module.path for module in found.modules] == ["one"]
    assert "another one has the same repository" in found.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "[submodule",
        "\0\0",
        '[submodule "x"]\n\tpath\n',
        "[include]\n\tpath = ../a.txt\n",
        "x" * 2_000_000,
    ],
)
def test_broken_files(host: Repo, lib: Repo, text: str) -> None:
    initialise(host, "x")
    found = find(host, record(host, text, lib=lib.oid("HEAD")))
    assert found.modules == []


def test_urls_are_only_told(host: Repo, lib: Repo) -> None:
    tree = add(host, lib, "one")
    canary = host.root / "canary"
    host.git("config", "submodule.one.url", f"ext::sh -c 'touch {canary}'")
    (module,) = find(host).modules
    assert module.url.startswith("ext::")
    host.git("config", "submodule.one.url", "https://me:secret@example.com/one?token=1")
    assert find(host).modules[0].url == "https://example.com/one"
    assert not canary.exists()
    assert tree.exists()


def test_a_gitmodules_that_is_a_link(host: Repo, lib: Repo) -> None:
    add(host, lib, "one")
    listed = host.git("ls-tree", "HEAD").replace("100644 blob", "120000 blob")
    tree = host.git("mktree", input=listed.encode() + b"\n")
    assert find(host, host.git("commit-tree", "-m", "link", tree)) == Found()
