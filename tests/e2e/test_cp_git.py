"""`rumpel cp` and git: a pod cannot tell git of this machine what to run, and git sees no copy."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support import tars
from tests.support.project import ProjectFactory


def test_the_repository_stays_as_it_is(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    evil = "git config core.fsmonitor 'touch /tmp/x'; mkdir -p docs/.git; echo x > docs/.git/HEAD"
    project.inside("a", f"{evil}; echo evil > .git/hooks/post-checkout; echo new > new")
    before = (project.root / ".git/config").read_bytes()
    said = project.run("cp", "a:.", ".").assert_ok()
    assert "git repositories are not copied into another one: .git and docs/.git" in said.stderr
    assert (project.root / ".git/config").read_bytes() == before
    assert not (project.root / ".git/hooks/post-checkout").exists()
    assert not (project.root / "docs/.git").exists()
    assert (project.root / "new").read_text() == "new\n"
    for target in (".", ".git", "docs/.git"):
        project.run("cp", "a:.git", target).assert_error(4, "git repository")
    assert (project.root / ".git/config").read_bytes() == before
    project.run("cp", "a:.", str(tmp_path / "out")).assert_ok()
    again = project.run("cp", "a:.", str(tmp_path / "out")).assert_ok()
    assert "are not copied into another one" in again.stderr
    assert (tmp_path / "out/.git/hooks/post-checkout").read_text() == "evil\n"


def test_an_agent_that_commits_all_does_not_commit_a_copy(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    tar = subprocess.check_output(["tar", "-C", str(project.root), "-cf", "-", ".devcontainer"])
    copying = project.start("cp", "-", "a:", stdin=subprocess.PIPE)
    assert copying.stdin is not None
    os.write(copying.stdin.fileno(), tar[: tar.rindex(b"ustar") + 1000])
    staged = "find . -path './.rumpel-cp-*/0/.devcontainer/*' | wc -l"
    project.wait_until(lambda: project.inside("a", staged) != "0", "it is in its middle")
    assert project.inside("a", "git add -A; git status --porcelain") == ""
    os.write(copying.stdin.fileno(), tar[tar.rindex(b"ustar") + 1000 :])
    copying.stdin.close()
    assert copying.wait(30) == 0


OWN = "the git repository of the pod stays as it is, so this is not copied: .git"


def test_the_repository_of_the_pod_stays_as_it_is(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """However the copy comes to lie on it; what is named below it, and other ones, are copied."""
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    project.git("config", "remote.origin.url", "https://me:secret@example.invalid/x")
    project.git("init", "-q", "nested")
    project.write({"new": "new\n"})
    look = "git branch --show-current; cat .git/config; ls -A .git .git/hooks"
    before = project.inside("a", look)
    workspace = project.inside("a", "pwd")
    project.inside("a", f"ln -s {workspace} /tmp/link")
    whole = tmp_path / workspace.rpartition("/")[2]
    shutil.copytree(project.root, whole)
    cases = ((".", "a:"), (".", f"a:{workspace}"), ("./.", "a:/tmp/link/"), (str(whole), "a:.."))
    for source, target in cases:
        project.inside("a", "rm -rf new nested")
        said = project.run("cp", source, target).assert_ok()
        named = str(Path(source, ".git"))
        assert OWN.removesuffix(".git") + named in said.stderr
        assert project.inside("a", look) == before
        project.inside("a", "test -f new && test -f nested/.git/HEAD")
    for source, target in ((".git", "a:"), (".git", f"a:{workspace}/.git"), (".git/.", "a:.git")):
        said = project.run("cp", source, target)
        said.assert_error(4, "is the pod's own git repository, and stays as it is")
    for folder in (".", ".git"):  # as ./.git, and as .git
        tar = subprocess.check_output(["tar", "-C", str(project.root), "-cf", "-", folder])
        assert OWN in project.run("cp", "-", "a:", input=tar).assert_ok().stderr
    assert project.inside("a", look) == before
    project.run("cp", ".git", "a:elsewhere").assert_ok()
    project.run("cp", "new", "a:.git/info/note").assert_ok()
    project.inside("a", "grep -q secret elsewhere/config && test -f .git/info/note")


def test_no_link_in_a_tar_leads_to_the_repository_of_the_pod(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    before = project.inside("a", "cat .git/config")
    lies = tars.symlink(b"x", b".git") + tars.entry(b"x/config", data=b"evil") + tars.END
    project.run("cp", "-", "a:", input=lies)
    lies = tars.symlink(b"x", b".") + tars.entry(b"x/.git/config", data=b"evil") + tars.END
    assert project.run("cp", "-", "a:", input=lies).code != 0
    assert project.inside("a", "cat .git/config") == before


def test_hints_of_a_copy_that_cannot_be(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project = rumpel_project({"d/f": "f"})
    project.run("create", "a").assert_ok()
    project.inside("a", "ln -s /nowhere/x astray")
    hints = {
        ("", "a:"): (2, "SRC is empty", ""),
        ("a:d", ""): (2, "DEST is empty", ""),
        ("d", "a:new/x"): (3, "no folder for new/x", "mkdir -p /workspaces/repo/new\n"),
        ("d/f", "a:new dir/"): (
            3,
            "no folder for new dir/",
            "mkdir -p '/workspaces/repo/new dir/'",
        ),
        ("d/f", "a:astray"): (3, "no folder for astray", ""),
        ("a:d", "a:d/f", "."): (2, "cp takes one SRC and one DEST", ""),
        ("a:d", "new/x"): (3, "no folder", "mkdir -p "),
        ("d", "d/f", "a:x"): (2, "cp takes one SRC", "tar -c FILES | rumpel cp - a:x"),
        ("a:/", "."): (4, "all of pod a is not copied while it runs", "rumpel stop a"),
        ("d/f", ":x"): (2, "neither side is in a pod", "rumpel cp d/f my-task:x"),
    }
    for words, (code, said, hint) in hints.items():
        done = project.run("cp", *words)
        done.assert_error(code, said)
        assert hint in done.stderr, done
        assert hint or "try:" not in done.stderr, done
    said = project.run("cp", "f", "a:new/d/", cwd=project.root / "d").assert_error(3).stderr
    way = said[said.index("rumpel enter") :].split()[1:]
    project.run(*way, cwd=project.root / "d").assert_ok()
    project.run("cp", "f", "a:new/d/", cwd=project.root / "d").assert_ok()
    assert project.inside("a", "cat new/d/f") == "f"
