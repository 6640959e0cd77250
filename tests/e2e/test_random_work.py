"""Random work in pods of every state that are recreated: no byte of it is lost."""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.test_recreate import BASE, BUILD, FILES, assert_same_work, configure, exact
from tests.support.dirty import PROGRESS, dirty
from tests.support.engine import MINI_IMAGE
from tests.support.exact import differences
from tests.support.project import Project, ProjectFactory

ROUNDS = int(os.environ.get("RUMPEL_ROUNDS", "2"))
"""Of random work; scripts/long takes 500. Read when imported: no test sees the caller's."""
Record = Callable[[str, object], None]
AS_NEW = r"""
rm -rf .git/rebase-merge .git/rebase-apply .git/MERGE_* .git/CHERRY_PICK_HEAD .git/index
git symbolic-ref HEAD refs/heads/p
git for-each-ref --format='delete %(refname)' refs/tags refs/notes refs/stash refs/heads/other |
    git update-ref --stdin
rm -f .git/info/exclude
git reset -q --hard "$(git rev-list --max-parents=0 p)"
git clean -qffdx
"""
"""A script that makes the workspace what it was when the pod was new."""


class Rounds:
    """Random work in one pod that is recreated again and again, now and then in a new one.

    What the next round needs is part of what the pod is recreated to, so that most rounds make
    no pod and delete none: half of what a round took. `n % 2`: an image of the round before last
    is there, with what rumpel found out about it.
    """

    NEW_POD = 10

    def __init__(self, project: Project, rng: random.Random) -> None:
        self.project, self.rng = project, rng
        self.state, self.network = "", contextlib.ExitStack()

    def configure(self, **changes: Any) -> None:
        """With what the state of the next round needs."""
        self.state = self.rng.choice(("running", "stopped", "killed", "broken"))
        if self.state == "broken":
            name = self.network.enter_context(self.project.network())
            changes["runArgs"] = [f"--network={name}"]
        configure(self.project, **changes)

    def work(self) -> None:
        """In the pod, which then is in its state; in a new one when there is none."""
        script = dirty(self.rng, self.rng.choice(tuple(PROGRESS)))
        run = ("p", "--trust", "--", "sh", "-ec", f"{AS_NEW}\n{script}")
        self.project.run("enter", *run).assert_ok()
        if self.state == "stopped":
            self.project.run("stop", "p").assert_ok()
        elif self.state != "running":
            container = self.project.container_id("p")
            self.project.docker.api.kill(container)
            self.project.docker.api.wait(container)
        self.network.close()

    def survive(self, number: int, why: str) -> None:
        project = self.project
        dockerfile = project.root / "Dockerfile"
        before, first = exact(project, "p"), project.container_id("p")
        changes = {"image": None, "build": BUILD, "containerEnv": {"ROUND": str(number)}}
        configure(project, **changes)
        dockerfile.write_text(f"FROM {MINI_IMAGE}\nRUN exit {number % 200 + 1}\n")
        project.run("recreate", "p").assert_code(6)
        assert project.container_id("p") == first, why
        assert differences(before, exact(project, "p")) == [], why
        dockerfile.write_text(f"FROM {MINI_IMAGE}\nENV R={number % 2}\n")
        self.configure(**changes)
        project.run("recreate", "p", "--trust").assert_ok()
        assert project.container_id("p") != first, why
        assert_same_work(project, before, why=why)
        shown = project.exec("p", "sh", "-c", "echo $ROUND $R").stdout
        assert shown == f"{number} {number % 2}\n", why


@pytest.mark.timeout(7200 if ROUNDS > 5 else 240)
@pytest.mark.slow
def test_random_work_survives(rumpel_project: ProjectFactory, record_property: Record) -> None:
    """In pods of every state, with a build that fails first and one that does not."""
    project = rumpel_project({**FILES, "Dockerfile": f"FROM {MINI_IMAGE}\n"}, config=BASE)
    seed, number = random.randrange(1 << 30), 0
    rounds = Rounds(project, random.Random(seed))
    try:
        with rounds.network:
            for number in range(ROUNDS):
                if number % Rounds.NEW_POD == 0:
                    project.run("delete", "--force", "p")
                    rounds.network.close()
                    rounds.configure()
                why = f"round {number} of seed {seed}, {rounds.state}"
                rounds.work()
                rounds.survive(number, why)
    finally:
        record_property("examples", number + 1)
    project.run("delete", "--force", "p").assert_ok()
