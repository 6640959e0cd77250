"""What the rest of a file makes of a field: beside another one it may have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from rumpel.devcontainer import forwards
from rumpel.devcontainer.compose import FIELDS as COMPOSE
from rumpel.devcontainer.compose import Composed
from rumpel.devcontainer.field_table import Known, Verdict
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.schema import DevContainer


def judge(
    raw: dict[str, Any],
    typed: DevContainer,
    problems: Iterable[FieldError],
    project: Composed | None = None,
) -> dict[Path, Known]:
    """`problems`: of types, in fields that have no effect anyway."""
    told = {} if project is None else project.notes
    return {
        **{path: Known(Verdict.APPROXIMATED, how) for path, how in told.items()},
        **{path: Known(Verdict.IGNORED, why) for path, why in _without_effect(raw, typed)},
        **{path: Known(Verdict.IGNORED, why) for path, why in _beside_compose(raw, typed)},
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
    for index, value in enumerate(typed.app_port):
        if not forwards.published(value, ("appPort", index)):
            yield ("appPort", index), "has no effect: only TCP is forwarded"
    for key in typed.ports_attributes.keys() - forwards.keys_used(typed):
        yield (
            ("portsAttributes", key),
            "is about no port of forwardPorts or appPort, and no other is opened",
        )


def _beside_compose(raw: dict[str, Any], typed: DevContainer) -> Iterator[tuple[Path, str]]:
    if "dockerComposeFile" not in raw:
        for name in COMPOSE:
            if name in raw:
                yield (name,), "has no effect without dockerComposeFile"
    elif typed.image or typed.docker_file or (typed.build is not None and typed.build.dockerfile):
        for name in COMPOSE:
            if name in raw:
                yield (name,), "has no effect beside an image or a Dockerfile"
    elif raw.get("runArgs"):
        yield ("runArgs",), "has no effect beside dockerComposeFile: the service says it"
