"""What `recreate` does when a field changes: the smallest thing that makes the pod what it says.

Data for people: docs/recreate.md is made of it, and a test changes each field of one pod and looks
at its container and processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum

from rumpel.devcontainer.fields import HONOURED, NAMES


class Action(StrEnum):
    """From the smallest on."""

    NOTHING = "nothing"
    LATER = "later"
    PORTS = "ports"
    LIFECYCLE = "lifecycle"
    SERVICES = "services"
    CONTAINER = "new container"
    IMAGE = "new image"


MEANING = {
    Action.NOTHING: "nothing: no pod differs by it",
    Action.LATER: "nothing now: it counts for what is run next; the same container and processes",
    Action.PORTS: "ports are opened or closed on this machine; the same container and processes",
    Action.LIFECYCLE: "the command and those after it run again; the same container and processes",
    Action.SERVICES: "new containers for the services that differ, with the data of their volumes; "
    "where the pod's own service differs, what its keys would do as fields",
    Action.CONTAINER: "a new container with all work, of the same image",
    Action.IMAGE: "a new image; a new container when its id is another one",
}

FIELDS: Mapping[str, Action] = {
    "image": Action.IMAGE,
    "build": Action.IMAGE,
    "dockerFile": Action.IMAGE,
    "context": Action.IMAGE,
    "features": Action.IMAGE,
    "overrideFeatureInstallOrder": Action.IMAGE,
    "capAdd": Action.CONTAINER,
    "containerEnv": Action.CONTAINER,
    "containerUser": Action.CONTAINER,
    "init": Action.CONTAINER,
    "mounts": Action.CONTAINER,
    "overrideCommand": Action.CONTAINER,
    "privileged": Action.CONTAINER,
    "remoteUser": Action.CONTAINER,
    "runArgs": Action.CONTAINER,
    "securityOpt": Action.CONTAINER,
    "workspaceFolder": Action.CONTAINER,
    "dockerComposeFile": Action.SERVICES,
    "runServices": Action.SERVICES,
    "service": Action.SERVICES,
    "onCreateCommand": Action.LIFECYCLE,
    "updateContentCommand": Action.LIFECYCLE,
    "postCreateCommand": Action.LIFECYCLE,
    "postStartCommand": Action.LIFECYCLE,
    "forwardPorts": Action.PORTS,
    "appPort": Action.PORTS,
    "portsAttributes": Action.LATER,
    "otherPortsAttributes": Action.LATER,
    "postAttachCommand": Action.LATER,
    "remoteEnv": Action.LATER,
    "userEnvProbe": Action.LATER,
    "secrets": Action.LATER,
    "waitFor": Action.LATER,
    "name": Action.NOTHING,
    "initializeCommand": Action.NOTHING,
    **dict.fromkeys(sorted(NAMES - HONOURED), Action.NOTHING),
    "hostRequirements": Action.CONTAINER,  # its `gpu`
}

SETTINGS: Mapping[str, Action] = {
    "defaultImage": Action.IMAGE,
    "memory": Action.CONTAINER,
    "cpus": Action.CONTAINER,
    "pidsLimit": Action.CONTAINER,
    "shareBranches": Action.LATER,
    "secretsFile": Action.LATER,
}
"""Of .rumpelpod.json and the like; all others change no pod."""

FLAGS: Mapping[str, str] = {
    "--plan": "nothing is done; it is told what would be, and why",
    "--force": "a new container also when nothing changed",
    "--clean": "a new container, and no ignored file comes along; those of `copyIn` come anew",
    "--keep PATH": "nothing by itself; ignored files that match come along",
    "--refresh STEP": "the step runs again, and what depends on its result",
    "--no-prebuild": "nothing by itself; a new container does not start from a prebuild",
    "--config FILE": "as the fields that differ in it",
    "--trust": "nothing by itself",
    "--memory SIZE": "as the setting, for this pod from now on; `default` takes it back",
    "--cpus N": "as the setting, for this pod from now on; `default` takes it back",
    "--secrets-file FILE": "as the setting",
}


def document() -> str:
    """docs/recreate.md; scripts/tables writes it."""
    return "\n".join([*_lines(), ""])


def _lines() -> Iterator[str]:
    yield "# What `recreate` does"
    yield ""
    yield "Made from `rumpel/devcontainer/actions.py`; a test holds it against real pods."
    yield "`remoteEnv` is part of what lifecycle commands are run with, so a pod that has some"
    yield "runs them again when it changes."
    for title, table in (("Field", FIELDS), ("Setting", SETTINGS)):
        yield ""
        yield f"| {title} changed | What is done |"
        yield "|---|---|"
        for action in reversed(Action):
            names = [f"`{name}`" for name, one in table.items() if one is action]
            if names:
                yield f"| {', '.join(names)} | {MEANING[action]} |"
    yield ""
    yield "| Flag | What is done |"
    yield "|---|---|"
    for flag, meaning in FLAGS.items():
        yield f"| `{flag}` | {meaning} |"
