"""What an image says in its label devcontainer.metadata: merged below the configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pexpect
import pytest

from tests.support.engine import MINI_IMAGE, Engine
from tests.support.project import Project, ProjectFactory

pytestmark = [pytest.mark.slow]
Labelled = Callable[..., str]


@pytest.fixture
def labelled(docker_engine: Engine, rumpel_project: ProjectFactory) -> Iterator[Labelled]:
    """An image with a label, its Dockerfile's other lines given; its tag."""
    made: list[str] = []

    def build(name: str, entries: Any, *lines: str) -> str:
        text = entries if isinstance(entries, str) else json.dumps(entries)
        escaped = json.dumps(text).replace("$", "\\$")
        tag = f"rumpel-test-label-{name}:{id(made)}"
        label = f"LABEL devcontainer.metadata={escaped}"
        docker_engine.build(tag, "\n".join([f"FROM {MINI_IMAGE}", *lines, label]))
        made.append(tag)
        return tag

    yield build
    for tag in made:
        docker_engine.api.remove_image(tag, force=True)


def user(name: str, number: int) -> str:
    return f"RUN echo {name}:x:{number}:{number}::/tmp:/bin/sh >>/etc/passwd"


def configured(project: Project, config: dict[str, Any]) -> None:
    text = json.dumps({"runArgs": ["--network=none"], **config})
    project.commit("configuration", {".devcontainer/devcontainer.json": text})


def test_the_image_says_and_the_file_has_the_last_word(
    rumpel_project: ProjectFactory, labelled: Labelled
) -> None:
    entries = [
        {
            "id": "registry.invalid/features/base:1",
            "remoteUser": "root",
            "onCreateCommand": "echo base-on-create >>/tmp/hooks",
            "entrypoint": "sh -c 'echo from-image >/tmp/entry'",
            "containerEnv": {"A": "image", "B": "image"},
        },
        {
            "remoteUser": "dev",
            "remoteEnv": {"C": "${containerEnv:B}-remote", "D": "image"},
            "postCreateCommand": {"x": "echo image-post-create >>/tmp/hooks"},
            "mounts": ["type=volume,target=/data", {"type": "volume", "target": "/more"}],
            "forwardPorts": [4711],
            "build": {"dockerfile": "/etc/passwd"},
            "initializeCommand": "touch /tmp/never",
        },
    ]
    image = labelled("full", entries, user("dev", 1000))
    project = rumpel_project()
    configured(
        project,
        {
            "image": image,
            "containerEnv": {"B": "file"},
            "remoteEnv": {"D": "file"},
            "onCreateCommand": "echo file-on-create >>/tmp/hooks",
        },
    )
    project.run("create", "a").assert_ok()
    assert project.inside("a", "id -un") == "dev"
    assert project.inside("a", "echo $A $B $C $D") == "image file file-remote file"
    hooks = project.inside("a", "cat /tmp/hooks").splitlines()
    assert hooks == ["base-on-create", "file-on-create", "image-post-create"]
    assert project.inside("a", "cat /tmp/entry") == "from-image"
    assert project.inside("a", "touch /data/x /more/x && echo ok") == "ok"
    assert "4711" in project.run("ports", "a").assert_ok().stdout
    graph = project.run("graph", "a").assert_ok().stdout
    assert "onCreateCommand.image-base" in graph
    again = project.run("create", "a").assert_ok()
    assert "changed" not in again.stdout + again.stderr
    plan = project.run("recreate", "--plan", "a", "--json").assert_ok()
    assert json.loads(plan.stdout)["data"]["action"] == "nothing"
    forked = project.run("fork", "a", "b").assert_ok()
    assert "changed" not in forked.stderr
    assert project.inside("b", "id -un; echo $A") == "dev\nimage"


