"""Ways to lose work, or to reach the host from a pod, that were found by reading the code."""

from __future__ import annotations

import pytest

from tests.support.project import ProjectFactory

COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"

# A /bin/sh that answers the daemon itself. An oid goes into `git update-ref -z`.
EVIL_SH = r"""#!/bin/busybox sh
[ "$4" = main ] || exec /bin/busybox sh "$@"
while IFS= read -r line; do
    case $line in
    '@hello '*) echo "@rumpel ${line#* } ok -" ;;
    'rp_setup '*)
        rest=${line#rp_setup }
        printf '@rumpel %s ok %s\0\0update refs/heads/victim\0%s\n' \
            "${rest%% *}" OID OID
        ;;
    'rp_watch '*)
        rest=${line#rp_watch }
        echo "@rumpel ${rest%% *} ok "
        ;;
    esac
done
"""


def test_an_answer_of_a_pod_is_no_command_for_git(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {
            "Dockerfile": "FROM rumpel-mini:1\nCOPY sh /evil\n"
            'RUN ["/bin/busybox", "sh", "-c", "chmod 755 /evil && mv /evil /bin/sh"]\n',
            ".devcontainer.json": {"build": {"dockerfile": "Dockerfile"}},
        }
    )
    old = project.repo.oid("main")
    project.git("branch", "victim")
    new = project.commit("second", {"sh": EVIL_SH.replace("OID", old)})
    project.git("branch", "-f", "victim", new)
    outcome = project.run("create", "p")
    assert project.repo.oid("victim") == new, outcome.stderr
    project.run("delete", "--force", "p")


