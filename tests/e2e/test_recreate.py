"""`recreate`: what changed decides what is done, and no byte of work is lost."""

from __future__ import annotations

import json
import random
from typing import Any

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
