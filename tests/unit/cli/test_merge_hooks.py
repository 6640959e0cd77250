"""Hooks of the working tree that a pod could have written, by every way that leads there."""

from __future__ import annotations

from pathlib import Path

import pytest

from rumpel.cli import merge_hooks
from rumpel.cli.usergit import Git

EVIL = "#!/bin/sh\n"


class Tree:
    """A repository; `pod` commits on a side branch, as a pod would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git = Git(str(folder))
        self.git.ask("init", "-q", "-b", "main")
        for name in ("user.name", "user.email"):
            self.git.ask("config", name, "x")
        self.commit({"README": "", "scripts/post-merge": EVIL, "hooks/pre-push": EVIL})

    def commit(self, files: dict[str, str]) -> str:
        """A text that begins with `->` becomes a link."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if text.startswith("->"):
                path.symlink_to(text[2:])
            else:
                path.write_text(text)
        self.git.ask("add", "-A")
        self.git.ask("commit", "-q", "--allow-empty", "-m", "x")
        return self.git.line("rev-parse", "HEAD") or ""

    def pod(self, files: dict[str, str]) -> list[str]:
        head = self.git.line("rev-parse", "HEAD") or ""
        self.git.ask("switch", "-q", "-c", "pod")
        theirs = self.commit(files)
        self.git.ask("switch", "-q", "main")
        return merge_hooks.changed(self.git, head, theirs)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "repo")


def test_hooks_of_the_git_folder_are_not_the_pods(tree: Tree) -> None:
    assert tree.pod({"hooks/post-merge": EVIL, "scripts/post-merge": "other"}) == []


@pytest.mark.parametrize(
    ("hooks_path", "there", "pod"),
    [
        ("hooks", {}, {"hooks/post-merge": EVIL}),
        ("fresh", {}, {"fresh/post-merge": EVIL}),
        ("link", {"link": "->hooks"}, {"hooks/post-merge": EVIL}),
        ("link", {"link": "->hooks"}, {"link": "->scripts"}),
        ("link/sub", {"link": "->hooks", "hooks/sub/x": ""}, {"hooks/sub/post-merge": EVIL}),
        ("link/sub", {"link": "->hooks", "hooks/sub/x": ""}, {"link": "->scripts"}),
        ("one", {"one": "->two", "two": "->hooks"}, {"two": "->scripts"}),
        ("hooks", {"hooks/post-merge": "->../scripts/post-merge"}, {"scripts/post-merge": "x"}),
        ("hooks", {"hooks/post-merge": "->../scripts/later"}, {"scripts/later": "x"}),
        ("hooks", {"dir": "->scripts", "hooks/post-merge": "->../dir/x"}, {"dir": "->other"}),
        ("absent/hooks", {}, {"absent": "->scripts"}),
        ("absent/../hooks", {}, {"absent": "->scripts/sub"}),
        (".husky/_", {}, {".husky/post-merge": EVIL}),
        (".husky/_", {".husky/post-merge": "->../scripts/x"}, {"scripts/x": EVIL}),
        ("Hooks", {}, {"hooks/post-merge": EVIL}),
        (".", {}, {"post-merge": EVIL}),
    ],
)
def test_every_way_into_the_tree_is_seen(
    tree: Tree, hooks_path: str, there: dict[str, str], pod: dict[str, str]
) -> None:
    tree.commit(there)
    tree.git.ask("config", "core.hooksPath", hooks_path)
    assert tree.pod(pod | {"harmless": "x"} if hooks_path != "." else pod) == sorted(pod)


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_link_in_the_git_folder_leads_into_the_tree(tree: Tree, is_absolute: bool) -> None:
    target = tree.folder / "scripts/post-merge" if is_absolute else "../../scripts/post-merge"
    (tree.folder / ".git/hooks").mkdir(exist_ok=True)
    (tree.folder / ".git/hooks/post-merge").symlink_to(target)
    assert tree.pod({"scripts/post-merge": "other", "harmless": "x"}) == ["scripts/post-merge"]


def test_a_path_from_outside_leads_into_the_tree(tree: Tree) -> None:
    outside = tree.folder.parent / "outside"
    outside.symlink_to(tree.folder / "hooks")
    tree.git.ask("config", "core.hooksPath", str(outside))
    assert tree.pod({"hooks/post-merge": EVIL, "harmless": "x"}) == ["hooks/post-merge"]


def test_links_in_a_circle_end(tree: Tree) -> None:
    tree.commit({"a": "->b", "b": "->a"})
    tree.git.ask("config", "core.hooksPath", "a")
    assert tree.pod({"a": "->scripts", "harmless": "x"}) == ["a"]


def test_a_file_that_became_a_hook_since(tree: Tree) -> None:
    """The merge follows the renaming and brings the pod's change into the hook."""
    base = tree.commit({"tools/check": EVIL + "true\n" * 9})
    tree.git.ask("mv", "tools/check", "hooks/post-merge")
    head = tree.commit({})
    tree.git.ask("config", "core.hooksPath", "hooks")
    tree.git.ask("switch", "-q", "-c", "pod", base)
    theirs = tree.commit({"tools/check": EVIL + "true\n" * 8 + "evil\n", "harmless": "x"})
    assert merge_hooks.changed(tree.git, head, theirs) == ["tools/check"]
