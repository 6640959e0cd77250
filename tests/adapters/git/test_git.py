"""Reading the user's repository."""

from __future__ import annotations

import os
import random
import subprocess
from pathlib import Path

import pygit2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import git, git_files, git_odb
from rumpel.adapters.git import Head
from rumpel.errors import NotFound, RumpelError, UsageError
from tests.adapters.git.conftest import SHA256, Pair
from tests.support.home import Home
from tests.support.repo import Repo

FORMATS = pytest.mark.parametrize("pair", [(), ("--object-format=sha256",)], indirect=True)


def test_discover_from_a_folder_below(pair: Pair) -> None:
    found = git.discover(str(pair.host.root / "src"))
    assert found.work_tree == str(pair.host.root)
    assert found.common_dir == found.git_dir == str(pair.host.root / ".git")
    assert (found.object_format, found.is_shallow, found.needs_git) == ("sha1", False, False)


@SHA256
def test_discover_sha256(pair: Pair) -> None:
    found = git.discover(str(pair.host.root / "src"))
    assert found.work_tree == str(pair.host.root)
    assert found.common_dir == found.git_dir == str(pair.host.root / ".git")
    assert (found.object_format, found.needs_git) == ("sha256", True)


def test_discover_linked_worktree(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    found = git.discover(str(tmp_path / "side"))
    assert found.common_dir == str(pair.host.root / ".git")
    assert found.git_dir == str(pair.host.root / ".git/worktrees/side")
    assert git.head(found) == Head("side", pair.host.oid("main"))


def test_discover_follows_links(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(pair.host.root)
    assert git.discover(str(tmp_path / "link")) == git.discover(str(pair.host.root))


def test_discover_with_a_separate_git_dir(home: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    repo = Repo.create(tmp_path / "files", home.env, f"--separate-git-dir={elsewhere}")
    found = git.discover(str(repo.root))
    assert (found.work_tree, found.git_dir) == (str(repo.root), str(elsewhere))


def test_a_repository_of_another_owner(pair: Pair) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a repository away")
    if trusts_every_folder():
        pytest.skip("safe.directory is * for this user")
    subprocess.run(["chown", "-R", "1000:1000", str(pair.host.root)], check=True)
    with pytest.raises(UsageError, match="dubious ownership") as found:
        git.discover(str(pair.host.root))
    path = pair.host.root
    assert found.value.hint == f"git config --global --add safe.directory {path}"


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git repository"):
        git.discover(str(tmp_path))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="git repository"):
        git.discover(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("options", [(), ("--object-format=sha256",)])
def test_bare_repository(pair: Pair, tmp_path: Path, options: tuple[str, ...]) -> None:
    pair.host.git("init", "-q", "--bare", *options, str(tmp_path / "bare"))
    with pytest.raises(UsageError, match="bare git repository"):
        git.discover(str(tmp_path / "bare"))


@FORMATS
def test_head_on_a_branch_detached_and_unborn(pair: Pair) -> None:
    oid = pair.host.oid("HEAD")
    assert git.head(pair.repo) == Head("main", oid)
    pair.host.git("checkout", "-q", "--detach")
    assert git.head(pair.repo) == Head(None, oid)
    pair.host.git("switch", "-q", "--orphan", "new/branch")
    assert git.head(pair.repo) == Head("new/branch", None)


@FORMATS
def test_refs_loose_and_packed(pair: Pair) -> None:
    for name in ("fix", "fixed", "a/b/c", "a/d"):
        pair.host.git("branch", name)
    pair.host.git("pack-refs", "--all")
    newer = pair.host.commit("two")
    pair.host.git("branch", "-q", "-D", "a/d")
    assert git.refs(pair.repo, "refs/heads/") == pair.host.refs("refs/heads")
    assert git.refs(pair.repo, "refs/heads")["refs/heads/main"] == newer
    assert git.refs(pair.repo, "refs/heads/fix") == {"refs/heads/fix": pair.host.oid("fix")}
    assert set(git.refs(pair.repo, "refs/heads/a")) == {"refs/heads/a/b/c"}
    assert git.refs(pair.repo, "refs/nothing") == {}


def test_refs_follows_symbolic_ones_and_leaves_broken_ones_out(pair: Pair) -> None:
    heads = pair.host.root / ".git/refs/heads"
    pair.host.git("symbolic-ref", "refs/heads/alias", "refs/heads/main")
    (heads / "broken").write_text("x\n")
    (heads / "dangling").write_text("ref: refs/heads/nowhere\n")
    (heads / "circle").write_text("ref: refs/heads/circle\n")
    (heads / "main.lock").write_text("")
    oid = pair.host.oid("main")
    assert git.refs(pair.repo, "refs/heads") == {"refs/heads/alias": oid, "refs/heads/main": oid}


@FORMATS
def test_resolve(pair: Pair) -> None:
    first = pair.host.oid("HEAD")
    pair.host.git("tag", "-a", "-m", "x", "v1")
    second = pair.host.commit("two")
    pair.host.git("branch", "v2", first)
    pair.host.git("tag", "v2", second)
    assert git.resolve(pair.repo, "main") == ("main", second)
    assert git.resolve(pair.repo, "refs/heads/main") == ("main", second)
    assert git.resolve(pair.repo, "HEAD") == ("main", second)
    assert git.resolve(pair.repo, "v1") == (None, first)
    assert git.resolve(pair.repo, "v2") == ("v2", first)
    assert git.resolve(pair.repo, "main~1") == (None, first)
    assert git.resolve(pair.repo, first[:10]) == (None, first)
    for wrong in ("nowhere", "", "--all", "HEAD:README.md", "main..v1", "1" * 40, "@{-9}"):
        with pytest.raises(NotFound):
            git.resolve(pair.repo, wrong)


@FORMATS
def test_compare(pair: Pair) -> None:
    base = pair.host.oid("HEAD")
    pair.host.git("branch", "old")
    left = pair.host.commit("left")
    pair.host.git("switch", "-q", "old")
    pair.host.commit("r1")
    right = pair.host.commit("r2")
    assert git.ahead_behind(pair.repo, right, left) == (2, 1)
    assert git.ahead_behind(pair.repo, base, base) == (0, 0)
    assert git.is_ancestor(pair.repo, base, right)
    assert not git.is_ancestor(pair.repo, left, right)
    assert git.missing(pair.repo, [base, pair.host.oid("HEAD^{tree}")]) == {
        pair.host.oid("HEAD^{tree}")
    }
    assert git.commit_time(pair.repo, base) == float(
        pair.host.git("show", "-s", "--format=%ct", base)
    )
    with pytest.raises(RumpelError):
        git.ahead_behind(pair.repo, base, "1" * len(base))


@FORMATS
def test_beyond_what_is_known(pair: Pair) -> None:
    """As git says of each; where that is asked of git, all may be."""
    rng, oids = random.Random(7), [pair.host.oid("HEAD")]
    for number in range(60):
        parents = rng.sample(oids, k=min(len(oids), rng.choice((1, 1, 1, 2))))
        words = [word for parent in parents for word in ("-p", parent)]
        oids.append(pair.host.git("commit-tree", *words, "-m", str(number), "HEAD^{tree}"))
    for _ in range(12):
        tips, known = set(rng.sample(oids, 6)), set(rng.sample(oids, rng.choice((0, 1, 2))))
        behind = pair.host.git("rev-list", *known).split() if known else []
        expected = tips if pair.repo.needs_git else tips - set(behind)
        assert git_odb.beyond(pair.repo, tips, known) == expected
    missing = "1" * len(oids[0])
    assert git_odb.beyond(pair.repo, {oids[0], missing}, {oids[0]}) == {oids[0], missing}


def test_identity_and_remotes_without_secrets(pair: Pair) -> None:
    found = git.carried(pair.repo)
    assert (found.name, found.email) == ("Test User", "test@example.com")
    before = git.config_state(pair.repo)
    for name, url in {
        "a": "https://user:secret@example.com/x.git?token=secret",
        "b": "ssh://git:secret@example.com:2222/x.git",
        "c": "git@example.com:x.git",
        "d": "https://secret@example.com/x.git",
        "e": "/srv/x.git",
        "f": "https://[broken:secret@example.com/x",
    }.items():
        pair.host.git("config", f"remote.{name}.url", url)
    assert git.config_state(pair.repo) != before
    found = git.carried(pair.repo)
    assert "secret" not in str(found)
    assert found.remotes == {
        "a": "https://example.com/x.git",
        "b": "ssh://git@example.com:2222/x.git",
        "c": "git@example.com:x.git",
        "d": "https://example.com/x.git",
        "e": "/srv/x.git",
        "f": "",
    }


@FORMATS
def test_unmerged(pair: Pair) -> None:
    base = pair.host.oid("HEAD")
    one = pair.host.git("commit-tree", "HEAD^{tree}", "-p", base, "-m", "one é")
    two = pair.host.git("commit-tree", "HEAD^{tree}", "-p", one, "-m", "two\n\nbody")
    pair.host.git("update-ref", "refs/remotes/rumpelpod/alice", two)
    pair.host.git("update-ref", "refs/remotes/rumpelpod/fix/x@alice", two)
    pair.host.git("update-ref", "refs/rumpel/keep/p/heads/alice", two)
    assert git.unmerged(pair.repo, [two]) == [(two, "two"), (one, "one é")]
    assert git.unmerged(pair.repo, [two, base]) == [(two, "two"), (one, "one é")]
    assert git.unmerged(pair.repo, [base]) == []
    assert git.unmerged(pair.repo, []) == []
    pair.host.git("update-ref", "refs/remotes/origin/x", one)
    assert git.unmerged(pair.repo, [two]) == [(two, "two")]
    pair.host.git("tag", "v1", two)
    assert git.unmerged(pair.repo, [two]) == []
    with pytest.raises(RumpelError):
        git.unmerged(pair.repo, ["1" * len(base)])


def trusts_every_folder() -> bool:
    """libgit2 keeps the HOME this process began with: `*` there is out of a test's reach."""
    home = Path(pygit2.settings.search_path[pygit2.enums.ConfigLevel.GLOBAL].split(":")[0])
    config = home / ".gitconfig"
    return config.exists() and "directory = *" in config.read_text()


@pytest.mark.skipif(trusts_every_folder(), reason="safe.directory is * for this user")
def test_foreign_owner_is_refused(pair: Pair) -> None:
    subprocess.run(["chown", "-R", "12345", str(pair.host.root)], check=True)
    with pytest.raises(UsageError, match=r"git repository .* cannot be used: .*dubious ownership"):
        git.discover(str(pair.host.root))
    pair.host.git("config", "--global", "safe.directory", str(pair.host.root))
    assert git.discover(str(pair.host.root)).work_tree == str(pair.host.root)


@given(st.text(alphabet="ab.@{}/~^: *?[\\\x7f\x01-lock", min_size=1, max_size=12))
def test_branch_names_are_judged_as_git_does(name: str) -> None:
    judged = subprocess.run(
        ["git", "check-ref-format", f"refs/heads/{name}"], check=False
    ).returncode
    assert git_files.is_branch_name(name.encode()) == (judged == 0)