def test_a_refused_branch_is_not_taken_for_merged(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    script = (
        "oid=$(printf 'tree %s\\n\\nno author\\n' $(git rev-parse HEAD^{tree}) | "
        "git hash-object -t commit -w --stdin --literally) && "
        "echo $oid >.git/refs/heads/odd"
    )
    project.run("enter", "p", "--", "sh", "-c", script).assert_ok()
    project.run("delete", "p").assert_error(4, "odd", "--force")
    project.run("delete", "--force", "p").assert_ok()


def test_a_broken_pod_can_be_stopped(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    project.exec("p", "rm", "-rf", "/workspaces/repo/.git")
    project.run("stop", "p").assert_ok()
    assert project.containers("p")[0]["State"] == "exited"
    project.run("delete", "--force", "p").assert_ok()


def test_a_detached_commit_is_not_deleted(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    script = f"git switch -q --detach && {COMMIT} && git switch -q --detach"
    project.run("enter", "p", "--", "sh", "-c", script).assert_ok()
    project.run("delete", "p").assert_error(4, "--force")
    project.run("delete", "--force", "p").assert_ok()


def test_commits_of_a_detached_head_are_told(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.inside("p", f"git switch -q --detach && {COMMIT}")
    listed = project.run("list", "--refresh", "--json").assert_ok().data
    assert listed[0]["git"]["detached"] == 1
    assert "+1 on a detached HEAD" in project.run("list").assert_ok().stdout
    advice = "rumpel enter p -- git branch NEW"
    for verb in ("review", "merge"):
        said = project.run(verb, "p").assert_ok().stderr
        assert "1 commit on a detached HEAD" in said
        assert advice in said
    project.inside("p", "git branch rescued")
    for verb in ("review", "merge"):
        said = project.run(verb, "p").assert_ok().stderr
        assert "detached" not in said
        assert f"rumpel {verb} p:rescued" in said
    assert "detached" not in project.run("list").assert_ok().stdout
    project.run("delete", "--force", "p").assert_ok()


def test_a_stash_is_not_deleted(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    script = "echo x >>README.md && git stash -q"
    project.run("enter", "p", "--", "sh", "-c", script).assert_ok()
    project.run("delete", "p").assert_error(4, "--force")
    project.run("delete", "--force", "p").assert_ok()


def test_enter_brings_the_gateway_back(rumpel_project: ProjectFactory) -> None:
    """As after a reboot: everything is stopped, nothing is created."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    for item in project.docker.containers(project.home.label or ""):
        project.docker.api.stop(item["Id"], timeout=1)
    project.run("daemon", "stop").assert_ok()
    project.run("enter", "p", "--", "true").assert_ok()
    oid = project.commit("later")
    project.wait_until(
        lambda: oid in project.exec("p", "git", "-C", "/workspaces/repo", "show-ref").stdout,
        "the commit is in the pod",
    )
    project.run("delete", "p").assert_ok()


def test_a_removed_worktree_takes_nothing_with_it(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tree = project.home.path / "tree"
    project.git("worktree", "add", "-q", str(tree), "-b", "side")
    project.run("create", "p", cwd=tree).assert_ok()
    project.git("worktree", "remove", str(tree))
    oid = project.run("enter", "p", "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()
    project.wait_for_ref("p", oid)
    project.run("delete", "--force", "p").assert_ok()


def test_deleted_while_its_image_is_built(rumpel_project: ProjectFactory) -> None:
    """What the create makes afterwards must not outlive the pod it was made for."""
    project = rumpel_project(
        {
            "Dockerfile": "FROM rumpel-mini:1\nRUN sleep 2\n",
            ".devcontainer.json": {"build": {"dockerfile": "Dockerfile"}},
        }
    )
    creating = project.start("create", "p")

    def is_announced() -> bool:
        assert creating.poll() is None, (creating.communicate(), project.home.log_tail(500))
        return "p" in project.run("list", "-q").assert_ok().stdout.split()

    project.wait_until(is_announced, "announced")
    project.run("delete", "p").assert_ok()
    assert creating.wait(30) == 4
    assert project.run("list", "-q").stdout == ""
    assert project.containers() == []
    project.run("create", "p").assert_ok()
    project.run("delete", "p").assert_ok()


def test_an_older_branch_does_not_hide_in_the_seed(rumpel_project: ProjectFactory) -> None:
    """The gateway was removed by hand: its volume is poured into again."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()

    def sees(pod: str, oid: str) -> bool:
        shown = project.exec(pod, "git", "-C", "/workspaces/repo", "rev-parse", "host/main")
        return oid in shown.stdout

    first = project.commit("sent to the gateway")
    project.wait_until(lambda: sees("p", first), "the first commit")
    label = project.home.label or ""
    for item in project.docker.containers(label, "rumpel.kind=gateway"):
        project.docker.api.remove_container(item["Id"], force=True)
    second = project.commit("not sent")
    project.run("create", "q").assert_ok()
    project.wait_until(lambda: sees("q", second), "the second commit")
    project.run("delete", "p", "q").assert_ok()


def test_a_volume_without_its_container_is_not_deleted(rumpel_project: ProjectFactory) -> None:
    config = {
        "image": "rumpel-mini:1",
        "mounts": ["target=/ws,type=volume"],
        "workspaceFolder": "/ws",
    }
    project = rumpel_project(config=config)
    project.run("enter", "p", "--", "touch", "precious").assert_ok()
    project.docker.api.remove_container(project.container_id("p"), force=True)
    project.wait_until(lambda: "gone" in project.run("list").stdout, "gone")
    project.run("delete", "p").assert_error(4, "volume", "rumpel create p")
    project.run("create", "p").assert_ok()
    project.run("delete", "p").assert_error(4, "1 uncommitted file")
    project.run("delete", "--force", "p").assert_ok()


def test_localhost_is_local(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("--host", "localhost", "create", "p").assert_ok()
    project.run("delete", "p").assert_ok()


@pytest.mark.near("pods of a remote engine do not come back with a lost database")
def test_commits_survive_the_database(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    oid = project.run("enter", "p", "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()
    project.wait_for_ref("p", oid)
    project.run("daemon", "stop").assert_ok()
    for path in project.home.state.glob("state.db*"):
        path.unlink()
    project.run("create", "q").assert_ok()
    assert oid in project.repo.refs("refs/").values()
    project.docker.api.remove_container(project.container_id("p"), force=True)
    project.run("delete", "q").assert_ok()
