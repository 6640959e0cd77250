"""Every field of devcontainer.json and what becomes of it: the data of fields.py and the README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    HONOURED = "honoured"
    APPROXIMATED = "approximated"
    IGNORED = "ignored"
    REFUSED = "refused"


class Known(NamedTuple):
    verdict: Verdict
    note: str
    """How, or why not. Of what is not honoured: the end of a sentence that begins with its name."""


FOR_OTHERS = "is for other tools"
"""No warning: nobody expects a pod to differ by it."""

_CLONE = "has no effect: a pod has its own clone"
_LESS = "gives a warning when the engine has less, and limits nothing"
_NOT_YET = "is not handled yet and has no effect"


def _group(verdict: Verdict, notes: Mapping[str, str]) -> dict[str, Known]:
    return {name: Known(verdict, note) for name, note in notes.items()}


FIELDS: Mapping[str, Known] = {
    **_group(
        Verdict.HONOURED,
        {
            "name": "shown by `rumpel config`",
            "image": "what the engine has of it, else pulled",
            "build.dockerfile": "built by BuildKit where there is a client for it",
            "build.context": "without it the folder of the Dockerfile",
            "build.args": "numbers and booleans become text",
            "build.target": "the stage that is built",
            "build.cacheFrom": "one image, or several",
            "build.options": "those of `docker build`; one that cannot be passed on is refused",
            "dockerFile": "old for build.dockerfile, and goes before it",
            "context": "old for build.context, beside dockerFile",
            "dockerComposeFile": "read by `docker compose`; each pod has services of its own",
            "service": "the pod is this one, with a clone in the place of the repository",
            "runServices": "those beside the pod, and what they need; without it all",
            "workspaceFolder": "where the pod's clone is",
            "runArgs": "every option of `docker run`; one that cannot be passed on is refused",
            "containerUser": "`--user` in runArgs goes before it",
            "remoteUser": "of commands, shells and agents; without it containerUser",
            "containerEnv": "numbers and booleans become text; `-e` in runArgs goes before it",
            "remoteEnv": "null takes a variable away",
            "mounts": "text and objects; a volume without a name is the pod's own",
            "init": "without it true",
            "privileged": "after your consent",
            "capAdd": "after your consent",
            "securityOpt": "after your consent",
            "features": "one image layer each, shared by all repositories",
            "overrideFeatureInstallOrder": "as the reference orders them",
            "overrideCommand": "without it true; false runs the image's own command",
            "initializeCommand": "here, after your consent, before a pod is made or made anew",
            "onCreateCommand": "once; beforehand in an image where that saves time",
            "updateContentCommand": "once, and again when a prebuild's content is outdated",
            "postCreateCommand": "once",
            "postStartCommand": "at each start",
            "postAttachCommand": "at each `enter`",
            "waitFor": "of `create` and `enter`; without it every command is waited for",
            "secrets": "values from `--secrets-file`, for commands alone; nothing is prebuilt",
            "userEnvProbe": "once for a container and user",
            "forwardPorts": "to 127.0.0.1 here, by the engine's stream",
            "appPort": "as forwardPorts, so that each pod has it; `8080:80` is tried at 8080 here",
            "portsAttributes.*.label": "shown with the port",
            "portsAttributes.*.protocol": "in the address that is shown",
            "portsAttributes.*.requireLocalPort": "that local port or none",
            "portsAttributes.*.elevateIfNeeded": "a local port below 1024 is tried",
            "portsAttributes.*.onAutoForward": "whether a port is told of when it opens",
        },
    ),
    **_group(
        Verdict.APPROXIMATED,
        {
            "hostRequirements.cpus": _LESS,
            "hostRequirements.memory": _LESS,
            "hostRequirements.gpu": "gives all GPUs, where the engine has the runtime nvidia",
            "workspaceMount": f"{_CLONE} of the repository",
            "updateRemoteUserUID": f"{_CLONE}, so user ids need not agree",
        },
    ),
    **_group(
        Verdict.IGNORED,
        {
            "shutdownAction": "has no effect: a pod runs until `rumpel stop`",
            "hostRequirements.storage": "is not checked and has no effect",
            **dict.fromkeys(
                ["customizations", "extensions", "settings", "devPort", "$schema",
                 "additionalProperties", "allowComments", "workspaceFile"],
                FOR_OTHERS,
            ),
        },
    ),
}  # fmt: skip
"""By path; `*` is any key. What is said of a field holds for all inside that is not named itself.

`otherPortsAttributes` is as one of `portsAttributes`."""

SAME: Mapping[str, object] = {
    "shutdownAction": "none",
    "updateRemoteUserUID": False,
    "workspaceMount": "",
}
"""Values that ask for what is done anyway: honoured."""


BEGIN, END = "<!-- fields -->\n", "<!-- end of fields -->\n"
"""Around the README's table."""


def markdown() -> str:
    """That table; scripts/tables puts it there."""
    rows = "".join(f"{row}\n" for row in _rows())
    return f"| field | what becomes of it | how, or why not |\n|---|---|---|\n{rows}"


def _rows() -> Iterator[str]:
    for verdict in Verdict:
        by_note: dict[str, list[str]] = {}
        for name, known in FIELDS.items():
            if known.verdict is verdict:
                by_note.setdefault(known.note, []).append(f"`{name}`")
        for note, names in by_note.items():
            yield f"| {', '.join(names)} | {verdict} | {note} |"