def test_what_touches_the_host_is_asked_for(
    rumpel_project: ProjectFactory, labelled: Labelled
) -> None:
    entries = [{"capAdd": ["SYS_PTRACE"], "remoteEnv": {"S": "${localEnv:MY_SECRET}"}}]
    project = rumpel_project()
    configured(project, {"image": labelled("rights", entries)})
    refused = project.run("create", "a", env={"MY_SECRET": "canary-42"})
    assert refused.code != 0
    assert "adds the capability SYS_PTRACE" in refused.stderr
    assert "as its image asks" in refused.stderr
    assert "MY_SECRET" in refused.stderr
    assert "canary-42" not in refused.stderr
    assert not project.containers(), "nothing is left of it"
    assert not json.loads(project.run("list", "--json").assert_ok().stdout)["data"]
    project.run("create", "a", "--trust", env={"MY_SECRET": "canary-42"}).assert_ok()
    host = project.docker.inspect(project.containers()[0]["Id"])["HostConfig"]
    assert host["CapAdd"] == ["CAP_SYS_PTRACE"]
    project.run("create", "b", env={"MY_SECRET": "canary-42"}).assert_ok()


def test_an_image_that_is_built_says_it_when_it_is_there(
    rumpel_project: ProjectFactory, labelled: Labelled
) -> None:
    base = labelled(
        "base",
        [{"remoteEnv": {"WHO": "base"}}],
        "RUN echo dev:x:1000:1000::/tmp:/bin/sh >>/etc/passwd",
    )
    project = rumpel_project()

    def built(who: str) -> None:
        label = json.dumps(json.dumps([{"remoteUser": who}]))
        lines = [f"FROM {base}", user("other", 1001), f"LABEL devcontainer.metadata={label}"]
        project.write({".devcontainer/Dockerfile": "\n".join(lines)})
        configured(project, {"build": {"dockerfile": "Dockerfile"}})

    built("dev")
    project.run("create", "a").assert_ok()
    assert project.inside("a", "id -un; echo $WHO") == "dev", "the last label counts alone"
    built("other")
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "id -un") == "other"
    made = json.loads(project.run("image", "build", "--json").assert_ok().stdout)
    assert made["data"]["hit"]


