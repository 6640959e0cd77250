"""Digests of what a commit holds."""

from __future__ import annotations

import pytest

from rumpel.adapters import git, git_content
from rumpel.errors import RumpelError
from tests.support.repo import Repo


def test_only_the_named_files_count(git_repo: Repo) -> None:
    files = {"lock": "1\n", "src/lock": "1\n", "src/a.py": "a\n", "docs/a/b.md": "b\n"}
    first = git_repo.commit("one", files)
    repo = git.discover(str(git_repo.root))
    moved = {}
    for path in files:
        moved[path] = git_repo.commit(f"change {path}", {path: "other\n"})
        git_repo.git("reset", "-q", "--hard", first)
    assert git_content.tree_of(repo, first) == git_repo.git("rev-parse", f"{first}^{{tree}}")
    for patterns, counts in (
        (["lock"], {"lock", "src/lock"}),
        (["/lock"], {"lock"}),
        (["src"], {"src/lock", "src/a.py"}),
        (["src/*.py", "none"], {"src/a.py"}),
        (["**/*.md"], {"docs/a/b.md"}),
        (["docs/*.md"], set()),
        (["*"], set(files)),
    ):
        before = git_content.digest_of(repo, first, patterns)
        found = {p for p in files if git_content.digest_of(repo, moved[p], patterns) != before}
        assert found == counts, patterns


def test_modes_and_odd_names_count(git_repo: Repo) -> None:
    first = git_repo.commit("one", {"odd\n* name": "x\n"})
    repo = git.discover(str(git_repo.root))
    git_repo.git("update-index", "--chmod=+x", "odd\n* name")
    git_repo.git("commit", "-qm", "executable")
    before, after = (git_content.digest_of(repo, oid, ["odd*"]) for oid in (first, "HEAD"))
    assert before != after


def test_what_is_ignored_counts_whatever_is_named(git_repo: Repo) -> None:
    first = git_repo.commit("one", {"a": "a\n"})
    other = git_repo.commit("two", {"deep/.gitignore": "x\n"})
    repo = git.discover(str(git_repo.root))
    assert git_content.digest_of(repo, first, ["a"]) != git_content.digest_of(repo, other, ["a"])


def test_a_commit_of_a_pod_is_not_the_hosts(git_repo: Repo) -> None:
    first = git_repo.commit("one", {"a": "a\n"})
    of_pod = git_repo.commit("two", {"a": "b\n"})
    git_repo.git("reset", "-q", "--hard", first)
    git_repo.git("update-ref", "refs/remotes/rumpelpod/p", of_pod)
    repo = git.discover(str(git_repo.root))
    assert [git_content.is_of_host(repo, oid) for oid in (first, of_pod)] == [True, False]
    git_repo.git("checkout", "-q", "--orphan", "new")  # HEAD is no commit
    assert not git_content.is_of_host(repo, of_pod)
    for ref in ("refs/tags/v1", "refs/remotes/origin/x", "refs/heads/merged"):
        git_repo.git("update-ref", ref, of_pod)
        assert git_content.is_of_host(repo, of_pod), ref
        git_repo.git("update-ref", "-d", ref)


def test_no_such_commit(git_repo: Repo) -> None:
    git_repo.commit("one", {"a": "a\n"})
    with pytest.raises(RumpelError):
        git_content.tree_of(git.discover(str(git_repo.root)), "1" * 40)


@pytest.mark.parametrize(
    ("pattern", "path", "is_so"),
    [
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b/c", True),
        ("a/**", "a/b", True),
        ("a/*", "a/b/c", True),
        ("a/*/c", "a/b/d", False),
        ("b", "a/b/c", True),
        ("/b", "a/b", False),
        ("b/", "a/b/c", True),
        ("[ab]?.x", "y/a1.x", True),
        ("(a+)+", "aaa", False),
        ("*a" * 40 + "b", "a" * 4000, False),
        ("**/" * 40 + "b", "a/" * 2000 + "c", False),
    ],
)
def test_patterns(pattern: str, path: str, is_so: bool) -> None:
    assert git_content.matches(pattern, path) is is_so
