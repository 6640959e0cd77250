"""Fields of devcontainer.json as they arrive in a pod: build, variables, environment, PID 1."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import ProjectFactory

FOLDER = ".devcontainer"
FILE = f"{FOLDER}/devcontainer.json"
NO_NETWORK = ["--network=none"]


def of_image(**fields: Any) -> dict[str, Any]:
    return {"image": MINI_IMAGE, "runArgs": NO_NETWORK, **fields}


def test_args_target_and_context_of_a_build(rumpel_project: ProjectFactory) -> None:
    """The second pod builds nothing; a file of the context that changed does, for the next pod."""
    dockerfile = f"""FROM {MINI_IMAGE} AS base
ARG WORD=none
ARG NUMBER
COPY top/file /copied
RUN echo "{os.getpid()} $WORD $NUMBER" >/args
FROM base AS wanted
RUN echo wanted >/stage
FROM base
RUN echo last >/stage
"""
    args = {"WORD": "${localEnv:WORD:by default}", "NUMBER": 7}
    build = {"dockerfile": "Dockerfile", "context": "..", "target": "wanted", "args": args}
    files = {"top/file": "one\n", f"{FOLDER}/Dockerfile": dockerfile}
    config = {"build": build, "runArgs": NO_NETWORK}
    project = rumpel_project(files, config=config)
    assert "RUN echo wanted" in project.run("create", "a", "-v").assert_ok().stderr
    shown = project.inside("a", "cat /args /stage /copied")
    assert shown == f"{os.getpid()} by default 7\nwanted\none"
    again = project.run("create", "b", "-v").assert_ok()
    assert "RUN echo wanted" not in again.stdout + again.stderr
    project.write({"top/file": "two\n"})
    project.run("create", "c").assert_ok()
    shown = project.inside("c", "cat /copied") + project.inside("a", "cat /copied")
    assert shown == "twoone"


def test_variables_of_this_machine(rumpel_project: ProjectFactory) -> None:
    """In a label of runArgs, with and without a default; a missing one is empty; folders."""
    label = "--label=x=${localEnv:WORD:d}|${localEnv:NOPE:d}|[${localEnv:NOPE}]|${localEnv:EMPTY:d}"
    config = of_image(
        workspaceFolder="/code/${localWorkspaceFolderBasename}",
        runArgs=[*NO_NETWORK, label],
        containerEnv={
            "B": "${localWorkspaceFolderBasename}",
            "C": "${containerWorkspaceFolder}",
            "D": "${containerWorkspaceFolderBasename}",
        },
        postCreateCommand={
            "late": "echo ${containerEnv:D:no} ${containerEnv:NOPE:yes} >/tmp/late",
            "root": "echo ${localWorkspaceFolder} >/tmp/root",
        },
    )
    project = rumpel_project(config=config)
    env = {"WORD": "word", "EMPTY": "", "NOPE": None}
    project.run("create", "p", "--trust", env=env).assert_ok()
    root, name = str(project.root.resolve()), project.root.name
    labels = project.docker.api.inspect_container(project.container_id("p"))["Config"]["Labels"]
    assert labels["x"] == "word|d|[]|"
    shown = project.inside("p", 'printf "%s\\n" "$B" "$C" "$D"; pwd; cat /tmp/late /tmp/root')
    folder = f"/code/{name}"
    assert shown.splitlines() == [name, folder, name, folder, f"{name} yes", root]


def test_an_env_file_is_weaker_than_the_file(rumpel_project: ProjectFactory) -> None:
    text = "# comment\n\n  \nA=from file\nB= spaced # kept \nC=\nTAKEN\nNOT_THERE\n"
    config = of_image(
        containerEnv={"A": "from field"}, runArgs=[*NO_NETWORK, f"--env-file={FOLDER}/env"]
    )
    project = rumpel_project({f"{FOLDER}/env": text}, config=config)
    env = {"TAKEN": "taken", "NOT_THERE": None}
    project.run("create", "p", "--trust", env=env).assert_ok()
    shown = project.inside("p", 'echo "$A|$B|${C-unset}|$TAKEN|${NOT_THERE-unset}"')
    assert shown == "from field| spaced # kept ||taken|unset"


def test_remote_env_is_for_commands_only(rumpel_project: ProjectFactory) -> None:
    """It may use the container's own variables, and null takes one away; PID 1 has none of it."""
    config = of_image(
        containerEnv={"BASE": "b", "GONE": "x", "N": 1, "T": True},
        remoteEnv={"PATH": "${containerEnv:PATH}:/mine", "MORE": "${containerEnv:BASE}+"}
        | {"GONE": None, "DEFAULT": "${containerEnv:NOPE:d}"},
        postCreateCommand='echo "$MORE ${GONE-unset}" >/tmp/seen',
    )
    project = rumpel_project(config=config)
    project.run("create", "p").assert_ok()
    script = 'echo "$PATH|$MORE|${GONE-unset}|$DEFAULT|$N|$T"; cat /tmp/seen'
    path, *rest = project.inside("p", script).replace("\n", "|").split("|")
    assert path.endswith(":/mine")
    assert rest == ["b+", "unset", "d", "1", "true", "b+ unset"]
    first = project.exec("p", "sh", "-c", "tr '\\0' '\\n' </proc/1/environ").stdout.splitlines()
    assert {"BASE=b", "GONE=x", "N=1", "T=true"} <= {*first}
    assert not [line for line in first if "mine" in line or line.startswith(("MORE", "DEFAULT"))]