@pytest.mark.parametrize(
    ("label", "told"),
    [
        ("{nonsense", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        ('[1, {"remoteUser": 5, "containerEnv": {"GOOD": "yes"}}]', "entry 2: remoteUser"),
        ('[{"mounts": ["type=bind,target=/x", "target=/y"], "containerEnv": {"GOOD": "yes"}}]',
         "mounts[0]"),
        ('{"onCreateCommand": 5, "containerEnv": {"GOOD": "yes"}}', "onCreateCommand"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_and_left_out(
    rumpel_project: ProjectFactory, labelled: Labelled, label: str, told: str
) -> None:
    project = rumpel_project()
    configured(project, {"image": labelled("wrong", label)})
    made = project.run("create", "a").assert_ok()
    assert told in made.stderr
    assert project.inside("a", "echo $GOOD") == ("yes" if "GOOD" in label else "")


def test_who_is_asked_too_late_does_not_take_the_pod_away(
    rumpel_project: ProjectFactory, labelled: Labelled
) -> None:
    """Somebody else made it meanwhile, and works in it."""
    project = rumpel_project()
    configured(project, {"image": labelled("late", [{"capAdd": ["SYS_PTRACE"]}])})
    child = project.spawn("create", "a")
    child.expect_exact(b"SYS_PTRACE")
    project.run("enter", "a", "--trust", "--", "sh", "-c", "echo work >work").assert_ok()
    child.sendline(b"n")
    child.expect_exact(pexpect.EOF)
    assert project.inside("a", "cat work") == "work"


def test_a_question_that_is_cancelled_is_answered(
    rumpel_project: ProjectFactory, labelled: Labelled
) -> None:
    project = rumpel_project()
    configured(project, {"image": labelled("cancel", [{"capAdd": ["SYS_PTRACE"]}])})
    child = project.spawn("create", "a")
    child.expect_exact(b"SYS_PTRACE")
    child.sendintr()
    child.expect_exact(pexpect.EOF)
    project.wait_until(
        lambda: project.run("list", "-q").assert_ok().stdout == "", "what was announced is gone"
    )


def test_a_pod_nobody_could_be_asked_about_stays(
    rumpel_project: ProjectFactory, labelled: Labelled
) -> None:
    project = rumpel_project()
    configured(project, {"image": labelled("alone", [{"capAdd": ["SYS_PTRACE"]}])})
    project.run("create", "a", "--count", "2", "--no-wait").assert_ok()

    def states() -> list[str]:
        rows = project.run("list", "--json").assert_ok().data
        return [row["status"] for row in sorted(rows, key=lambda row: str(row["name"]))]

    project.wait_until(lambda: states() == ["failed at consent"] * 2, "it is told of each")
    assert "as its image asks" in project.run("create", "a-1").stderr
    project.run("create", "a-1", "--trust").assert_ok()
    assert states() == ["running", "failed at consent"]
    configured(project, {"image": MINI_IMAGE})
    project.run("create", "a-2").assert_ok()
    assert states()[1] == "running", "an image without a label asks for nothing"


def test_an_image_that_is_made_anew_says_what_it_says_now(
    rumpel_project: ProjectFactory, labelled: Labelled, docker_engine: Engine
) -> None:
    base = labelled("anew", [{"remoteEnv": {"WHO": "old"}}])
    project = rumpel_project()
    project.write({".devcontainer/Dockerfile": f"FROM {base}\n"})
    configured(project, {"build": {"dockerfile": "Dockerfile"}})
    project.run("create", "a").assert_ok()
    label = json.dumps(json.dumps([{"remoteEnv": {"WHO": "new"}}]))
    docker_engine.build(base, f"FROM {MINI_IMAGE}\nLABEL devcontainer.metadata={label}")
    project.run("recreate", "a", "--refresh", "image").assert_ok()
    assert project.inside("a", "echo $WHO") == "new"
    plan = project.run("recreate", "--plan", "a", "--json").assert_ok().data
    assert plan["action"] == "nothing"
    project.write({".devcontainer/Dockerfile": f"FROM {base}\nRUN true\n"})
    planned = project.run("recreate", "--plan", "a", "--json").assert_ok().data
    done = project.run("recreate", "a", "--json").assert_ok().data
    assert planned["action"] == done["action"] == "new image"
    assert planned["reasons"] == done["reasons"]


def test_what_an_image_said_goes_with_it(
    rumpel_project: ProjectFactory, labelled: Labelled
) -> None:
    said = {
        "remoteUser": "dev",
        "containerEnv": {"A": "image"},
        "remoteEnv": {"WHO": "image"},
        "mounts": ["type=volume,target=/data"],
        "onCreateCommand": "touch /tmp/hook",
        "forwardPorts": [4711],
        "capAdd": ["SYS_PTRACE"],
    }
    project = rumpel_project()
    configured(project, {"image": labelled("before", [said], user("dev", 1000))})
    project.run("create", "a", "--trust").assert_ok()
    seen = project.inside("a", "id -un; echo $A $WHO; ls /tmp/hook")
    assert seen == "dev\nimage image\n/tmp/hook"
    project.inside("a", "echo work >work")
    configured(project, {"image": MINI_IMAGE})
    forked = project.run("fork", "a", "b").assert_ok()
    assert "image" in forked.stderr, "it is told that the fork has the old one"
    assert project.inside("b", "id -un; echo $A $WHO; cat work") == "dev\nimage image\nwork"
    project.run("recreate", "a").assert_ok()
    looks = "id -un; echo [$A$WHO]; ls -d /data /tmp/hook 2>/dev/null || true; cat work"
    seen = project.inside("a", looks)
    assert seen == "root\n[]\nwork"
    assert "4711" not in project.run("ports", "a").assert_ok().stdout
    host = project.docker.inspect(project.container_id("a"))["HostConfig"]
    assert not host["CapAdd"]
    assert project.run("recreate", "--plan", "a", "--json").assert_ok().data["action"] == "nothing"
    project.run("fork", "a", "c").assert_ok()
    assert project.inside("c", "id -un; echo [$A$WHO]") == "root\n[]"
