"""What belongs to a pod outlives its container; what belongs to the container does not.

notes/original.md part 5, specs 55-60, and part 4, traps 5 and 19.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import CONFIG_NAMES, ProjectFactory
from tests.support.repo import Content

FILES: dict[str, Content] = {"tracked": "one\n"}


def test_what_a_new_container_has_of_the_old_one(rumpel_project: ProjectFactory) -> None:
    volume = f"{rumpel_project.home.path.name.lower()}-data"
    config: dict[str, Any] = {
        "image": MINI_IMAGE,
        "runArgs": ["--network=none"],
        "remoteUser": "dev",
        "containerEnv": {"ID": "${devcontainerId}"},
        "mounts": [
            f"type=volume,source={volume},target=/data",
            "type=volume,target=${localEnv:WHERE:/cache/one}",
        ],
        "updateContentCommand": "echo ran >>/tmp/updates",
    }
    project = rumpel_project(FILES, config=config)
    project.docker.api.create_volume(volume)
    try:
        project.run("create", "p", "q", "--trust").assert_ok()
        own, other = (project.inside(pod, "echo $ID") for pod in ("p", "q"))
        assert len({own, other, ""}) == 3
        project.inside(
            "p", "echo kept >/data/file; echo gone >/tmp/file; echo 2 >tracked; echo new >untracked"
        )
        project.inside("p", "touch /cache/one/mine")

        # A start is no change of content.
        project.run("stop", "p").assert_ok()
        project.run("daemon", "restart").assert_ok()
        assert project.inside("p", "cat /tmp/updates /tmp/file") == "ran\ngone"

        changed = {**config, "containerEnv": {**config["containerEnv"], "NEW": "1"}}
        project.write({CONFIG_NAMES[0]: changed})
        project.run("recreate", "p").assert_ok()
        look = "echo $ID $NEW; cat /data/file tracked untracked; ls /cache/one; ls /tmp/file 2>&1"
        assert project.inside("p", f"{look} || :").splitlines() == [
            *(f"{own} 1", "kept", "2", "new", "mine", "ls: /tmp/file: No such file or directory")
        ]

        # A mount that moves is as much the user's as the first one was.
        project.run("recreate", "p", "--trust", env={"WHERE": "/cache/two"}).assert_ok()
        look = "touch /cache/two/new; ls /cache; cat /data/file"
        assert project.inside("p", look).split() == ["two", "kept"]
        project.run("delete", "--force", "p", "q").assert_ok()
    finally:
        project.run("delete", "--force", "p", "q")
        project.docker.api.remove_volume(volume, force=True)


def test_values_of_an_env_file_are_in_a_fork(rumpel_project: ProjectFactory) -> None:
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none", "--env-file=.devcontainer/env"]}
    project = rumpel_project(
        {".devcontainer/env": "# comment\nSECRET=of the file\nOTHER=2\n"}, config=config
    )
    project.run("create", "p", "--trust").assert_ok()
    project.run("fork", "p", "q").assert_ok()
    ask = "echo $SECRET, $OTHER"
    assert project.inside("q", ask) == project.inside("p", ask) == "of the file, 2"
    project.run("delete", "--force", "p", "q").assert_ok()


DOCKERFILE = f"FROM {MINI_IMAGE}\nCOPY . /baked\n"
SHARED: dict[str, Any] = {
    "build": {"dockerfile": "../image/Dockerfile", "context": ".."},
    "runArgs": ["--network=none"],
    "workspaceFolder": "/ws",
}


@pytest.mark.one_in(2)
def test_equal_files_share_an_image_and_no_history(rumpel_project: ProjectFactory) -> None:
    """Traps 17 and 18: the key is what a build can see, wherever that lies; no more, no less."""
    files: dict[str, Content] = {"image/Dockerfile": DOCKERFILE, ".dockerignore": ".git\n"}
    one, two = (rumpel_project(files, config=SHARED, name=name) for name in ("one", "two"))
    images = set()
    for project in (one, two):
        project.run("create", "p").assert_ok()
        images.add(project.docker.inspect(project.container_id("p"))["Image"])
        project.run("delete", "p").assert_ok()
    assert len(images) == 1, "two clones, one image"

    # With git's folder in the context, it is part of the key.
    for project in (one, two):
        (project.root / ".dockerignore").unlink()
    two.git("branch", "secret-plan")
    listed = {
        project.root.name: project.inside("p", "git -C /baked branch --list 'secret*'")
        for project in (one, two)
    }
    assert listed == {"one": "", "two": "secret-plan"}
    oid = two.inside("p", "git commit -q --allow-empty -m work; git rev-parse HEAD")
    two.wait_for_ref("p", oid)
    told = two.run("recreate", "p").assert_ok().stdout
    assert told == "p: up to date\n", "what a pod publishes is no part of it"

    # Without, history is none of the image's business: it comes from the seed, not by a copy.
    inner = {**SHARED, "build": {"dockerfile": "../image/Dockerfile", "context": "../image"}}
    one.write({CONFIG_NAMES[0]: inner})
    one.run("create", "q").assert_ok()
    oid = one.commit("history goes on", {"elsewhere": "x\n"})
    one.run("create", "r").assert_ok()
    assert len({one.docker.inspect(one.container_id(pod))["Image"] for pod in ("q", "r")}) == 1
    told = one.inside("r", "git rev-parse HEAD; git count-objects -v | grep '^count\\|^in-pack'")
    assert told.splitlines() == [oid, "count: 0", "in-pack: 0"]
    one.run("delete", "--force", "p", "q", "r").assert_ok()
    two.run("delete", "--force", "p").assert_ok()
