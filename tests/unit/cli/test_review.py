"""How a review is drawn: names no tool takes for more, diffs no terminal obeys, git's own stat."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import git_view
from rumpel.cli import review, review_patch, review_tool

NASTY = [
    *(
        b"-rf",
        b"--output=x",
        b".envrc",
        b"..",
        b"a/../b",
        b"a\nb",
        b"a\x1b[2Jb",
        b"caf\xe9",
        b"$(x)",
    ),
    *(b"`x`", b";x;", b"a b", b"*", b"?", b"[a]", b"~", b"CON", b"a'b", b'a"b', b"a\\b", b"%s"),
    *(name.encode() for name in ("\x7f", "\u202egnp", "e\u0301", "\u00e9", "A", "a", "new file")),
    *(b"x" * 255, b"y" * 254 + b"\n", b"_envrc", b"_rf", b"a/b", b"a/B/c"),
]
PLAIN = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-./")


def check(paths: list[bytes]) -> None:
    names = review_tool.Names()
    given = {path: names.of(path) for path in paths}
    assert {path: names.of(path) for path in paths} == given
    taken = [name.lower() for name in given.values()]
    assert len(set(taken)) == len(taken)
    folders = {b"/".join(n.split(b"/")[:i]) for n in taken for i in range(1, n.count(b"/") + 1)}
    assert folders.isdisjoint(taken), "no file is in the way of a folder"
    for name in given.values():
        assert set(name) <= PLAIN
        for part in name.split(b"/"):
            assert part
            assert part[:1] not in b".-"
            assert len(part) <= review_tool.MAX_PART_BYTES


def test_names_are_neutral_and_differ() -> None:
    check(list(dict.fromkeys(NASTY)))


PARTS = st.binary(min_size=1, max_size=8).filter(
    lambda part: b"\0" not in part and b"/" not in part
)


@given(st.lists(st.lists(PARTS, min_size=1, max_size=3).map(b"/".join), unique=True, max_size=30))
def test_names_of_any_tree_are_neutral_and_differ(paths: list[bytes]) -> None:
    check(paths)


def test_plain_names_stay() -> None:
    names = review_tool.Names()
    assert names.of(b"src/app.test.py") == b"src/app.test.py"
    assert names.of(b".github/workflows/ci.yml") == b"_github/workflows/ci.yml"


DIFF = b"""\
diff --git a/x b/x
index 1..2 100644
--- a/x
+++ b/x
@@ -1,3 +1,3 @@ def f():
 context
--- not a header
-\x1b[31mred
+++ nor this
+\xe2\x80\xae\x9b2J\xff
\\ No newline at end of file
"""


def test_what_a_diff_contains_is_no_command_for_the_terminal() -> None:
    lines = list(review_patch.drawn(DIFF.splitlines(keepends=True), color=False))
    assert lines[7:10] == ["-\\x1b[31mred", "+++ nor this", "+\\u202e\\x9b2J\\xff"]
    colored = list(review_patch.drawn(DIFF.splitlines(keepends=True), color=True))
    assert [line[:5] for line in colored] == [
        *["\x1b[1md", "\x1b[1mi", "\x1b[1m-", "\x1b[1m+", "\x1b[36m"],
        *[" cont", "\x1b[31m", "\x1b[31m", "\x1b[32m", "\x1b[32m", "\\ No "],
    ]
    assert colored[6].startswith("\x1b[31m--- not")
    assert colored[8].startswith("\x1b[32m+++ nor")


def test_the_headline_says_what_is_compared() -> None:
    data: dict[str, Any] = {
        "name": "a",
        "base": "main",
        "base_commit": "1" * 40,
        "commit": "2" * 40,
    }
    data |= {"ahead": 0, "uncommitted": 3, "files": [{}]}
    data["totals"] = {"files": 1, "additions": 0, "deletions": 0}
    view: dict[str, Any] = {"branch": "a", "behind": 0, "paths": []}
    end = "1 file changed; commit 222222222222"
    assert review.headline(data, view) == f"a: 3 uncommitted files, {end}"
    data |= {"ahead": 2, "uncommitted": None}
    said = review.headline(data, {**view, "branch": "side"})
    assert said == f"a:side: 2 commits that main does not have, {end}"
    said = review.headline({**data, "base": "pod/b"}, {**view, "behind": 1})
    both = "2 commits that b does not have and 1 commit of b that it does not have"
    assert said == f"a: {both}, {end}"


def file(path: str, added: int | None = 1, deleted: int | None = 0, **more: Any) -> dict[str, Any]:
    return {"path": path, "additions": added, "deletions": deleted, "risks": [], **more}


def test_stat() -> None:
    risk = [{"kind": "ci", "reason": "run by a CI service"}]
    files = [
        file(".github/workflows/a\x1b.yml", 2, 1, risks=risk),
        file("b.py", 100, 200, old_path="a.py"),
        file("logo.png", None, None),
    ]
    assert review.stat(files) == [
        '! ".github/workflows/a\\x1b.yml" |   3 +-  (run by a CI service)',
        "  a.py => b.py                  | 300 ++++++++++--------------------",
        "  logo.png                      | Bin",
        "  3 files changed, 102 insertions(+), 201 deletions(-)",
    ]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b", "a b"),
        ('a"b', '"a\\"b"'),
        ("a\nb", '"a\\nb"'),
        ("caf\u00e9", "caf\u00e9"),
        ("\u202e", '"\\u202e"'),
    ],
)
def test_names_are_quoted_as_git_does(name: str, shown: str) -> None:
    assert review.quoted(name) == shown


def test_a_view_of_a_process_that_is_gone_goes(tmp_path: Path) -> None:
    old = git_view.make(str(tmp_path), "/nowhere", "sha1")
    os.rename(old.folder, tmp_path / "review-4194305-aa")  # noqa: PTH104 - no such process id
    (tmp_path / "review-4194305-aa/copies/link").symlink_to("/etc")
    mine = git_view.make(str(tmp_path), "/nowhere", "sha1")
    git_view.sweep(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [Path(mine.folder).name]
    assert Path("/etc/passwd").exists()
    assert mine.cwd("../../../etc") == mine.tree
