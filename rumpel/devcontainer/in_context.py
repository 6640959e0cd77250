"""What the rest of a file makes of a field: beside another one it may have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rumpel.devcontainer import forwards
from rumpel.devcontainer.field_table import Known, Verdict
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.schema import DevContainer


def judge(
    raw: dict[str, Any], typed: DevContainer, problems: Iterable[FieldError]
) -> dict[Path, Known]:
    """`problems`: of types, in fields that have no effect anyway."""
    return {
        **{path: Known(Verdict.IGNORED, why) for path, why in _without_effect(raw, typed)},
        **{path: Known(Verdict.APPROXIMATED, how) for path, how in _in_another_way(raw)},
        **{one.path: Known(Verdict.IGNORED, f"has no effect: {one.reason}") for one in problems},
    }


def refused(errors: Iterable[FieldError]) -> dict[Path, Known]:
    """Those that nothing can be made with."""
    return {one.path: Known(Verdict.REFUSED, one.reason) for one in errors}


def _without_effect(raw: dict[str, Any], typed: DevContainer) -> Iterator[tuple[Path, str]]:
    has_new = typed.build is not None and bool(typed.build.dockerfile)
    if typed.image and (has_new or typed.docker_file):
        yield ("image",), "has no effect beside a Dockerfile"
    if typed.docker_file:
        for name in ("dockerfile", "context"):
            if name in (raw.get("build") or {}):
                yield ("build", name), "has no effect beside dockerFile"
    else:
        if "context" in raw:
            yield ("context",), "has no effect without dockerFile"
        if raw.get("build") and not has_new:
            yield ("build",), "has no effect without a dockerfile"
    for key in typed.ports_attributes.keys() - forwards.keys_used(typed):
        yield ("portsAttributes", key), "is about no port of forwardPorts, and no other is opened"


def _in_another_way(raw: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    command = raw.get("postAttachCommand")
    if isinstance(command, dict) and len(command) > 1:
        yield ("postAttachCommand",), "runs its commands one after the other"
