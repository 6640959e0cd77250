"""kill -9 of the daemon at any moment while pods commit: no commit is lost."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.support.project import Project, ProjectFactory

ROUNDS = int(os.environ.get("RUMPEL_KILLS", "60" if os.environ.get("RUMPEL_LONG") else "4"))
PODS = ("a", "b", "c")
LONGEST_S = 0.8
COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"
# Now and then a branch of its own: it is published under another name.
COMMITTER = """
count=0
until [ -e /tmp/stop ]; do
    count=$((count + 1))
    [ $((count % 10)) != 0 ] || git branch "side-$count"
    echo "$count" >>work
    git add work && git commit -q -m "$count" && git rev-parse HEAD >>/tmp/oids
    sleep 0.1
done
echo done >/tmp/ended
"""


def start_committer(project: Project, pod: str) -> None:
    """Past rumpel, so that it goes on whatever becomes of the daemon."""
    api = project.docker.api
    folder = project.run("enter", pod, "--", "pwd").assert_ok().stdout.strip()
    argv = ["sh", "-c", COMMITTER]
    made = api.exec_create(project.container_id(pod), argv, workdir=folder)
    api.exec_start(made["Id"], detach=True)


def committed(project: Project, pod: str) -> list[str]:
    """Oldest first, after its committer has ended."""
    project.exec(pod, "touch", "/tmp/stop")
    project.wait_until(
        lambda: project.exec(pod, "cat", "/tmp/ended", check=False).code == 0,
        f"the committer of {pod} ends",
    )
    return project.exec(pod, "cat", "/tmp/oids").stdout.split()


@pytest.mark.timeout(60 + 8 * ROUNDS)
@pytest.mark.slow
def test_no_commit_is_lost(
    rumpel_project: ProjectFactory, record_property: Callable[[str, object], None]
) -> None:
    record_property("kills", ROUNDS)
    project = rumpel_project()
    project.run("create", *PODS).assert_ok()
    for pod in PODS:
        start_committer(project, pod)
    seed = random.randrange(1 << 30)
    rng = random.Random(seed)
    for number in range(ROUNDS):
        time.sleep(rng.random() * LONGEST_S)
        project.home.kill_daemon()
        done = project.run("list")
        assert done.code == 0, f"round {number} of seed {seed}: {done}"
    made = {pod: committed(project, pod) for pod in PODS}
    for pod, oids in made.items():
        assert len(oids) > ROUNDS // 2, "it committed too little to mean anything"
        project.wait_for_ref(pod, oids[-1], timeout_s=20)
        held = set(project.git("rev-list", f"refs/remotes/rumpelpod/{pod}").split())
        lost = [oid for oid in oids if oid not in held]
        assert not lost, f"{pod}, seed {seed}: lost {lost}"
        branches = project.exec(
            pod,
            "git",
            "-C",
            "/workspaces/repo",
            "for-each-ref",
            "--format=%(refname:lstrip=2)",
            "refs/heads/side-*",
        ).stdout.split()
        published = project.repo.published()
        assert not [name for name in branches if f"{name}@{pod}" not in published]
    project.git("fsck", "--connectivity-only", "--no-dangling")
    doors = project.home.state / "doors"
    for door in doors.glob("*/*"):
        assert len(list(door.glob("incoming-*"))) <= 1, "the next import, made ready; no other"
    project.run("stop", "--all").assert_ok()
    assert not list(doors.glob("*/*/incoming-*"))


def test_a_lock_left_by_a_kill_holds_up_no_branch(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    project.home.kill_daemon()
    (project.root / ".git/refs/remotes/rumpelpod/a.lock").write_text("")
    project.run("list").assert_ok()
    made = project.run("enter", "a", "--", "sh", "-c", COMMIT).assert_ok().stdout.strip()
    project.wait_for_ref("a", made)
