"""Every field of the specification and what becomes of it; warnings are made from this table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rumpel.devcontainer.positions import Parsed, Path


class Verdict(StrEnum):
    HONOURED = "honoured"
    APPROXIMATED = "approximated"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class FieldReport:
    """What becomes of one field of one file; `note` is set when it is not simply honoured."""

    field: str
    line: int
    column: int
    verdict: Verdict
    note: str


_FOR_OTHERS = "is for other tools"
_NOT_HANDLED = "is not handled yet and has no effect"

HONOURED = frozenset(
    [
        "build",
        "capAdd",
        "containerEnv",
        "containerUser",
        "context",
        "dockerFile",
        "forwardPorts",
        "image",
        "init",
        "mounts",
        "name",
        "onCreateCommand",
        "otherPortsAttributes",
        "overrideCommand",
        "portsAttributes",
        "postAttachCommand",
        "postCreateCommand",
        "postStartCommand",
        "privileged",
        "remoteEnv",
        "remoteUser",
        "runArgs",
        "securityOpt",
        "updateContentCommand",
        "userEnvProbe",
        "waitFor",
        "workspaceFolder",
    ]
)

OTHERS = dict.fromkeys(
    [
        "$schema",
        "additionalProperties",
        "allowComments",
        "customizations",
        "devPort",
        "extensions",
        "settings",
        "workspaceFile",
    ],
    _FOR_OTHERS,
)
"""No warning: nobody expects a pod to differ by them."""

APPROXIMATED = {
    "shutdownAction": "has no effect: a pod runs until `rumpel stop`",
    "updateRemoteUserUID": "has no effect: a pod has its own clone, so user ids need not agree",
    "workspaceMount": "has no effect: a pod has its own clone of the repository",
}

SAME_AS: dict[str, Any] = {
    "shutdownAction": "none",
    "updateRemoteUserUID": False,
    "workspaceMount": "",
}
"""Values of those that ask for what rumpel does."""

NOT_YET = dict.fromkeys(
    [
        "appPort",
        "dockerComposeFile",
        "features",
        "hostRequirements",
        "initializeCommand",
        "overrideFeatureInstallOrder",
        "runServices",
        "secrets",
        "service",
    ],
    _NOT_HANDLED,
)

BUILD = frozenset({"args", "cacheFrom", "context", "dockerfile", "options", "target"})
MOUNT = frozenset({"readOnly", "readonly", "source", "target", "type"})


def report(parsed: Parsed) -> tuple[FieldReport, ...]:
    """One entry for each top-level field, and for each unknown one inside `build` and `mounts`."""
    config: dict[str, Any] = parsed.value
    return tuple(_one(parsed, path, *verdict) for path, verdict in _judge(config))


def warnings(parsed: Parsed, reports: tuple[FieldReport, ...]) -> Iterator[str]:
    """`file:line:col: field ...` for what is not honoured and is not for other tools."""
    for one in reports:
        if one.verdict is not Verdict.HONOURED and one.note != _FOR_OTHERS:
            yield f"{parsed.filename}:{one.line}:{one.column}: {one.field} {one.note}"


def _one(parsed: Parsed, path: Path, verdict: Verdict, note: str) -> FieldReport:
    line, column = parsed.at(path, key=True)
    name = ".".join(str(part) for part in path)
    return FieldReport(name, line, column, verdict, note)


def _judge(config: dict[str, Any]) -> Iterator[tuple[Path, tuple[Verdict, str]]]:
    for name, value in config.items():
        is_same = name in SAME_AS and value == SAME_AS[name] and type(value) is type(SAME_AS[name])
        yield (name,), (Verdict.HONOURED, "") if is_same else _verdict(name)
    build = config.get("build")
    if isinstance(build, dict):
        for name in build.keys() - BUILD:
            yield ("build", name), _unknown(name, BUILD)
    mounts = config.get("mounts")
    for index, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        for name in mount.keys() - MOUNT if isinstance(mount, dict) else ():
            yield ("mounts", index, name), _unknown(name, MOUNT)


def _verdict(name: str) -> tuple[Verdict, str]:
    if name in HONOURED:
        return Verdict.HONOURED, ""
    for verdict, notes in (
        (Verdict.IGNORED, OTHERS),
        (Verdict.APPROXIMATED, APPROXIMATED),
        (Verdict.IGNORED, NOT_YET),
    ):
        if name in notes:
            return verdict, notes[name]
    return _unknown(name, HONOURED | NOT_YET.keys() | APPROXIMATED.keys())


def _unknown(name: str, known: frozenset[str] | set[str]) -> tuple[Verdict, str]:
    import difflib  # milliseconds, and only for a file with an unknown field

    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    note = "is not a field of the specification and has no effect"
    return Verdict.IGNORED, f"{note} (did you mean {close[0]}?)" if close else note
