"""A pod that gets a new container starts from a prebuild, like a new one, with its own files."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest
from docker.errors import APIError

from rumpel import names
from tests.support.dirty import FILES as WORKED_IN
from tests.support.dirty import dirty, photo
from tests.support.engine import MINI_IMAGE
from tests.support.exact import differences, picture
from tests.support.project import CONFIG_NAMES, Project, ProjectFactory
from tests.support.repo import Content

FOLDER = "/workspaces/repo"
WHERE = "$(git branch --show-current)"
"""The pod, or `prebuild`: a builder in Podman has no name of its own."""
ON_CREATE = (
    f"echo {WHERE} >>/tmp/ran; cat /proc/sys/kernel/random/uuid >/tmp/run;"
    "mkdir -p target/deep; cat lock >target/deep/built; [ -e .env ] || echo made >.env"
)
"""A line each time it runs, and one more that says which run it was."""
FILES: dict[str, Content] = {
    **WORKED_IN,
    "lock": "1\n",
    ".gitignore": "*.log\nignored/\ntarget/\n.env\n",
}
LOCKED = {"minDuration": 0, "inputs": ["lock"]}
WHOLE = {"minDuration": 0}


def configured(**more: Any) -> dict[str, Any]:
    return {
        "image": MINI_IMAGE,
        "runArgs": ["--network=none"],
        "onCreateCommand": ON_CREATE,
        **more,
    }


def project_of(make: ProjectFactory, prebuild: dict[str, Any], **more: Any) -> Project:
    settings = {"prebuild": prebuild, "shareBranches": False}
    files = {**FILES, ".rumpelpod.json": json.dumps(settings)}
    return make(files, config=configured(**more))


def configure(project: Project, **more: Any) -> None:
    """The configuration of the repository, uncommitted."""
    (project.root / CONFIG_NAMES[0]).write_text(json.dumps(configured(**more)))


def told(project: Project, pod: str, file: str = "/tmp/ran") -> str:
    return project.exec(pod, "cat", file, cwd=FOLDER).stdout.strip()


def by(project: Project, pod: str, command: str = "onCreateCommand") -> str:
    """The prebuild that ran it; empty: the pod did."""
    data = project.run("graph", pod, "--json", "--why", command).assert_ok().data
    (found,) = data["nodes"]
    assert found["state"] == "cached", found
    return str(found["by"] or "")


def test_pods_share_what_ran_once(rumpel_project: ProjectFactory) -> None:
    """After one change, with all kinds of work in them; and there is nothing left to do."""
    project, pods = project_of(rumpel_project, LOCKED), ("a", "b")
    project.run("create", *pods).assert_ok()
    seed = random.randrange(1 << 30)
    project.inside("a", dirty(random.Random(seed), "merge").replace(" p;", " a;"))
    project.inside("b", "echo b >b; git add b; git commit -qm b; echo more >>b; echo mine >.env")
    project.inside("b", "git rm -q run.sh; echo old >target/deep/old; echo x >target/x")
    before = {pod: whole(project, pod) for pod in pods}
    shown = {pod: seen(project, pod) for pod in pods}
    before = {pod: whole(project, pod) for pod in pods}
    configure(project, containerEnv={"COLOUR": "red"})
    clients = [project.start("recreate", pod) for pod in pods]
    assert [client.wait() for client in clients] == [0, 0]
    for pod in pods:
        after = whole(project, pod)
        gone = [
            path for path in before[pod] if path not in after and path.endswith((".log", ".tmp"))
        ]
        assert differences({k: v for k, v in before[pod].items() if k not in gone}, after) == []
        assert seen(project, pod) == shown[pod], f"seed {seed}"
        assert (told(project, pod), project.inside(pod, "echo $COLOUR")) == ("prebuild", "red")
        assert project.inside(pod, "cd target; find . -type f; cat deep/built") == "./deep/built\n1"
        plan = project.run("recreate", pod, "--plan").assert_ok().stdout
        assert plan == f"{pod}: nothing to do: it is up to date\n"
    assert told(project, "a", "/tmp/run") == told(project, "b", "/tmp/run")
    assert by(project, "a") == by(project, "b") != ""
    assert (told(project, "a", ".env"), told(project, "b", ".env")) == ("made", "mine")
    project.run("create", "c").assert_ok()
    assert told(project, "c", "/tmp/run") == told(project, "a", "/tmp/run"), "a new one has it, too"
    project.run("recreate", "a", "--refresh", "onCreateCommand").assert_ok()
    assert (told(project, "a"), by(project, "a")) == ("prebuild\na", ""), "asked for, it ran here"


def seen(project: Project, pod: str) -> list[str]:
    return [line for line in photo(project, pod) if "target" not in line]


def whole(project: Project, pod: str) -> dict[str, tuple[object, ...]]:
    """But for what is ignored as the result of the command."""
    return picture(
        project.docker, project.container_id(pod), FOLDER, without=("target/", "ignored/")
    )


WORKS: dict[str, dict[str, tuple[str, bool]]] = {
    "named": {
        "changed": ("echo 2 >lock", False),
        "committed": ("echo 2 >lock; git commit -qam lock", False),
        "hidden": ("git update-index --assume-unchanged lock; echo 2 >lock", False),
        "new": ("mkdir deep; echo new >deep/lock", False),
        "removed": ("rm lock", False),
        "inside": ("mkdir in; git -C in init -q; echo n >in/lock", False),
        "beside": ("mkdir in; git -C in init -q; echo n >in/n", True),
        "shown": ("printf '*.log\\n.env\\n' >.gitignore", False),
        "other": (
            "echo o >o; git add o; git commit -qm o; echo o >>src/app.py; echo l >l.log",
            True,
        ),
        "gone": ("git rm -qr --cached docs; rm -r docs; echo docs/ >>.git/info/exclude", True),
    },
    "all": {
        "same": ("echo log >x.log", True),
        "kept": ("echo mine >.env", False),
        "deep": ("mkdir -p target/deep; echo mine >target/deep/.env", False),
        "new": ("echo new >new", False),
        "mine": ("echo mine >>src/app.py; git commit -qam mine", False),
    },
}
"""What is done in a pod, and whether the prebuild still fits it."""


@pytest.mark.parametrize("depends_on", WORKS)
def test_only_where_it_is_like_the_pod(rumpel_project: ProjectFactory, depends_on: str) -> None:
    """What the commands depend on is theirs to say; else it is every file."""
    project = project_of(rumpel_project, LOCKED if depends_on == "named" else WHOLE)
    works = WORKS[depends_on]
    project.run("create", *works).assert_ok()
    for pod, (work, _) in works.items():
        project.exec(pod, "sh", "-ec", f"{TRUSTED}; {work}", cwd=FOLDER)
    before = {pod: seen(project, pod) for pod in works}
    configure(project, containerEnv={"COLOUR": "red"})
    clients = [project.start("recreate", pod) for pod in works]
    assert [client.wait() for client in clients] == [0] * len(works)
    for pod, (_, is_fit) in works.items():
        assert told(project, pod) == ("prebuild" if is_fit else pod)
        assert bool(by(project, pod)) is is_fit, pod
        assert seen(project, pod) == before[pod], pod


TRUSTED = (
    "git config --global safe.directory '*'; git config user.name a; git config user.email a@b"
)


def builders(project: Project) -> list[str]:
    label = project.home.label
    assert label, "an empty label would stand for everything on the engine"
    kind = f"{names.LABEL_KIND}=prebuild"
    return [str(item["Id"]) for item in project.docker.containers(label, kind)]


def test_files_that_change_while_it_is_made(rumpel_project: ProjectFactory) -> None:
    """What counts is the pod when nobody works in it any more."""
    waits = f"[ {WHERE} != prebuild ] || until [ -e /tmp/go ]; do sleep 0.1; done"
    command = f"{ON_CREATE}; {waits}"
    project = project_of(rumpel_project, LOCKED, onCreateCommand=command)
    project.run("create", "p", "--no-prebuild").assert_ok()
    configure(project, containerEnv={"COLOUR": "red"}, onCreateCommand=command)
    client = project.start("recreate", "p")

    def runs() -> list[str]:
        """The builder, when the command runs in it; of an engine that is slow there is a second."""
        found = []
        for one in builders(project):
            with contextlib.suppress(APIError):  # it is not started yet, or gone
                if not project.docker.exec(one, "test", "-e", "/tmp/run", check=False).code:
                    found.append(one)
        return found

    project.wait_until(lambda: bool(runs()), "the command runs in a builder")
    (builder,) = runs()
    assert project.exec("p", "sh", "-c", f"cd {FOLDER}; echo 2 >lock; echo l >x.log").code == 0
    assert project.docker.exec(builder, "touch", "/tmp/go").code == 0
    assert client.wait() == 0
    assert told(project, "p") == "p"
    assert project.inside("p", "cat lock target/deep/built; ls *.log || :") == "2\n2"
    assert by(project, "p") == ""


FLAGS = {
    "keep": ("--keep", "target"),
    "deep": ("--keep", "target/deep"),
    "never": ("--no-prebuild",),
    "asked": ("--refresh", "onCreateCommand"),
    "stopped": (),
}


def test_else_the_commands_run_in_the_pod(rumpel_project: ProjectFactory) -> None:
    project = project_of(rumpel_project, LOCKED)
    project.run("create", "--no-prebuild", *FLAGS).assert_ok()
    for pod in FLAGS:
        project.exec(pod, "sh", "-ec", "echo old >target/old; echo mine >mine", cwd=FOLDER)
    project.run("stop", "stopped").assert_ok()
    configure(project, containerEnv={"COLOUR": "red"})
    clients = [project.start("recreate", pod, *flags) for pod, flags in FLAGS.items()]
    assert [client.wait() for client in clients] == [0] * len(FLAGS)
    for pod in FLAGS:
        assert told(project, pod) == pod
        assert by(project, pod) == "", pod
        shown = project.exec(
            pod, "sh", "-c", "cat mine; cat target/old 2>/dev/null || :", cwd=FOLDER
        )
        assert shown.stdout.split() == (["mine", "old"] if pod == "keep" else ["mine"]), pod


@pytest.mark.parametrize(
    ("more", "images"),
    [("echo made >made", 1), (f"[ {WHERE} != prebuild ]", 0)],
    ids=["leaves a file", "fails"],
)
def test_a_prebuild_that_is_none(rumpel_project: ProjectFactory, more: str, images: int) -> None:
    """Known to leave what a pod could not take over, it is not made a second time."""
    command = f"{ON_CREATE}; {more}"
    project = project_of(rumpel_project, LOCKED, onCreateCommand=command)
    project.run("create", "p", "--no-prebuild").assert_ok()
    for colour in ("red", "blue"):
        configure(project, containerEnv={"COLOUR": colour}, onCreateCommand=command)
        project.run("recreate", "p").assert_ok()
        assert (told(project, "p"), by(project, "p")) == ("p", "")
    kind = f"{names.LABEL_KIND}=prebuilt"
    assert len(project.docker.images(str(project.home.label), kind)) == images
    assert builders(project) == []


def test_new_content_is_for_update_content_command(rumpel_project: ProjectFactory) -> None:
    """It goes on from what is there; where nothing is new it does not run again."""
    update = f"echo {WHERE} >>/tmp/updated"
    project = project_of(rumpel_project, LOCKED, updateContentCommand=update)
    project.run("create", "same", "moved").assert_ok()
    project.inside("moved", "echo other >other")
    configure(project, containerEnv={"COLOUR": "red"}, updateContentCommand=update)
    for pod in ("moved", "same"):
        project.run("recreate", pod).assert_ok()
        assert told(project, pod) == "prebuild"
    assert told(project, "moved", "/tmp/updated") == "prebuild\nmoved"
    assert told(project, "same", "/tmp/updated") == "prebuild"
    assert by(project, "same", "updateContentCommand") != ""


def test_a_pod_that_took_in_more_of_the_host(rumpel_project: ProjectFactory) -> None:
    """It is compared with the newest commit of the host that it has."""
    project = project_of(rumpel_project, LOCKED)
    project.run("create", "p").assert_ok()
    project.commit("other inputs", {"lock": "2\n"})
    project.run("create", "q").assert_ok()
    project.inside("p", "git fetch -q host; git rebase -q host/main; echo p >p; git add p")
    project.inside("p", "git commit -qm p")
    tip = project.inside("p", "git rev-parse HEAD")
    project.wait_for_ref("p", tip)
    run = told(project, "q", "/tmp/run")
    project.run("recreate", "p", "--force").assert_ok()
    assert told(project, "p", "/tmp/run") == run
    assert project.inside("p", "cat target/deep/built; git rev-parse HEAD") == f"2\n{tip}"
