"""Which image a configuration asks for: one by name, or one built from a Dockerfile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as HostPath
from typing import Any

from rumpel.devcontainer import build_options
from rumpel.devcontainer.document import Caller, Document, private_reads
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.schema import BuildPart, DevContainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A Dockerfile build. Both paths are absolute, real and inside the repository."""

    dockerfile: str
    context: str
    args: Mapping[str, str] = field(default_factory=dict)
    private_args: tuple[str, ...] = ()
    """Names of those with values that are never stored and never shown, however short."""
    target: str | None = None
    cache_from: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """As written, for a docker client."""
    api: Mapping[str, Any] = field(default_factory=dict)
    """All of `options` as parameters of the Engine API; `args` and the rest are above."""


def image_or_build(
    typed: DevContainer, document: Document, caller: Caller
) -> tuple[str | None, Build | None]:
    """A Dockerfile wins over an image, as in the reference; (None, None) when neither is given.

    Raises: FieldError for a missing Dockerfile or context, or one outside the repository.
    """
    at: Path
    place: Path
    if document.is_compose:
        return None, None
    part = typed.build or BuildPart()
    if typed.docker_file:  # the old name goes first, with `context` beside it
        at, place = ("dockerFile",), ("context",)
        dockerfile, given = typed.docker_file, typed.context
    elif part.dockerfile:
        at, place = ("build", "dockerfile"), ("build", "context")
        dockerfile, given = part.dockerfile, part.context
    else:
        _check_no_file(typed, document)
        return typed.image or None, None
    folder = HostPath(caller.root, document.parsed.filename).parent
    file = _inside(folder / dockerfile, caller.root, at)
    if not file.is_file():
        raise FieldError(at, f"there is no file {file.relative_to(caller.root)}")
    context = _inside(folder / given if given else file.parent, caller.root, place)
    if not context.is_dir():
        raise FieldError(place, f"there is no folder {context.relative_to(caller.root)}")
    return None, Build(
        dockerfile=str(file),
        context=str(context),
        args=part.args,
        private_args=_private_args(document),
        target=part.target,
        cache_from=tuple(part.cache_from),
        options=tuple(part.options),
        api=build_options.parse(part.options),
    )


def _private_args(document: Document) -> tuple[str, ...]:
    paths = (read.path for read in private_reads(document))
    return tuple(sorted({str(path[2]) for path in paths if path[:2] == ("build", "args")}))


def _check_no_file(typed: DevContainer, document: Document) -> None:
    if typed.image:
        return
    if typed.build is not None:
        raise FieldError(("build",), "the build needs a dockerfile")


def _inside(path: HostPath, root: str, at: Path) -> HostPath:
    real = path.resolve()
    if not real.is_relative_to(root):
        raise FieldError(at, f"{real} is outside the repository")
    return real
