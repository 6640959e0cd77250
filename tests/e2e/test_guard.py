"""What `delete` must see before it lets a container go, and the last moment before it does."""

from __future__ import annotations

import pytest

from tests.support.project import Project, ProjectFactory

HOLD = {"RUMPEL_FAULT": "keep.held:1:kill"}
# Whole at every moment: it may be frozen at any.
WRITER = (
    "i=0; while :; do i=$((i+1)); echo $i >/tmp/c; mv /tmp/c /workspaces/repo/counter; "
    "sleep 0.01; done"
)


def inside(project: Project, script: str) -> str:
    return project.run("enter", "p", "--", "sh", "-ec", script).assert_ok().stdout.strip()


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("git worktree add -q ../linked; echo x >../linked/x", "1 linked worktree with work in it"),
        ("git switch -q --detach; git commit -q --allow-empty -m x", "1 commit on no branch"),
        (
            "git switch -qc t; git commit -q --allow-empty -m x; git tag kept; git switch -q p;"
            "git branch -D t",
            "1 commit on no branch",
        ),
        ("echo x >README.md; git stash -q", "1 stash"),
        (
            "git init -q /tmp/l; git -C /tmp/l -c user.name=x -c user.email=x@x commit -q"
            " --allow-empty -m l;"
            "git -c protocol.file.allow=always submodule -q add /tmp/l l; git commit -qam l;"
            "git config submodule.l.ignore all; echo x >l/x",
            "1 uncommitted file",
        ),
        (
            "git update-index --assume-unchanged README.md; echo x >README.md",
            "1 uncommitted file",
        ),
    ],
)
def test_work_that_git_status_does_not_tell(
    rumpel_project: ProjectFactory, script: str, told: str
) -> None:
    project = rumpel_project()
    inside(project, script)
    project.run("delete", "p").assert_error(4, told, "undelete")
    assert inside(project, "echo goes on") == "goes on"
    project.run("delete", "--force", "p").assert_ok()


def test_a_refusal_names_what_would_go(rumpel_project: ProjectFactory) -> None:
    """And what it advises to do for a commit on no branch does it, wherever HEAD is."""
    project = rumpel_project()
    lost = inside(
        project,
        "git commit -q --allow-empty -m 'on a tag'; git tag t; git rev-parse HEAD;"
        "git reset -q --hard HEAD~1; touch 01 02 03 04 05 06 07 08 09 10 11 'a b'",
    )
    files = tuple(f"{number:02}" for number in range(1, 11))
    refused = project.run("delete", "p")
    refused.assert_error(4, "12 uncommitted files", f"{lost[:12]} on a tag", *files, "and 2 more")
    advice = f"git branch NEW {lost[:12]}"
    assert f"rumpel enter p -- {advice} " in refused.stderr
    inside(project, f"rm [0-9]* 'a b'; {advice}")
    project.run("delete", "p").assert_error(4, "1 unmerged commit", "rumpel merge p:NEW")
    project.run("merge", "p:NEW", "--keep").assert_ok()
    project.run("delete", "p").assert_ok()


def test_squashed_and_rebased_work_is_merged(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    commits = "for i in 1 2; do echo $i >$i; git add $i; git commit -qm $i; done"
    oid = inside(project, f"{commits}; git rev-parse HEAD")
    project.wait_for_ref("p", oid)
    project.commit("elsewhere", {"README.md": "# Changed\n"})
    project.run("delete", "p").assert_error(4, "2 unmerged commits")
    project.git("merge", "-q", "--squash", "rumpelpod/p")
    project.git("commit", "-qm", "both")
    project.run("delete", "p").assert_ok()


def test_nothing_changes_between_the_last_look_and_the_end(rumpel_project: ProjectFactory) -> None:
    """The writer in the pod is frozen before it is looked at; a killed delete thaws it again."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    container = project.container_id("p")
    made = project.docker.api.exec_create(container, ["sh", "-c", WRITER])
    project.docker.api.exec_start(made["Id"], detach=True)

    def counter() -> str:
        return project.exec("p", "cat", "/workspaces/repo/counter", check=False).stdout.strip()

    project.wait_until(lambda: counter() not in ("", "1"), "it writes")
    project.run("daemon", "stop").assert_ok()
    killed = project.run("delete", "--force", "p", env=HOLD)
    frozen = counter()
    keep = project.repo.refs("refs/rumpel/keep")
    held = [oid for name, oid in keep.items() if "/snapshots/" in name]
    assert len(held) == 1, f"{killed} {keep}"
    snapshot = held[0]
    assert project.git("cat-file", "blob", f"{snapshot}:files/counter") == frozen
    assert counter() == frozen
    project.run("list").assert_ok()
    project.wait_until(lambda: counter() != frozen, "it goes on")
    project.run("delete", "--force", "p").assert_ok()
    project.run("undelete", "p").assert_ok()
    assert int(inside(project, "cat counter")) > int(frozen)
    project.run("delete", "--force", "p").assert_ok()


def test_a_file_that_comes_after_the_first_look(rumpel_project: ProjectFactory) -> None:
    """The pod's own git program makes it while `guard` asks for changes."""
    project = rumpel_project()
    late = (
        "#!/bin/sh\n[ -e /tmp/armed ] || exit 1\n"
        "(sleep 0.02; echo x >/workspaces/repo/late) &\nexit 1\n"
    )
    inside(project, f"printf '%s' '{late}' >/tmp/late; chmod +x /tmp/late")
    inside(project, "git config core.fsmonitor /tmp/late; git status --porcelain; touch /tmp/armed")
    project.run("delete", "p").assert_error(4, "1 uncommitted file")
    assert inside(project, "cat late") == "x"
    project.run("delete", "--force", "p").assert_ok()


@pytest.mark.parametrize("how", ["fails", "is cancelled"])
def test_a_pod_whose_removal_does_not_come_goes_on(
    rumpel_project: ProjectFactory, how: str
) -> None:
    """What was frozen for the last look runs again, and the pod is not in the trash, too."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    project.run("daemon", "stop").assert_ok()
    if how == "fails":
        fault = {"RUMPEL_FAULT": "remove.effect-before:1:raise"}
        project.run("delete", "--force", "p", env=fault).assert_code(1)
    else:
        met = project.home.path / "points"
        fault = {"RUMPEL_FAULT": "remove.effect-before:1:hang", "RUMPEL_FAULT_LOG": str(met)}
        client = project.spawn("delete", "--force", "p", env=fault)
        project.wait_until(
            lambda: met.exists() and "remove.effect-before" in met.read_text(), "it hangs"
        )
        client.sendintr()
        client.expect(rb"again now")
        client.sendintr()
        client.wait()
    state = "for file in /proc/[0-9]*/stat; do read -r _ _ state _ <$file; echo $state; done"
    project.wait_until(
        lambda: "T" not in project.exec("p", "sh", "-c", state).stdout.split(), "it goes on"
    )
    project.wait_until(
        lambda: not [name for name in project.repo.refs("refs/rumpel/keep") if "deleted" in name],
        "it is not in the trash",
    )
    oid = inside(project, "git commit -q --allow-empty -m more; git rev-parse HEAD")
    project.wait_for_ref("p", oid)
    project.run("delete", "--force", "p").assert_ok()
