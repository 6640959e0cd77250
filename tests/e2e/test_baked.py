"""A checkout baked into the image is taken over (notes/original.md part 5, specs 43-44)."""

from __future__ import annotations

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

WORKSPACE = "/workspaces/repo"
OLD = "200101010000"

BOTH = (
    "git checkout -qb other && echo other >tracked && git commit -qam other && "
    "git checkout -q main && echo mine >tracked && git commit -qam mine; "
)
STATES = {
    "clean": "true",
    "detached": "git checkout -q --detach",
    "unborn": "git checkout -q --orphan nothing && git rm -rqf --cached . ",
    "dirty-index": "echo staged >tracked && git add tracked",
    "dirty-tree": "echo changed >tracked",
    "untracked": "mkdir -p new/deep && echo new >new/deep/file",
    "mid-merge": BOTH + "git merge other || true",
    "mid-rebase": BOTH + "git rebase other || true",
}


def baked(rumpel_project: ProjectFactory, state: str) -> Project:
    """The repository's own history, and a clone of it in the image, brought into `state`."""
    project = rumpel_project({"tracked": "tracked\n", ".gitignore": "target/\n"}, config=None)
    project.git("clone", "-q", "--bare", ".", str(project.root / "baked.git"))
    script = (
        f"git clone -q --no-hardlinks /tmp/baked.git {WORKSPACE} && cd {WORKSPACE} && "
        "git config user.name baked && git config user.email baked@example.com && "
        "mkdir -p target .git/hooks && echo warm >target/cache && printf '#!/bin/sh\\nexit 1\\n' "
        ">.git/hooks/pre-commit && chmod +x .git/hooks/pre-commit && "
        f"{{ {STATES[state]}; }} && touch -t {OLD} README.md target/cache"
    )
    project.write(
        {
            ".git/info/exclude": "baked.git\n",
            "Dockerfile": f"FROM {MINI_IMAGE}\nCOPY baked.git /tmp/baked.git\nRUN {script}\n",
            ".devcontainer.json": {
                "build": {"dockerfile": "Dockerfile"},
                "runArgs": ["--network=none"],
            },
        }
    )
    return project


@pytest.mark.parametrize("state", list(STATES))
def test_every_state_comes_up_clean(rumpel_project: ProjectFactory, state: str) -> None:
    project = baked(rumpel_project, state)
    project.commit("a newer commit of the host", {"newer": "newer\n"})
    script = (
        "git rev-parse HEAD; git rev-parse --abbrev-ref HEAD; git status --porcelain; "
        "echo --; cat tracked newer target/cache; git remote; ls .git/hooks; "
        "date -r README.md +%Y; [ ! -e .git/MERGE_HEAD ] && [ ! -e .git/rebase-merge ]; echo $?"
    )
    out = project.run("enter", "p", "--", "sh", "-c", script).assert_ok().stdout
    head, rest = out.split("--\n", 1)
    assert head.split() == [project.repo.oid("HEAD"), "p"]
    lines = rest.split()
    assert lines[:3] == ["tracked", "newer", "warm"]
    assert "host" in lines
    assert "origin" not in lines
    assert "pre-commit" not in lines
    assert lines[-2:] == ["2001", "0"], "a file that did not change keeps its time"
    commit = "git commit -q --allow-empty -m work && git rev-parse HEAD"
    oid = project.run("enter", "p", "--", "sh", "-c", commit).assert_ok().stdout.strip()
    project.wait_for_ref("p", oid)
    project.run("delete", "--force", "p").assert_ok()


def test_ignored_files_and_times_are_kept(rumpel_project: ProjectFactory) -> None:
    project = baked(rumpel_project, "clean")
    script = "cat target/cache; date -r target/cache +%Y; date -r README.md +%Y"
    out = project.run("enter", "p", "--", "sh", "-c", script).assert_ok().stdout
    assert out.split() == ["warm", "2001", "2001"]
