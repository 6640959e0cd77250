"""`recreate`: what changed decides what is done, and no byte of work is lost."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.support.dirty import dirty, photo
from tests.support.engine import MINI_IMAGE
from tests.support.exact import Picture, differences, picture
from tests.support.project import CONFIG_NAMES, Project, ProjectFactory
from tests.support.repo import Content

BASE: dict[str, Any] = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}
FOLDER = "/workspaces/repo"
FILES: dict[str, Content] = {
    ".gitignore": "*.log\nignored/\n.env\n",
    ".gitattributes": "*.crlf text eol=crlf\n",
    "src/app.py": "print(1)\n",
    "src/lib.py": "print(2)\n",
    "docs/one.crlf": "a\r\nb\r\n",
    "run.sh": "#!/bin/sh\n",
    "data.bin": bytes(range(256)),
}


def configure(project: Project, **changes: Any) -> None:
    """The configuration of the repository, uncommitted; None takes a field out."""
    fields = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
    (project.root / CONFIG_NAMES[0]).write_text(json.dumps(fields))


def inside(project: Project, pod: str, script: str) -> str:
    return project.run("enter", pod, "--", "sh", "-ec", script).assert_ok().stdout.strip()


def exact(project: Project, pod: str) -> Picture:
    return picture(project.docker, project.container_id(pod), FOLDER, without=("ignored/",))


def test_a_new_container_has_every_byte(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    seed = random.randrange(1 << 30)
    inside(project, "p", dirty(random.Random(seed), "merge"))
    inside(
        project, "p", "echo secret >.env; mkdir -p ignored; echo big >ignored/big; echo l >l.log"
    )
    first = project.container_id("p")
    image = project.docker.inspect(first)["Image"]
    before, shown = exact(project, "p"), photo(project, "p")
    before = exact(project, "p")
    again = project.run("recreate", "p").assert_ok()
    assert again.stdout == "p: up to date\n"
    assert project.container_id("p") == first
    configure(project, containerEnv={"COLOUR": "red"})
    told = project.run("recreate", "p", "--plan").assert_ok().stdout
    assert told.startswith("p: would make a new container\n")
    assert "container: containerEnv.COLOUR None -> red" in told
    assert project.container_id("p") == first
    done = project.run("recreate", "p", "--json").assert_ok().data
    assert done["action"] == "new container"
    second = project.container_id("p")
    assert second != first
    assert done["container_id"] == second
    assert project.docker.inspect(second)["Image"] == image
    after = exact(project, "p")
    gone = {name for name in before if name not in after}
    assert gone == {name for name in before if name.endswith((".log", ".tmp"))}, f"seed {seed}"
    for name in gone:
        del before[name]
    assert differences(before, after) == [], f"seed {seed}"
    assert photo(project, "p") == shown, f"seed {seed}"
    assert inside(project, "p", "echo $COLOUR; cat .env; ls ignored 2>&1 || :") == (
        "red\nsecret\nls: ignored: No such file or directory"
    )
    assert project.run("recreate", "p").assert_ok().stdout == "p: up to date\n"
    assert project.container_id("p") == second
    project.run("delete", "--force", "p").assert_ok()
    assert project.containers() == []


def assert_same_work(project: Project, before: Picture, *, why: str) -> None:
    """Nothing but ignored files differs."""
    after = exact(project, "p")
    kept = {
        name: item
        for name, item in before.items()
        if name in after or not name.endswith((".log", ".tmp"))
    }
    assert differences(kept, after) == [], why


def pid_of(project: Project) -> tuple[str, int]:
    found = project.docker.inspect(project.container_id("p"))
    return found["Id"], found["State"]["Pid"]


@pytest.mark.parametrize("state", ["stopped", "broken"])
def test_a_pod_that_does_not_run_loses_nothing(rumpel_project: ProjectFactory, state: str) -> None:
    """Nothing can be asked in it, so its ignored files are told from others in the new one."""
    project = rumpel_project(FILES)
    network = f"{project.home.path.name.lower()}-net"
    if state == "broken":
        project.docker.api.create_network(network)
    try:
        if state == "broken":
            configure(project, runArgs=[f"--network={network}"])
        seed = random.randrange(1 << 30)
        inside(project, "p", dirty(random.Random(seed), "rebase"))
        inside(project, "p", "echo secret >.env; mkdir -p ignored; echo big >ignored/big")
        shown = photo(project, "p")
        first = project.container_id("p")
        project.run("stop", "p").assert_ok()  # looks for work in it, which touches objects
        before = exact(project, "p")
    finally:
        if state == "broken":
            project.docker.api.remove_network(network)
    if state == "broken":
        assert project.run("enter", "p", "--", "true").code != 0
    configure(project, containerEnv={"COLOUR": "red"})
    project.run("recreate", "p").assert_ok()
    assert project.container_id("p") != first
    assert_same_work(project, before, why=f"seed {seed}")
    assert photo(project, "p") == shown, f"seed {seed}"
    assert inside(project, "p", "echo $COLOUR; cat .env; ls -A ignored 2>/dev/null || :") == (
        "red\nsecret"
    )


def test_what_fails_leaves_the_pod_as_it_was(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({**FILES, "Dockerfile": f"FROM {MINI_IMAGE}\n"}, config=BASE)
    seed = random.randrange(1 << 30)
    inside(project, "p", dirty(random.Random(seed), "cherry-pick"))
    before, first = exact(project, "p"), pid_of(project)
    (project.root / "Dockerfile").write_text(f"FROM {MINI_IMAGE}\nRUN false\n")
    configure(project, image=None, build={"dockerfile": "../Dockerfile", "context": ".."})
    project.run("recreate", "p").assert_code(6)
    assert pid_of(project) == first, "a build that fails does not touch it"
    configure(project, overrideCommand=False, containerEnv={"A": "b"})
    failed = project.run("recreate", "p").assert_code(6)
    assert "ended at once" in failed.stderr
    assert pid_of(project)[0] == first[0], "the old one is started again"
    assert_same_work(project, before, why=f"seed {seed}")
    configure(project)
    oid = inside(
        project,
        "p",
        "git cherry-pick --quit; git reset -q --hard; git switch -qf p;"
        "git commit -q --allow-empty -m on; git rev-parse HEAD",
    )
    project.wait_for_ref("p", oid)
    assert len(project.containers("p")) == 1
    project.run("recreate", "q").assert_error(3, "does not exist")


def test_the_smallest_action(rumpel_project: ProjectFactory) -> None:
    """One pod, many changes: container id and process ids say what was really done."""
    project = rumpel_project(FILES)
    project.run("create", "p").assert_ok()
    first = pid_of(project)

    def recreate(*flags: str, **changes: Any) -> str:
        configure(project, **changes)
        return str(project.run("recreate", "p", "--json", *flags).assert_ok().data["action"])

    assert recreate() == "nothing"
    assert recreate(remoteEnv={"COLOUR": "blue"}) == "later"
    assert inside(project, "p", "echo $COLOUR") == "blue"
    assert recreate(remoteEnv={"COLOUR": "blue"}, forwardPorts=[9300]) == "ports"
    assert recreate(postCreateCommand="echo ran >>/tmp/ran") == "lifecycle"
    assert recreate(postCreateCommand="echo again >>/tmp/ran") == "lifecycle"
    assert inside(project, "p", "cat /tmp/ran") == "ran\nagain"
    assert pid_of(project) == first
    assert recreate("--plan", "--force") == "new container"
    assert pid_of(project) == first
    assert recreate("--force") == "new container"
    second = pid_of(project)
    assert second[0] != first[0]
    assert inside(project, "p", "mkdir -p ignored/a; echo 1 >ignored/a/1; echo 2 >.env") == ""
    assert recreate("--force", "--keep", "ignored/a") == "new container"
    assert inside(project, "p", "cat ignored/a/1 .env") == "1\n2"
    assert recreate("--clean") == "new container"
    assert inside(project, "p", "ls -A ignored .env 2>/dev/null || :") == ""
