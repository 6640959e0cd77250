"""Random work in two pods and on the host, the daemon killed at random: nothing is lost.

Wherever the two sides had met (the host showed what the pod has), every tip of that moment has to
be reachable on the host at the end; and at the end both show the same. A failure names its seed:
RUMPEL_SEED replays it.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable

import pytest

from tests.support.project import Project, ProjectFactory

IS_LONG = bool(os.environ.get("RUMPEL_LONG"))
HISTORIES = int(os.environ.get("RUMPEL_HISTORIES", "20" if IS_LONG else "1"))
STEPS = 40 if IS_LONG else 18
PODS = ("a", "b")
SYNC_S = 45.0

WORK = {
    "commit": "echo $N >>work.$((N % 3)); git add -A; git commit -q -m $N",
    "amend": "git commit -q --amend --allow-empty -m again-$N",
    "reset": "! git rev-parse -q --verify HEAD~1 || git reset -q --hard HEAD~1",
    "branch": "git branch w-$N",
    "switch": "git checkout -q -b s-$N; echo $N >own.$N; git add -A; git commit -q -m own-$N",
    "back": "git checkout -q $POD",
    "delete": (
        "for ref in $(git for-each-ref --format='%(refname:lstrip=2)' refs/heads/[ws]-*); do"
        " git branch -q -D $ref 2>/dev/null && break; done; true"
    ),
    "rename": (
        "for ref in $(git for-each-ref --format='%(refname:lstrip=2)' refs/heads/w-*); do"
        " git branch -M $ref w-$N-renamed; break; done; true"
    ),
    "rebase": "git rebase -q host/main >/dev/null 2>&1 || git rebase --abort || true",
    "merge": "git merge -q -m merge-$N host/main >/dev/null 2>&1 || git merge --abort || true",
    "stash": "echo $N >>work.0; git add -A; git stash -q; git stash drop -q",
    "tidy": "git reflog expire --expire=now --all; git gc -q --prune=now",
    "pack": "git pack-refs --all",
}
HOST = ("commit", "amend", "branch", "delete", "merge", "tidy")


class History:
    """One project with two pods, and what has to be there at the end."""

    def __init__(self, project: Project, seed: int) -> None:
        self.project, self.rng = project, random.Random(seed)
        self.is_up = True
        self.held: set[str] = set()
        self.log: list[str] = []

    def pod_step(self, number: int) -> None:
        pod, what = self.rng.choice(PODS), self.rng.choice([*WORK, "commit", "commit"])
        self.log.append(f"{pod}: {what}")
        script = f"cd /workspaces/repo && POD={pod} N={number} && {{ {WORK[what]}; }}"
        self.project.exec(pod, "sh", "-c", script)

    def host_step(self, number: int) -> None:
        what = self.rng.choice(HOST)
        self.log.append(f"host: {what}")
        git, root = self.project.git, self.project.root
        if what == "commit":
            (root / f"host.{number % 3}").write_text(f"{number}\n")
            self.project.commit(f"host {number}")
        elif what == "amend":
            git("commit", "-q", "--amend", "--allow-empty", "-m", f"again {number}")
        elif what == "branch":
            git("branch", "-f", f"h-{number}")
        elif what == "delete":
            for name in self.project.repo.refs("refs/heads/h-*"):
                git("update-ref", "-d", name)
        elif what == "merge":
            name = f"refs/remotes/rumpelpod/{self.rng.choice(PODS)}"
            if self.project.repo.run_git("merge", "-q", "-m", "merge", name).returncode:
                self.project.repo.run_git("merge", "--abort")
        else:
            git("reflog", "expire", "--expire=now", "--all")
            git("gc", "-q", "--prune=now")

    def kill(self) -> None:
        """In the middle of whatever the last step set off."""
        time.sleep(self.rng.choice((0.0, 0.02, 0.05, 0.1)))
        self.project.home.kill_daemon()
        self.log.append("daemon killed")
        self.is_up = False

    def start(self) -> None:
        if not self.is_up:
            self.log.append("daemon started")
            self.project.run("list").assert_ok()
            self.is_up = True

    def wanted(self) -> dict[str, str]:
        """What the host has to show now."""
        found: dict[str, str] = {}
        for pod in PODS:
            listed = self.project.exec(
                pod,
                "git",
                "-C",
                "/workspaces/repo",
                "for-each-ref",
                "--format=%(refname:lstrip=2) %(objectname)",
                "refs/heads",
            ).stdout
            branches = dict(line.split(" ") for line in listed.splitlines())
            found |= {f"{name}@{pod}": oid for name, oid in branches.items()}
            found |= {pod: branches[pod]} if pod in branches else {}
        return found

    def meet(self) -> None:
        """Wait until the host shows what the pods have; that must be there at the end."""
        wanted = self.wanted()
        self.project.wait_until(
            lambda: self.project.repo.published() == wanted,
            f"both sides show the same, after {self.log}",
            timeout_s=SYNC_S,
        )
        self.held |= set(wanted.values())

    def lost(self) -> set[str]:
        return self.held - set(self.project.git("rev-list", "--all").split())


def play(project: Project, seed: int) -> None:
    history = History(project, seed)
    history.meet()
    for number in range(1, STEPS + 1):
        if history.rng.random() < 0.25:
            history.host_step(number)
        else:
            history.pod_step(number)
        if history.is_up and history.rng.random() < 0.25:
            history.kill()
        elif not history.is_up and history.rng.random() < 0.5:
            history.start()
        if history.is_up:
            history.meet()
    history.start()
    history.meet()
    assert not history.lost(), f"seed {seed}: {history.log}"
    project.git("fsck", "--connectivity-only", "--no-dangling")


@pytest.mark.timeout(120 + 120 * HISTORIES)
@pytest.mark.slow
def test_random_histories_lose_nothing(
    rumpel_project: ProjectFactory, record_property: Callable[[str, object], None]
) -> None:
    record_property("histories", HISTORIES)
    first = int(os.environ.get("RUMPEL_SEED", random.randrange(1 << 30)))
    project = rumpel_project()
    for seed in range(first, first + HISTORIES):
        project.run("create", *PODS).assert_ok()
        try:
            play(project, seed)
        except AssertionError as error:
            raise AssertionError(f"RUMPEL_SEED={seed}: {error}") from error
        project.run("delete", "--force", *PODS).assert_ok()