@pytest.mark.parametrize(("probe", "sees"), [("loginShell", True), ("none", False)])
def test_the_profile_of_a_login_shell(
    rumpel_project: ProjectFactory, probe: str, sees: bool
) -> None:
    dockerfile = f"FROM {MINI_IMAGE}\nRUN echo 'export PATH=$PATH:/from-profile' >/root/.profile\n"
    config = {
        "build": {"dockerfile": "Dockerfile"},
        "runArgs": NO_NETWORK,
        "remoteUser": "root",
        "userEnvProbe": probe,
        "postCreateCommand": 'echo "$PATH" >/tmp/path',
    }
    project = rumpel_project({f"{FOLDER}/Dockerfile": dockerfile}, config=config)
    project.run("create", "p").assert_ok()
    found = [
        project.exec("p", "cat", "/tmp/path").stdout.strip(),
        project.inside("p", "echo $PATH"),
    ]
    assert [path.endswith(":/from-profile") for path in found] == [sees, sees]


def test_a_login_shell_keeps_the_path_of_the_image(rumpel_project: ProjectFactory) -> None:
    """As in the reference: Debian's and others' /etc/profile would take the image's tools away."""
    profile = 'if true; then\\n  PATH="/usr/bin:/bin"\\nfi\\nexport PATH\\nPATH=$PATH:/more\\n'
    dockerfile = (
        f"FROM {MINI_IMAGE}\nENV PATH=/opt/tool:$PATH\nRUN printf '{profile}' >/etc/profile\n"
    )
    config = {"build": {"dockerfile": "Dockerfile"}, "runArgs": NO_NETWORK}
    project = rumpel_project({f"{FOLDER}/Dockerfile": dockerfile}, config=config)
    project.run("create", "p").assert_ok()
    for script in ("echo $PATH", "sh -lc 'echo $PATH'", "PATH= /bin/sh -lc 'echo $PATH'"):
        path = project.inside("p", script)
        assert path.startswith("/usr/bin:/bin" if "PATH= " in script else "/opt/tool:"), script
        assert path.endswith(":/more")


def test_commands_of_a_life(rumpel_project: ProjectFactory) -> None:
    """Once, at each start, several at once; one that fails stops those after it."""

    def note(name: str) -> str:
        return f"echo {name} >>/tmp/told"

    def meets(own: str, other: str) -> str:
        """Ends only when both are there at the same time."""
        return f"touch /tmp/{own}; until [ -e /tmp/{other} ]; do sleep 0.05; done; {note('met')}"

    config = of_image(
        onCreateCommand={"a": meets("a", "b"), "b": meets("b", "a")},
        updateContentCommand=note("update"),
        postCreateCommand={"bad": "exit 3", "good": note("good")},
        postStartCommand=note("start"),
    )
    project = rumpel_project(config=config)
    project.run("create", "p").assert_error(6, "postCreateCommand")

    def told() -> list[str]:
        return project.exec("p", "cat", "/tmp/told").stdout.split()

    assert told() == ["met", "met", "update", "good"]
    fixed = {**config, "postCreateCommand": note("create")}
    project.write({FILE: fixed})
    project.run("recreate", "p").assert_ok()
    assert told()[-2:] == ["create", "start"]
    assert told().count("met") == 2
    before = told()
    project.run("stop", "p").assert_ok()
    project.run("enter", "p", "--", "true").assert_ok()
    assert told() == [*before, "start"]


@pytest.mark.parametrize("init", [True, False])
def test_what_runs_as_pid_1(rumpel_project: ProjectFactory, init: bool) -> None:
    """Without overrideCommand the image's own command, below an init process if there is one."""
    dockerfile = f'FROM {MINI_IMAGE}\nCMD ["sleep", "86399"]\n'
    config = {
        "build": {"dockerfile": "Dockerfile"},
        "runArgs": NO_NETWORK,
        "overrideCommand": False,
        "init": init,
    }
    project = rumpel_project({f"{FOLDER}/Dockerfile": dockerfile}, config=config)
    project.run("create", "p").assert_ok()
    script = "tr '\\0' ' ' </proc/1/cmdline"
    first = project.exec("p", "sh", "-c", script).stdout.strip()
    assert first.endswith("sleep 86399")
    assert ("init" in first.split()[0]) is init


def test_attached_commands_run_at_once_and_a_wrong_one_is_told(
    rumpel_project: ProjectFactory,
) -> None:
    """Each waits for what the other one makes."""
    meet = "touch /tmp/{0}; until [ -e /tmp/{1} ]; do sleep 0.05; done"
    commands = {"a": meet.format("a", "b"), "b": meet.format("b", "a"), "c": "exit 3"}
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "postAttachCommand": commands}
    project = rumpel_project({".devcontainer/devcontainer.json": config})
    entered = project.run("enter", "p", "--", "echo", "in").assert_ok()
    assert entered.stdout == "in\n"
    assert "postAttachCommand c exited with 3" in entered.stderr
