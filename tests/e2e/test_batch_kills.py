"""A daemon that is killed again and again while a batch runs: all is done, and nothing twice."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess

import pytest

from tests.e2e.test_batch import COMMIT, states, task
from tests.support.project import ProjectFactory

IS_LONG = os.environ.get("RUMPEL_LONG") == "1"
TASKS, KILLS = (50, 20) if IS_LONG else (8, 4)


@pytest.mark.timeout(3600 if IS_LONG else 400)
def test_random_kills(rumpel_project: ProjectFactory) -> None:
    rng = random.Random(int(os.environ.get("RUMPEL_SEED", "7")))
    project = rumpel_project()
    work = "echo x >>/tmp/tries; sleep 1; echo {0} >{0} && {1}"
    tasks = [
        task(
            f"t{n}",
            work.format(f"t{n}", COMMIT.format(f"t{n}")),
            needs=[f"t{n - 10}"] if n >= TASKS - 5 and n >= 10 else [],
            verify=f"test -f t{n}",
            keep=True,
        )
        for n in range(TASKS)
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks, "concurrency": 8})})
    for _ in range(KILLS):
        running = project.start("batch", "run", "batch.json")
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=rng.uniform(0.3, 6.0))
        project.home.kill_daemon()
        running.wait(timeout=60)
    project.run("batch", "run", "batch.json", timeout=1800).assert_ok()
    status = json.loads(project.run("batch", "status", "--json").assert_ok().stdout)
    assert set(states(status).values()) == {"done"}
    containers = [row["Labels"]["rumpel.pod"] for row in project.containers()]
    assert sorted(containers) == sorted(states(status)), "no container twice"
    tries = {name: project.exec(name, "cat", "/tmp/tries").stdout for name in containers}
    assert {name: said for name, said in tries.items() if said != "x\n"} == {}
