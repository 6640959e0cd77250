"""`rumpel cp` and git: a pod cannot tell git of this machine what to run, and git sees no copy."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

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
